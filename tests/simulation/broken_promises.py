"""Breaks each promise of docs/promises.md in turn, and shows that a test notices.

A test that cannot fail proves nothing. Each mutation below is a mistake that somebody could make
in one line: a sync that is left out, an acknowledgement that comes too early, a number given twice,
a time that is believed before anything has set the clock. It is made in a copy of the tree, and the
test that guards the promise runs there; if it passes, the promise is not guarded.

Run as `python -m tests.simulation.broken_promises [--only WORDS]`; it takes some minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COPIED = ("agent", "cloud_sync", "drivers", "gateway_config", "rules", "tests", "pyproject.toml")
TIMEOUT_S = 300.0
FAILED = 1
"""What pytest returns if tests failed; anything else is a mutation that does not even run."""


class Mutation(NamedTuple):
    """One mistake in one place."""

    promise: int
    mistake: str
    file: str
    before: str
    """Occurs once in the file."""
    after: str
    test: str


UPLINK = "tests/cloud_sync/test_uplink.py::"
ROOM = "tests/agent/test_journal_room.py::"
CUTS = "tests/simulation/test_power_cuts.py::"
CUTS += "test_the_journal_keeps_its_promises_whenever_the_power_goes"

MUTATIONS = (
    Mutation(
        1,
        "skip a sync: a commit is written and not synced",
        "agent/journal/segment.py",
        "        os.fdatasync(self._handle)\n        self.heads +=",
        "        self.heads +=",
        CUTS,
    ),
    Mutation(
        1,
        "skip a sync: the name of a new file is not synced",
        "agent/journal/segment.py",
        "    unfinished.rename(path)\n    sync_folder(path.parent)\n",
        "    unfinished.rename(path)\n",
        CUTS,
    ),
    Mutation(
        1,
        "forget what a killed daemon had accepted",
        "agent/journal/journal.py",
        "            self._keep(left)\n",
        "            pass\n",
        "tests/agent/test_journal_recovery.py",
    ),
    Mutation(
        1,
        "act on an alert before it is on the card",
        "agent/bookkeeper.py",
        "        loop = asyncio.get_running_loop()\n        try:\n            await",
        "        loop = asyncio.get_running_loop()\n        self._on_commit()\n"
        "        try:\n            await",
        "tests/agent/test_bookkeeper.py",
    ),
    Mutation(
        2,
        "reuse a sequence number after a restart",
        "agent/journal/journal.py",
        "        self._waiting.begin(self.boot, self.manifest.next)\n",
        "        self._waiting.begin(self.boot, max(1, self.manifest.next - 1))\n",
        CUTS,
    ),
    Mutation(
        2,
        "give two alerts of one moment the same time",
        "agent/pipeline.py",
        "            event = replace(event, at=last + MICROSECOND)\n",
        "            pass\n",
        "tests/agent/test_pipeline.py::test_two_alerts_at_one_moment_are_two_points",
    ),
    Mutation(
        2,
        "give two readings of one moment the same time",
        "agent/sampling.py",
        "                at = last.at + MICROSECOND\n",
        "                pass\n",
        "tests/agent/test_sampling.py::"
        "test_no_moment_is_given_twice_and_none_is_far_from_when_it_was_heard",
    ),
    Mutation(
        3,
        "ack early: the gateway believes the broker",
        "cloud_sync/uplink/listening.py",
        "        if self._standing.expects_ingester:\n            self._standing.passed(",
        "        if not self._standing.expects_ingester:\n            self._standing.passed(",
        UPLINK + "test_only_a_confirmation_moves_the_cursor",
    ),
    Mutation(
        3,
        "ack early: the ingester confirms what it has not written yet",
        "cloud_sync/ingester/ingester.py",
        "            coming.add(Arrival(gateway, batch))\n",
        "            coming.add(Arrival(gateway, batch))\n"
        "            self._held.add(gateway, batch.boot, batch.sequence, batch.floor)\n"
        "            self._news[gateway] = None\n",
        "tests/cloud_sync/test_ingester.py::"
        "test_an_outage_of_influx_confirms_nothing_and_loses_nothing",
    ),
    Mutation(
        4,
        "thin alerts like readings",
        "agent/journal/room.py",
        "        if is_event(line):\n            yield number, line, stamp\n        elif",
        "        if",
        ROOM + "test_alerts_and_losses_are_never_touched",
    ),
    Mutation(
        4,
        "delete first, and write the loss down later",
        "agent/journal/journal.py",
        "        if self._plan and self._plan_after and self.newest >= self._plan_after:\n",
        "        if self._plan:\n",
        ROOM + "test_the_loss_is_on_the_card_before_anything_goes",
    ),
    Mutation(
        5,
        "send readings before alerts",
        "cloud_sync/uplink/sending.py",
        "        self._send_events()\n        self._ask_time(now_s)\n"
        "        self._send_readings(now_s)\n",
        "        self._send_readings(now_s)\n        self._ask_time(now_s)\n"
        "        self._send_events()\n",
        UPLINK + "test_an_alert_leaves_first_when_both_are_due_at_the_same_moment",
    ),
    Mutation(
        5,
        "put the whole backlog on its way at once",
        "cloud_sync/uplink/sending.py",
        "(self._under_way.on_its_way_until_s(now_s) or self._under_way.is_full)",
        "self._under_way.is_full",
        UPLINK + "test_an_alert_overtakes_a_days_backlog_on_a_slow_link",
    ),
    Mutation(
        6,
        "stamp before NTP: believe a clock that nothing has set",
        "agent/timekeeper.py",
        "Stamp(self._kernel, self.clock.offset_us, is_right)",
        "Stamp(self._kernel, self.clock.offset_us, settled=True)",
        "tests/agent/test_timekeeper.py::test_in_any_world_no_reading_leaves_with_a_wrong_time",
    ),
    Mutation(
        6,
        "let rules feel that the clock was set",
        "agent/timekeeper.py",
        "            self._on_step(step)\n",
        "            pass\n",
        "tests/agent/test_timekeeper.py",
    ),
    Mutation(
        6,
        "let durations that run feel that the clock was set",
        "agent/pipeline.py",
        "        self.engine.shift(step)\n",
        "        pass\n",
        "tests/agent/test_same_alerts.py::test_clocks_that_are_set_and_kills_change_nothing_either",
    ),
    Mutation(
        7,
        "wait for ever for a broker that does not answer",
        "cloud_sync/uplink/sending.py",
        "        if now_s - self._under_way.unacknowledged_since_s > ACKNOWLEDGE_S:\n",
        "        if now_s - self._under_way.unacknowledged_since_s > 1e9:\n",
        UPLINK + "test_a_link_that_goes_dead_is_noticed_and_left",
    ),
    Mutation(
        8,
        "forget the budget of the day",
        "cloud_sync/uplink/sending.py",
        "        if room >= MIN_ROOM_BYTES:\n",
        "        if True:\n",
        UPLINK + "test_when_the_bytes_of_a_day_are_used_up_readings_wait_and_alerts_do_not",
    ),
    Mutation(
        9,
        "commit each reading by itself",
        "agent/bookkeeper.py",
        "        return is_late or self._journal.wants_commit\n",
        "        return True\n",
        "tests/agent/test_bookkeeper.py::test_readings_are_committed_together",
    ),
    Mutation(
        9,
        "let the journal grow above its budget",
        "agent/journal/journal.py",
        "        if self.used_bytes > self.max_bytes and self._plan is None:\n",
        "        if False:\n",
        ROOM + "test_over_budget_it_is_thinned_and_every_loss_is_on_record",
    ),
    Mutation(
        10,
        "do not check what is read from the card",
        "agent/journal/block.py",
        "        if zlib.crc32(memoryview(data)[at + 8 : end]) != crc:\n",
        "        if False:\n",
        CUTS,
    ),
)


def mutated(mutation: Mutation) -> str:
    """Return the file's text with the mistake. Raises ValueError if its place is not unique."""
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    if text.count(mutation.before) != 1:
        raise ValueError(f"{mutation.file} has changed: where is {mutation.before!r} now?")
    return text.replace(mutation.before, mutation.after)


