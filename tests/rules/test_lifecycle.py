"""Every step an alert can take, one by one: phase x verdict x watched."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest

from rules.lifecycle import BEGINNING, Alert, Phase, Verdict

QUIET, PENDING, FIRING = Phase.QUIET, Phase.PENDING, Phase.FIRING
BREACHED, CLEAR, UNDECIDED, RENEWED, REPEATED = Verdict

BEGAN = datetime(2026, 1, 5, 8, tzinfo=UTC)
LATER = BEGAN + timedelta(minutes=3)
HOLD_FOR = timedelta(minutes=10)

STEPS = [
    # phase, verdict, the phase when watched, the phase when not; "": nothing changes at all
    (QUIET, BREACHED, PENDING, ""),
    (QUIET, CLEAR, "", ""),
    (QUIET, UNDECIDED, "", ""),
    (QUIET, RENEWED, PENDING, ""),
    (QUIET, REPEATED, PENDING, ""),
    (PENDING, BREACHED, "", QUIET),
    (PENDING, CLEAR, QUIET, QUIET),
    (PENDING, UNDECIDED, "", QUIET),
    (PENDING, RENEWED, PENDING, QUIET),
    (PENDING, REPEATED, "", QUIET),
    (FIRING, BREACHED, "", ""),
    (FIRING, CLEAR, QUIET, QUIET),
    (FIRING, UNDECIDED, "", ""),
    (FIRING, RENEWED, PENDING, QUIET),
    (FIRING, REPEATED, FIRING, FIRING),
]


def test_no_step_is_left_out():
    assert {(phase, verdict) for phase, verdict, _, _ in STEPS} == {
        (phase, verdict) for phase in Phase for verdict in Verdict
    }


@pytest.mark.parametrize(("phase", "verdict", "watched", "unwatched"), STEPS)
def test_a_judgement_leads_where_the_drawing_says(phase, verdict, watched, unwatched):
    alert = Alert(phase, BEGAN)
    for is_watched, then in ((True, watched), (False, unwatched)):
        judged = alert.judged(verdict, is_watched, LATER)
        assert judged == (Alert(then, LATER) if then else alert)


@pytest.mark.parametrize("phase", Phase)
def test_what_changes_nothing_returns_the_very_same_alert(phase):
    alert = Alert(phase, BEGAN)
    assert alert.judged(UNDECIDED, watched=True, at=LATER) is alert


def test_an_alert_begins_quiet():
    assert Alert() == Alert(QUIET, BEGINNING)


def test_only_a_pending_alert_will_fire():
    assert Alert(PENDING, BEGAN).due(HOLD_FOR) == BEGAN + HOLD_FOR
    assert Alert(QUIET, BEGAN).due(HOLD_FOR) is None
    assert Alert(FIRING, BEGAN).due(HOLD_FOR) is None


@pytest.mark.parametrize("waited_s", [0, 1, 599.999999])
def test_before_its_due_time_nothing_happens(waited_s):
    alert = Alert(PENDING, BEGAN)
    assert alert.advanced(BEGAN + timedelta(seconds=waited_s), HOLD_FOR) is alert


@pytest.mark.parametrize("waited_s", [600, 601, 86_400 * 365])
def test_it_fires_at_its_due_time_whenever_somebody_looks(waited_s):
    fired = Alert(PENDING, BEGAN).advanced(BEGAN + timedelta(seconds=waited_s), HOLD_FOR)
    assert fired == Alert(FIRING, BEGAN + HOLD_FOR)


def test_without_a_hold_time_it_fires_at_once():
    assert Alert(PENDING, BEGAN).advanced(BEGAN, timedelta(0)) == Alert(FIRING, BEGAN)


@pytest.mark.parametrize("phase", [QUIET, FIRING])
def test_time_alone_changes_neither_quiet_nor_firing(phase):
    alert = Alert(phase, BEGAN)
    assert alert.advanced(BEGAN + timedelta(days=1000), HOLD_FOR) is alert


@pytest.mark.parametrize("hours", [-5, 0, 7])
def test_on_a_clock_that_was_wrong_it_began_as_much_earlier_or_later(hours):
    by = timedelta(hours=hours)
    assert Alert(PENDING, BEGAN).shifted(by) == Alert(PENDING, BEGAN + by)


def test_an_alert_that_never_began_is_not_shifted_out_of_the_calendar():
    assert Alert().shifted(timedelta(days=-365)) == Alert()


def test_an_alert_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Alert().phase = FIRING
