"""The budget is kept: the least precious goes first, no alert ever, no loss without a record."""

import contextlib
import random
import shutil
from dataclasses import dataclass
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal import files as files_module
from agent.journal.block import Block, Stamp, is_event, time_us
from agent.journal.manifest import Filed
from agent.journal.room import NO_NUMBERS, NOTHING_BUT_EVENTS, next_to_thin, thin
from cloud_sync.spans import Spans
from cloud_sync.wire import parse_line
from tests.agent.journals import (
    AT_US,
    Desk,
    alert,
    commit,
    kept,
    kill,
    line,
    offered,
)

STAMP = Stamp()


def reading(number, value, at_s, sensor="s", fields="value"):
    text = ",".join(f"{name}={value}" for name in fields.split(","))
    return f"air,gateway=g,sensor={sensor} {text} {AT_US * 1000 + round(at_s * 1e9)}\n".encode()


def block(*new, first=1, boot="00000001", stamp=STAMP):
    numbered = [(first + n, text, stamp) for n, text in enumerate(new)]
    return Block.of(boot, numbered)


def thinned_lines(blocks, level):
    return [(n, text) for each in thin(blocks, level).blocks for n, text, _ in each.numbered()]


# What thinning does


def test_numbers_become_means_over_5_minutes_with_number_and_time_of_the_last():
    new = [reading(n, n, n * 60) for n in range(10)]
    assert thinned_lines([block(*new)], 1) == [
        (5, new[4].replace(b"value=4", b"value=2,mean_of=5")),
        (10, new[9].replace(b"value=9", b"value=7,mean_of=5")),
    ]


def test_windows_know_nothing_of_commits_but_end_with_a_boot():
    new = [reading(n, n, n * 60) for n in range(4)]
    commits = [block(new[0]), block(new[1], first=2), block(new[2], first=3, boot="00000002")]
    assert [n for n, _ in thinned_lines(commits, 1)] == [2, 3]


def test_each_sensor_and_each_set_of_fields_has_means_of_its_own():
    new = [
        reading(1, 1, 0, "a"),
        reading(2, 5, 1, "b"),
        reading(3, 3, 2, "a"),
        reading(4, 9, 3, "a", "value,other"),
    ]
    found = [text for _, text in thinned_lines([block(*new)], 1)]
    assert found == [new[1], new[2].replace(b"value=3", b"value=2,mean_of=2"), new[3]]


def test_means_never_mix_times_that_are_settled_with_others():
    new = [reading(1, 1, 0), reading(2, 3, 1)]
    unsettled = Stamp("kernel", 5, settled=False)
    blocks = [block(new[0]), block(new[1], first=2, stamp=unsettled)]
    assert [s for b in thin(blocks, 1).blocks for _, _, s in b.numbered()] == [STAMP, unsettled]


def test_doors_keep_their_changes_and_buttons_every_press():
    door = [line(n, "contact", at_us=AT_US + n).replace(b"value=%d" % n, b"value=%d" % v)
            for n, v in enumerate([0, 0, 1, 1, 0])]  # fmt: skip
    press = [
        line(n, "button", at_us=AT_US + n).replace(b"value=%d" % n, b"value=1") for n in (5, 6)
    ]
    for level in range(1, NO_NUMBERS + 1):
        found = [text for _, text in thinned_lines([block(*door, *press)], level)]
        assert found == [door[0], door[2], door[4], *press]
    assert thin([block(*door, *press)], NOTHING_BUT_EVENTS).blocks == []


def test_alerts_and_losses_are_never_touched():
    new = [alert(1), reading(2, 1, 0), line(3, "loss"), line(4, "contact")]
    for level in range(1, NOTHING_BUT_EVENTS + 1):
        found = [text for _, text in thinned_lines([block(*new)], level)]
        assert new[0] in found
        assert new[2] in found


def test_what_is_gone_is_counted_with_its_times():
    new = [reading(n, n, n * 60) for n in range(10)]
    thinned = thin([block(*new)], 1)
    assert (thinned.gone, thinned.from_us, thinned.until_us) == (8, AT_US, AT_US + 480_000_000)