def outcome(mutation: Mutation, tree: Path) -> tuple[bool, str]:
    """Return whether a test noticed the mistake in this copy of the tree, and which did."""
    path = tree / mutation.file
    text = mutated(mutation)
    original = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-rf", mutation.test],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    finally:
        path.write_text(original, encoding="utf-8")
    failed = [line for line in ended.stdout.splitlines() if line.startswith("FAILED")]
    if ended.returncode != FAILED or not failed:
        return False, f"status {ended.returncode}: {ended.stdout[-300:].strip()}"
    return True, failed[0].removeprefix("FAILED ").partition(" - ")[0]


def noticed(mutations: list[Mutation]) -> Iterator[tuple[Mutation, bool, str]]:
    """Make each mistake in turn, in a copy of the tree of its own."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tree / name)
        for mutation in mutations:
            yield mutation, *outcome(mutation, tree)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="only mistakes with these words")
    only = parser.parse_args().only
    unguarded = 0
    for mutation, is_noticed, by in noticed([m for m in MUTATIONS if only in m.mistake]):
        print(f"{mutation.promise:2} {mutation.mistake}")
        print(f"   {'noticed by' if is_noticed else 'NOT NOTICED:'} {by}", flush=True)
        unguarded += not is_noticed
    return int(bool(unguarded))


if __name__ == "__main__":
    sys.exit(main())
