"""The whole path under every fault at once: everything that was heard is stored once, at its time.

    python -m tests.simulation.whole_path --scenarios 200 [--seed 1] [--jobs 3]

Each scenario is made from its seed (whole_path_story.py): parts are killed, the link is silent,
slow or half open, the card is full, InfluxDB refuses. Then everything is mended, and what InfluxDB
has is compared with what the sensors said and with what the journal holds (whole_path_check.py).
The story of a scenario follows from its seed; what exactly it meets, from the machine as well.

Prints a line for each scenario; the seed, the story and what is wrong for one that fails. The exit
code is then 1. Takes about a minute for each scenario and job.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.whole_path_check import Evidence, missing, violations
from tests.simulation.whole_path_site import Site
from tests.simulation.whole_path_story import Step, story

TOLERANCE_S = 1.0
CALM_S = 2.0
"""So long sensors go on to talk when all is mended."""

PATIENCE_S = 150.0
"""What the last retry may take: it is made every 30 s or, after a long silence, every minute."""

POLL_S = 0.3
LOG_LINES = 25
EXAMPLES = 5
"""So many violations of a kind are told."""


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended."""

    seed: int
    steps: tuple[Step, ...]
    violations: Sequence[str]
    stored: int
    took_s: float
    healed_s: float
    """From the last mending until everything was stored."""
    report: str
    """What was done, and what the processes said."""

    def __str__(self) -> str:
        verdict = f"{len(self.violations)} VIOLATIONS" if self.violations else "ok"
        faults = ", ".join(f"{step.part} {step.fault}" for step in self.steps)
        return (
            f"seed {self.seed}: {verdict}, {self.stored} rows, all there {self.healed_s:.1f} s "
            f"after the end of {faults} ({self.took_s:.0f} s)"
        )


def run_scenario(seed: int, steps: tuple[Step, ...] | None = None) -> Outcome:
    """Run one, in a folder of its own, which is kept if something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f"satomori-path-{seed}-"))
    steps = story(seed) if steps is None else steps
    try:
        outcome = asyncio.run(_scenario(folder, seed, steps))
    except Exception as problem:  # noqa: BLE001  # the others go on
        report = f"folder: {folder}\n{traceback.format_exc()}"
        outcome = Outcome(seed, steps, [f"could not be run: {problem!r}"], 0, 0.0, 0.0, report)
    if not outcome.violations:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


async def _scenario(folder: Path, seed: int, steps: tuple[Step, ...]) -> Outcome:
    began_s = time.monotonic()
    async with Site(folder, seed) as site:
        await _trouble(site, steps)
        mended_s = time.monotonic()
        evidence = await _evidence(site)
        healed_s = time.monotonic() - mended_s
        return Outcome(
            seed=seed,
            steps=steps,
            violations=violations(evidence, TOLERANCE_S),
            stored=len(evidence.stored),
            took_s=time.monotonic() - began_s,
            healed_s=healed_s,
            report=_report(site),
        )


async def _trouble(site: Site, steps: tuple[Step, ...]) -> None:
    """Let the story happen; returns with everything mended."""
    at_start = [asyncio.create_task(site.step(step)) for step in steps if step.at_s == 0.0]
    # Their first half, breaking something, is done in threads: a moment is enough.
    await asyncio.sleep(0.2)
    site.gateway.start()
    talking = asyncio.create_task(site.feeder.run())
    later = [asyncio.create_task(_later(site, step)) for step in steps if step.at_s > 0.0]
    try:
        await asyncio.gather(*at_start, *later)
        await asyncio.wait_for(site.bluez.scanning(), PATIENCE_S)
        await asyncio.sleep(CALM_S)
    finally:
        talking.cancel()


async def _later(site: Site, step: Step) -> None:
    await asyncio.sleep(step.at_s)
    await site.step(step)


async def _evidence(site: Site) -> Evidence:
    """Return what is there when all is there, or when patience is at its end."""
    deadline_s = time.monotonic() + PATIENCE_S
    await _until(lambda: not missing(site.feeder.said, site.stored()), deadline_s)
    await asyncio.to_thread(site.gateway.stop)
    journal = set(site.journal())
    # What was committed when it stopped is sent by the next start.
    site.gateway.start()
    await _until(lambda: journal <= set(site.stored()), deadline_s)
    await asyncio.to_thread(site.gateway.stop)
    return Evidence(site.feeder.said, site.journal(), site.stored(), site.aside())


async def _until(holds: Callable[[], bool], deadline_s: float) -> None:
    """Wait until it holds, or until it is too late."""
    while not holds() and time.monotonic() < deadline_s:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(POLL_S)


def _report(site: Site) -> str:
    logs = {"satomori run": site.gateway.log, "satomori ingest": site.ingester.log}
    parts = [f"folder: {site.folder}", *site.chronicle]
    for name, log in logs.items():
        parts += [f"-- {name}", *log.splitlines()[-LOG_LINES:]]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow")
    parser.add_argument("--jobs", type=int, default=3, metavar="N", help="at the same time")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.scenarios)
    failed = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(run_scenario, seed) for seed in seeds]):
            outcome = done.result()
            print(outcome, flush=True)
            if outcome.violations:
                failed.append(outcome.seed)
                print(explained(outcome), flush=True)
    print(f"{len(seeds) - len(failed)} of {len(seeds)} scenarios without a violation")
    if failed:
        print(f"violated: --seed {' '.join(map(str, sorted(failed)))}")
    return 1 if failed else 0


def explained(outcome: Outcome) -> str:
    """Return all that helps to find out why a scenario failed."""
    kinds: dict[str, list[str]] = {}
    for violation in outcome.violations:
        kinds.setdefault(_kind(violation), []).append(violation)
    told = [f"seed {outcome.seed}", *map(str, outcome.steps), ""]
    for kind, found in kinds.items():
        told += [f"{len(found)} × {kind}:", *found[:EXAMPLES]]
    return "\n".join([*told, "", outcome.report])


def _kind(violation: str) -> str:
    """Return what two violations have in common: their words without the numbers."""
    return re.sub(r"[-+]?[\d.]+", "N", violation.partition(":")[0])


if __name__ == "__main__":
    sys.exit(main())