READINGS = st.lists(
    st.tuples(st.integers(0, 7_200), st.integers(-4_000, 4_000)), min_size=1, max_size=60
)


@given(READINGS)
def test_means_of_means_are_the_means_of_all(values):
    values = sorted(values)
    blocks = [block(*(reading(n, v / 100, at) for n, (at, v) in enumerate(values)))]
    for level in (1, 2):
        blocks = thin(blocks, level).blocks
    by_hour = {}
    for at, v in values:
        by_hour.setdefault((AT_US // 1_000_000 + at) // 3600, []).append((at, v / 100))
    found = [parse_line(text) for each in blocks for _, text, _ in each.numbered()]
    assert len(found) == len(by_hour)
    for point, members in zip(found, by_hour.values(), strict=True):
        mean = sum(v for _, v in members) / len(members)
        assert point.fields["value"] == pytest.approx(mean, abs=0.0011)
        assert point.fields.get("mean_of", 1) == len(members)
        assert point.time_ns // 1000 == AT_US + members[-1][0] * 1_000_000


@given(READINGS, st.integers(1, 4))
def test_who_is_kept_keeps_number_and_time(values, level):
    new = [reading(n, v, at) for n, (at, v) in enumerate(values)]
    new = [alert(n) if n % 7 == 3 else text for n, text in enumerate(new)]
    for number, text in thinned_lines([block(*new)], level):
        assert time_us(text) == time_us(new[number - 1])
    found = [n for n, _ in thinned_lines([block(*new)], level)]
    assert found == sorted(set(found))


def test_all_are_thinned_to_one_level_before_any_to_the_next():
    filed = [Filed(n, n, 0, 1, level) for n, level in enumerate([2, 1, 1, 2])]
    assert next_to_thin(filed) == filed[1]
    assert next_to_thin([file._replace(level=NOTHING_BUT_EVENTS) for file in filed]) is None
    assert next_to_thin([]) is None


# The budget

BUDGET = 400_000
"""The newest file alone takes 256 kB of it."""


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "journal", None, {"max_bytes": BUDGET, "segment_bytes": 12_000})


@dataclass
class Site:
    """Fills a journal with random numbers, which take room, and now and then an alert or a door."""

    journal: object
    number: int = 0
    said: int = 0

    def commit(self, commits, readings=150):
        rnd = random.Random(self.number)
        for _ in range(commits):
            new = [
                reading(0, round(rnd.random() * 1e6, 3), (self.number + n) * 5, f"s{n % 5}")
                for n in range(readings)
            ]
            self.number += readings
            self.said += 1
            if self.said % 10 == 0:
                new.append(alert(self.number))
                new.append(line(self.number, "contact").replace(b"value=", b"value=1"))
            commit(self.journal, *new)


def used(desk):
    return sum(path.stat().st_size for path in desk.segments())


def test_what_is_confirmed_goes_first_and_is_no_loss(desk):
    journal = desk.open()
    site, cursor = Site(journal), journal.cursor("uplink")
    for _ in range(60):
        site.commit(2)
        cursor.confirm(journal.boot, Spans([(1, max(1, journal.newest - 300))]))
    commit(journal)
    assert journal.manifest.filed[0].first > 1_000
    assert {file.level for file in journal.manifest.filed} == {0}
    assert (desk.losses(), journal.lost) == ([], 0)
    assert len(offered(cursor)) == 300
    journal.close()


def test_a_confirmation_that_is_not_on_the_card_frees_nothing(desk):
    journal = desk.open()
    site, cursor = Site(journal), journal.cursor("uplink")
    site.commit(40)
    first = desk.segments()[0]
    cursor.confirm(journal.boot, Spans([(1, journal.newest)]))
    assert journal._forget_confirmed() is False
    assert first.exists()
    commit(journal, line(1))
    assert journal._forget_confirmed() is True
    assert not first.exists()
    journal.close()


def test_no_reader_loses_what_it_has_not_confirmed_because_another_has(desk):
    journal = desk.open()
    site, fast, slow = Site(journal), journal.cursor("uplink"), journal.cursor("mail")
    site.commit(40)
    fast.confirm(journal.boot, Spans([(1, journal.newest)]))
    commit(journal, line(1))
    assert slow.through == 0
    assert journal._forget_confirmed() is False
    journal.close()


@pytest.mark.timeout(60)
def test_over_budget_it_is_thinned_and_every_loss_is_on_record(desk):
    journal = desk.open()
    site, cursor = Site(journal), journal.cursor("uplink")
    site.commit(600)
    commit(journal)
    commit(journal)
    assert used(desk) <= BUDGET + 12_000  # one file, until the next commit
    levels = [file.level for file in journal.manifest.filed]
    assert min(levels[:-1]) >= 1
    assert max(levels) - min(levels[:-1]) <= 1
    found = kept(journal)
    assert [text for _, _, text in found if text.startswith(b"alert")] == [
        alert(n * 1_500) for n in range(1, 61)
    ]
    # What is missing, by the numbers, is what the losses say, and nothing else.
    readings = sum(1 for _, _, text in found if not is_event(text))
    on_record = sum(int(loss.split(b"=")[1]) for loss in desk.losses())
    assert readings + on_record == site.number + 60
    assert all(loss.startswith((b"thinned", b"budget")) for loss in desk.losses())
    # Their numbers are counted as well, and what is gone is in nobody's way.
    everything = Spans([(1, journal.newest)])
    cursor.confirm(journal.boot, everything)
    assert (cursor.through, cursor.unconfirmed) == (journal.newest, 0)
    journal.close()


def test_the_place_of_a_reader_stays_small_however_much_is_thinned(desk):
    journal = desk.open()
    cursor = journal.cursor("uplink")
    Site(journal).commit(150)
    cursor.confirm(journal.boot, Spans([(5_000, 5_100)]))
    commit(journal, line(1))
    assert len(str(cursor.place)) < 500
    assert max(len(b.encode()) for b in desk.blocks() if "manifest" not in b.notes) < 50_000
    journal.close()


def test_a_thinned_journal_drains_completely(desk):
    journal = desk.open()
    Site(journal).commit(200)
    cursor, expected = journal.cursor("uplink"), kept(journal)
    found = []
    for lane in ("events", "readings"):
        after = 0
        while entries := cursor.pending(lane, after, journal.newest, 4_000):
            for entry in entries:
                found += entry.lines.splitlines(keepends=True)
                cursor.confirm(entry.boot, Spans([(entry.first, entry.last)]))
            after = entries[-1].last
    assert sorted(found) == sorted(text for _, _, text in expected)
    assert (cursor.through, cursor.unconfirmed) == (journal.newest, 0)
    journal.close()


def test_the_loss_is_on_the_card_before_anything_goes(desk, monkeypatch):
    # The record of the loss is in the last of several commits.
    monkeypatch.setattr("agent.journal.waiting.COMMIT_BYTES", 4_000)
    journal = desk.open()
    journal.cursor("uplink")
    carry_out, gone = journal._carry_out, []

    def carried_out(file, thinned):
        gone.append(thinned.gone)
        on_record = sum(int(loss.split(b"=")[1]) for loss in desk.losses())
        assert on_record >= sum(gone)
        carry_out(file, thinned)

    monkeypatch.setattr(journal, "_carry_out", carried_out)
    Site(journal).commit(220)
    assert len(gone) > 3
    journal.close()


class PowerCut(Exception):
    pass


STEPS = ["before", "unfinished", "renamed", "done"]


@pytest.mark.parametrize("when", STEPS)
def test_a_power_cut_while_a_file_is_thinned_leaves_the_old_or_the_new_one(
    desk, tmp_path, monkeypatch, when
):
    journal = desk.open()
    journal.cursor("uplink")
    site = Site(journal)
    write_whole, copies = files_module.write_whole, []

    def cut_off(path, data):
        if not copies and path.exists():
            if when == "unfinished":
                path.with_name(path.name + ".new").write_bytes(data[: len(data) // 2])
            elif when in {"renamed", "done"}:
                write_whole(path, data)
            copies.append(Desk(tmp_path / "copy", None, desk.options))
            shutil.copytree(desk.folder, copies[0].folder)
            if when == "done":
                return
            raise PowerCut

        write_whole(path, data)

    monkeypatch.setattr(files_module, "write_whole", cut_off)
    with contextlib.suppress(PowerCut):
        for _ in range(150):
            site.commit(1)
            if copies:
                break
    kill(journal)
    before = {n for b in copies[0].blocks() for n, _, _ in b.numbered()}
    monkeypatch.setattr(files_module, "write_whole", write_whole)
    again = copies[0].open()
    again.cursor("uplink")
    assert {n for _, n, _ in kept(again)} == before
    assert again.used_bytes == sum(p.stat().st_size for p in copies[0].segments())
    Site(again, site.number).commit(30)
    assert [text for _, _, text in kept(again) if text.startswith(b"alert,")][:3] == [
        alert(n * 1_500) for n in (1, 2, 3)
    ]
    assert not any(loss.startswith(b"damaged") for loss in copies[0].losses())
    assert used(copies[0]) <= BUDGET + 20_000
    again.close()


def test_a_budget_that_shrank_is_reached_again(desk):
    journal = desk.open(max_bytes=10_000_000)
    Site(journal).commit(150)
    journal.close()
    assert used(desk) > BUDGET + 100_000
    journal = desk.open()
    journal.cursor("uplink")
    for _ in range(100):
        commit(journal, line(1))
        if used(desk) <= BUDGET:
            break
    assert used(desk) <= BUDGET
    journal.close()


@pytest.mark.timeout(60)
def test_a_whole_file_of_small_commits_is_thinned_without_holding_up_the_next_commit(tmp_path):
    """A day of 20 sensors, committed every 30 s, once took minutes: each block was joined anew."""
    desk = Desk(tmp_path / "journal", None)
    journal = desk.open()
    rnd = random.Random(1)
    for number in range(2_000):
        new = [reading(0, round(rnd.random(), 2), number * 30 + n, f"s{n}") for n in range(10)]
        journal.append(new)
        journal._files.write(journal.take())
    blocks = list(journal._files.blocks(0, journal.newest))
    assert len(blocks) == 2_000
    started = process_time()
    thinned = thin(blocks, 1)
    assert process_time() - started < 3
    assert thinned.gone + sum(len(b.lines) for b in thinned.blocks) == 20_000
    journal.close()


@pytest.mark.timeout(60)
def test_90_days_of_20_sensors_fit_into_500_mb(tmp_path):
    """Every minute, three numbers each, in two records, written as the daemon writes them."""
    desk = Desk(tmp_path / "journal", None)
    journal = desk.open()
    rnd = random.Random(1)
    temperature, humidity, volt = [20.0] * 20, [50.0] * 20, [3.0] * 20
    hours = 6
    for number in range(hours * 120):
        new = []
        for n in range(number % 2, 20, 2):
            temperature[n] += rnd.gauss(0, 0.05)
            humidity[n] += rnd.gauss(0, 0.2)
            volt[n] += rnd.gauss(0, 0.001)
            at = (AT_US + number * 30_000_000 + n * 1_000_000) * 1000
            tags = f"gateway=oouchi-07,place=room {n % 6},sensor=meter {n},site=大内".replace(
                " ", r"\ "
            )
            says = f"humidity_percent={humidity[n]:.1f},temperature_celsius={temperature[n]:.2f}"
            new.append(f"air,{tags} {says} {at}\n".encode())
            new.append(f"battery,{tags} battery_volt={volt[n]:.3f} {at}\n".encode())
        journal.append(new)
        states = {"engine": rnd.randbytes(2_000)} if number % 20 == 0 else None
        journal._files.write(journal.take(states))
    used_bytes = journal._files._active.end + sum(f.bytes for f in journal.manifest.filed)
    assert used_bytes * 24 / hours * 90 < 500e6
    journal.close()
