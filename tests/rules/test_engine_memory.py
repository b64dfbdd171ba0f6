"""What the engine does for conditions that want to be woken, and for rules over other rules."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.alert import Severity
from rules.condition import Memory, SensorName
from rules.conditions.above import Above
from rules.conditions.long_stay import LongStay
from rules.conditions.opened import Opened
from rules.conditions.pressed import Pressed
from rules.engine import GRACE, Engine, Rule
from rules.hours import Hours
from rules.lifecycle import Phase, Verdict
from rules.presence import Presence, PresenceSensors
from rules.snapshot import dump_time, load_time_if_any

START = datetime(2026, 1, 5, 3, tzinfo=UTC)
CONTACT, MOTION = Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED
FIRING, QUIET = Phase.FIRING, Phase.QUIET
HOME = PresenceSensors(frozenset({"door"}), frozenset({"kitchen"}), timedelta(minutes=2))


def at_minute(minute):
    return START + timedelta(minutes=minute)


def reading(minute, sensor, quantity, value):
    return Reading(sensor, quantity, value, at_minute(minute))


class Still(Memory):
    """Breached `after` the last motion; it takes note of all it is told."""

    __slots__ = ("_after", "due", "told")
    follows_presence = True

    def __init__(self, after, dumped):
        self._after, self.due, self.told = after, None, []
        if dumped is not None:
            self.due, self.told = load_time_if_any(dumped[0]), dumped[1]

    def judge(self, reading, previous):
        self.due = reading.at + self._after
        return Verdict.CLEAR

    def advance(self, at):
        self.due = None
        self.told.append(["woken", at.isoformat()])
        return Verdict.BREACHED

    def tell(self, presence, at):
        self.told.append([presence.value, at.isoformat()])
        return Verdict.CLEAR if presence is Presence.AWAY else Verdict.UNDECIDED

    def resume(self, at, since):
        self.due = at + self._after if self.due is None else self.due + (at - since)

    def evidence(self, at):
        return {"still_s": self._after.total_seconds()}

    def shift(self, by):
        self.due = self.due and self.due + by

    def dump(self):
        return [dump_time(self.due), self.told]


@dataclass(frozen=True)
class StillFor:
    watches: ClassVar = frozenset({MOTION})
    together: ClassVar = True
    from_silence: ClassVar = False
    after: timedelta = timedelta(hours=1)

    def remember(self, dumped=None):
        return Still(self.after, dumped)


@dataclass(frozen=True)
class Both:
    watches: ClassVar = frozenset()
    together: ClassVar = True
    from_silence: ClassVar = False
    rules: tuple[str, ...] = ("open", "dark")

    def join(self, firing):
        return all(firing)


STILL = Rule("still", StillFor(), ("kitchen",))
OPEN = Rule("open", Opened(), ("door",), severity=Severity.PART)
DARK = Rule("dark", Opened(), ("lid",))
BOTH = Rule("both", Both(), hold_for=timedelta(minutes=5))


def again(engine, rules, presence=None, **options):
    return Engine.restore(rules, json.loads(json.dumps(engine.snapshot())), presence, **options)


def memory(engine):
    return engine._watches[0].memory


def told(events):
    return [(event.rule, event.phase, event.at) for event in events]


def test_a_memory_is_woken_when_it_is_due_however_late_somebody_looks():
    engine = Engine([STILL])
    engine.observe(reading(0, "kitchen", MOTION, 1.0))
    [event] = engine.advance(at_minute(1000))
    assert (event.phase, event.at) == (FIRING, at_minute(60))
    assert memory(engine).told == [["woken", at_minute(60).isoformat()]]
    assert dict(event.evidence) == {"after_s": 3600.0, "still_s": 3600.0}
    assert event.condition == "test_engine_memory"


def test_a_sign_puts_off_what_was_due():
    engine = Engine([STILL])
    for minute in (0, 30, 80, 139):
        assert engine.observe(reading(minute, "kitchen", MOTION, 1.0)) == []
    assert told(engine.advance(at_minute(300))) == [("still", FIRING, at_minute(199))]


def test_from_the_first_moment_on_it_listens():
    engine = Engine([STILL])
    engine.advance(START)
    assert told(engine.advance(at_minute(61))) == [("still", FIRING, at_minute(60))]


def test_the_time_while_nobody_listened_is_for_the_memory_to_judge():
    engine = Engine([STILL])
    engine.observe(reading(0, "kitchen", MOTION, 1.0))
    engine.advance(at_minute(10))
    engine = again(engine, [STILL], listening_from=at_minute(500))
    assert told(engine.advance(at_minute(1000))) == [("still", FIRING, at_minute(550))]


def test_a_memory_is_told_of_presence_and_may_judge_by_it():
    engine = Engine([STILL], HOME)
    engine.observe(reading(0, "kitchen", MOTION, 1.0))
    engine.observe(reading(61, "door", CONTACT, 0.0))
    engine.observe(reading(62, "door", CONTACT, 1.0))
    events = engine.advance(at_minute(70))
    assert told(events) == [("still", QUIET, at_minute(64))]
    assert [word for word, _ in memory(engine).told] == ["home", "woken", "away"]


def test_a_rule_that_is_new_learns_where_the_resident_is():
    engine = Engine([], HOME)
    engine.observe(reading(0, "kitchen", MOTION, 1.0))
    engine = again(engine, [STILL], HOME, listening_from=at_minute(5))
    assert memory(engine).told == [["home", at_minute(5).isoformat()]]


def test_hours_that_begin_in_the_moment_it_is_woken_are_not_missed():
    hours = Hours.parse("04:00-05:00", UTC)
    rule = Rule("still", StillFor(), ("kitchen",), hours=hours)
    engine = Engine([rule])
    engine.observe(reading(0, "kitchen", MOTION, 1.0))
    assert told(engine.advance(at_minute(200))) == [("still", FIRING, at_minute(60))]


steps = st.lists(
    st.tuples(st.integers(1, 50), st.sampled_from(["move", "wait", "restart", "set clock"])),
    max_size=30,
)


@given(steps, st.integers(1, 20))
def test_neither_restarts_nor_looking_often_change_when_it_is_woken(steps, every):
    plain, looked = Engine([STILL], HOME), Engine([STILL], HOME)
    minute, events, seen = 0, [], []
    for length, what in steps:
        minute += length
        while looked.now is not None and looked.now < at_minute(minute - every):
            seen += looked.advance(looked.now + timedelta(minutes=every))
        move = reading(minute, "kitchen", MOTION, 1.0)
        events += plain.observe(move) if what == "move" else plain.advance(at_minute(minute))
        seen += looked.observe(move) if what == "move" else looked.advance(at_minute(minute))
        if what == "restart":
            looked = again(looked, [STILL], HOME)
    assert seen == events


class TestRulesOverRules:
    RULES = (OPEN, DARK, BOTH)

    def test_it_fires_while_all_of_them_do(self):
        engine = Engine(self.RULES)
        events = engine.observe(reading(0, "door", CONTACT, 1.0))
        events += engine.observe(reading(1, "lid", CONTACT, 1.0))
        events += engine.observe(reading(10, "door", CONTACT, 0.0))
        assert told(events) == [
            ("dark", FIRING, at_minute(1)),
            ("both", FIRING, at_minute(6)),
            ("both", QUIET, at_minute(10)),
        ]
        assert events[1].sensor == "lid"

    def test_a_part_is_not_among_what_is_open(self):
        engine = Engine(self.RULES)
        engine.observe(reading(0, "door", CONTACT, 1.0))
        assert engine.open == []

    def test_its_hold_time_begins_anew_when_one_of_them_was_over(self):
        engine = Engine(self.RULES)
        for minute, value in ((0, 1.0), (4, 0.0), (5, 1.0)):
            engine.observe(reading(minute, "door", CONTACT, value))
            engine.observe(reading(minute, "lid", CONTACT, 1.0))
        events = engine.advance(at_minute(30))
        assert told(events) == [("both", FIRING, at_minute(10))]

    def test_a_restart_changes_nothing(self):
        engine = Engine(self.RULES)
        engine.observe(reading(0, "door", CONTACT, 1.0))
        engine = again(engine, self.RULES)
        engine.observe(reading(1, "lid", CONTACT, 1.0))
        engine = again(engine, self.RULES)
        assert told(engine.advance(at_minute(30))) == [("both", FIRING, at_minute(6))]

    def test_if_a_changed_file_joins_other_rules_what_they_say_now_counts(self):
        engine = Engine([OPEN, DARK, Rule("both", Both(("open", "dark")))])
        engine.observe(reading(0, "door", CONTACT, 1.0))
        engine.observe(reading(0, "lid", CONTACT, 1.0))
        shed = Rule("shed", Opened(), ("shed",))
        engine = again(engine, [OPEN, shed, Rule("both", Both(("open", "shed")))])
        events = told(engine.advance(at_minute(5)))
        assert sorted(events) == [("both", QUIET, at_minute(0)), ("dark", QUIET, at_minute(0))]

    def test_a_rule_that_is_not_before_it_is_refused(self):
        with pytest.raises(ValueError, match="'both' is over 'dark', which is not before it"):
            Engine([OPEN, BOTH, DARK])

    def test_it_has_no_sensors_of_its_own(self):
        with pytest.raises(ValueError, match="watches no sensor of its own"):
            Rule("both", Both(), ("door",))


class TestAfterAPowerCut:
    LEFT_OPEN = Rule("left open", Opened(), ("door",), hold_for=timedelta(minutes=15))

    def cut(self, until, minute=5):
        engine = Engine([self.LEFT_OPEN])
        engine.observe(reading(0, "door", CONTACT, 1.0))
        engine.advance(at_minute(minute))
        return again(engine, [self.LEFT_OPEN], listening_from=at_minute(until))

    def test_what_ran_out_meanwhile_waits_for_the_sensor(self):
        engine = self.cut(until=100)
        assert engine.advance(at_minute(100) + GRACE - timedelta(seconds=1)) == []
        assert told(engine.advance(at_minute(100) + GRACE)) == [
            ("left open", FIRING, at_minute(15))
        ]

    def test_the_sensor_may_say_otherwise(self):
        engine = self.cut(until=100)
        assert engine.observe(reading(104, "door", CONTACT, 0.0)) == []
        assert engine.advance(at_minute(1000)) == []

    def test_another_restart_does_not_put_it_off_again(self):
        engine = again(self.cut(until=100), [self.LEFT_OPEN])
        engine.advance(at_minute(103))
        engine = again(engine, [self.LEFT_OPEN], listening_from=at_minute(104))
        assert told(engine.advance(at_minute(105))) == [("left open", FIRING, at_minute(15))]

    def test_a_short_one_is_none(self):
        assert told(self.cut(until=17, minute=14).advance(at_minute(17))) == [
            ("left open", FIRING, at_minute(15))
        ]

    def test_what_has_not_run_out_goes_on(self):
        assert told(self.cut(until=12, minute=1).advance(at_minute(20))) == [
            ("left open", FIRING, at_minute(15))
        ]


def test_a_rule_that_was_removed_while_it_fired_is_over_and_that_is_told_once():
    rule = Rule("hot", Above(30), ("shed",), Quantity.TEMPERATURE_CELSIUS, severity=Severity.DANGER)
    engine = Engine([rule])
    [fired] = engine.observe(reading(0, "shed", Quantity.TEMPERATURE_CELSIUS, 31.0))
    engine = again(engine, [STILL], listening_from=at_minute(9))
    engine = again(engine, [STILL], listening_from=at_minute(9))
    [over] = engine.advance(at_minute(10))
    assert (over.rule, over.phase, over.at, over.severity) == ("hot", QUIET, at_minute(9), "danger")
    assert (over.since, over.sensor, over.quantity) == (fired.since, "shed", fired.quantity)
    assert engine.advance(at_minute(11)) == []
    assert again(engine, [STILL]).advance(at_minute(12)) == []


def test_a_rule_may_only_name_its_own_sensors_in_its_settings():
    @dataclass(frozen=True)
    class Pump:
        watches: ClassVar = frozenset({CONTACT})
        together: ClassVar = True
        from_silence: ClassVar = False
        pump: SensorName
        valves: tuple[SensorName, ...] = ()

        def judge(self, reading, previous):
            return Verdict.UNDECIDED

    with pytest.raises(ValueError, match="names 'pmup', which is not one of its sensors"):
        Rule("pump", Pump("pmup"), ("pump",))
    with pytest.raises(ValueError, match="names 'valve'"):
        Rule("pump", Pump("pump", ("valve",)), ("pump",))
    Rule("pump", Pump("pump", ("pump",)), ("pump",))


def test_what_a_reading_ends_does_not_fire_because_somebody_came_home_by_it():
    stay = Rule("stay", LongStay(("kitchen",)), ("kitchen", "bedroom"), presence=Presence.HOME)
    engine = Engine([stay], HOME)
    told = []
    for minute, sensor, quantity, value in [
        (0, "kitchen", MOTION, 1),
        (1, "kitchen", MOTION, 0),
        (2, "door", CONTACT, 0),
        (3, "door", CONTACT, 1),
        (600, "kitchen", MOTION, 1),
    ]:
        told += engine.observe(reading(minute, sensor, quantity, value))
    assert told == []


def test_a_memory_that_cannot_be_read_takes_nothing_else_with_it():
    rules = [Rule("calls", Pressed(), ("button",)), Rule("open", Opened(), ("door",))]
    engine = Engine(rules)
    engine.observe(reading(0, "button", Quantity.BUTTON_EVENT, 1))
    engine.observe(reading(1, "door", CONTACT, 1))
    state = json.loads(json.dumps(engine.snapshot()))
    (key,) = (key for key in state["watches"] if key.startswith("calls"))
    state["watches"][key][-1] = {"of": "another version"}
    restored = Engine.restore(rules, state)
    assert restored.forgotten == ["calls"]
    assert [watch.rule.name for watch in restored.open] == ["calls", "open"]
    told = restored.observe(reading(2, "door", CONTACT, 0))
    assert [(event.rule, event.phase) for event in told] == [("open", QUIET)]


def test_a_rule_is_deaf_only_to_rules_that_stand_before_it():
    still = Rule("still", Opened(), ("door",), unless=("radio",))
    with pytest.raises(ValueError, match="'still' has unless 'radio', which is not before it"):
        Engine([still, Rule("radio", Opened(), ("kitchen",))])
    with pytest.raises(ValueError, match="twice in unless"):
        Rule("still", Opened(), ("door",), unless=("radio", "radio"))


def test_what_fires_goes_on_while_it_is_deaf_and_what_is_seen_then_counts_afterwards():
    engine = Engine(
        [Rule("radio", Opened(), ("box",)), Rule("open", Opened(), ("door",), unless=("radio",))]
    )
    told = []
    for minute, sensor, value in [(0, "box", 1), (1, "door", 1), (5, "box", 0), (6, "box", 1)]:
        told += engine.observe(reading(minute, sensor, CONTACT, value))
    told += engine.observe(reading(7, "door", CONTACT, 0))
    assert [(event.rule, event.phase, event.at) for event in told] == [
        ("radio", FIRING, at_minute(0)),
        ("radio", QUIET, at_minute(5)),
        ("open", FIRING, at_minute(5)),
        ("radio", FIRING, at_minute(6)),
        ("open", QUIET, at_minute(7)),
    ]
