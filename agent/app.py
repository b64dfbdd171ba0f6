"""The daemon: makes the parts from the configuration, and is the only place that joins them.

    transports -> Pipeline -> Journal -> Uplink      Bookkeeper commits, Timekeeper keeps the time
                     |
                   Engine                            page, lamp and buzzer look on

Each part is supervised by itself: none can stop another. On SIGTERM the parts end first, then what
was heard is committed, then the journal is closed.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TypeAlias

from agent import site
from agent.bookkeeper import Bookkeeper
from agent.clock import Clock
from agent.cloud import Cloud
from agent.health import Health, notify_systemd
from agent.hearing import transports
from agent.journal import Journal
from agent.overview import Overview
from agent.pipeline import Pipeline
from agent.signals import Output, Signals
from agent.supervise import supervise
from agent.timekeeper import Timekeeper
from agent.web.listener import listener, somebody_knocks
from drivers.transport import Transport, TransportReport, TransportState
from gateway_config.model import GatewayConfig
from gateway_config.model import UplinkSettings as UplinkSection
from rules.engine import Engine

STOP_S = 3.0
"""For the parts to end when the daemon stops; the last commit comes after that."""

Run: TypeAlias = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


async def run(config: GatewayConfig, journal: Journal, clock: Clock, kernel: str) -> None:
    """Run the daemon until SIGTERM or SIGINT. `kernel` names the start of the machine."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await App(config, journal, clock, kernel).run(stop)


class App:
    """All parts of one gateway, joined."""

    def __init__(self, config: GatewayConfig, journal: Journal, clock: Clock, kernel: str) -> None:
        self._config, self._journal, self._clock = config, journal, clock
        self._transports = transports(config, clock.now)
        self._health = Health((transport.name for transport in self._transports), clock.now)
        self._pipeline = _pipeline(config, journal, on_urgent=self._hurry)
        self._bookkeeper = Bookkeeper(
            self._pipeline,
            journal,
            commit_every_s=config.journal.commit_every.total_seconds(),
            on_commit=self._committed,
            on_tick=self._ticked,
        )
        self.overview = Overview(
            config,
            site.sensors(config),
            self._pipeline,
            self._bookkeeper,
            journal,
            self._health,
            clock,
            clock.now(),
        )
        self._pipeline.catch_up(journal.since_state())
        if journal.is_machine_restarted:
            self._pipeline.intake.sampler.begin_anew()
        self._timekeeper = Timekeeper(
            clock, journal, kernel, on_step=self._pipeline.shift, on_settled=self._hurry
        )
        # Only now: what was heard before counts in the time of before.
        _listen_from_now(self._pipeline, config, clock.now())
        self._cloud = None if config.uplink is None else self._made_cloud(config.uplink)
        self._signals = Signals(
            _output(config.signals.lamp_pin),
            _output(config.signals.buzzer_pin),
            buzzer_for=config.signals.buzzer_for,
            alerts=lambda: self._pipeline.engine.open,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run all parts until `stop` is set; returns with everything committed."""
        parts = self._start()
        log.info(
            "%s is watching over %d sensors", self._config.gateway.name, len(self._config.sensor)
        )
        notify_systemd("READY=1")
        try:
            await stop.wait()
        finally:
            notify_systemd("STOPPING=1")
            for part in parts:
                part.cancel()
            _, stuck = await asyncio.wait(parts, timeout=STOP_S)
            for part in stuck:
                log.error("%s did not stop within %.0f s", part.get_name(), STOP_S)
            await self._bookkeeper.finish()
            self._signals.close()
            log.info("stopped")

    def _start(self) -> list["asyncio.Task[None]"]:
        parts: list[tuple[str, Run, Callable[[str], None]]] = [
            (transport.name, self._hearing(transport), self._broken(transport.name))
            for transport in self._transports
        ]
        parts.append(("journal", self._bookkeeper.run, log.error))
        if self._cloud is not None:
            parts.append(("uplink", self._cloud.uplink.run, log.error))
        if self._config.page.enabled:
            parts.append(("page", self._page, log.error))
        return [asyncio.create_task(supervise(*part), name=part[0]) for part in parts]

    def _hearing(self, transport: Transport) -> Run:
        return lambda: transport.run(self._pipeline.receive, self._health.reporter(transport.name))

    def _broken(self, transport: str) -> Callable[[str], None]:
        report = self._health.reporter(transport)
        return lambda message: report(TransportReport(TransportState.BROKEN, message))

    async def _page(self) -> None:
        page, zone = self._config.page, self._config.gateway.timezone
        with listener(page.listen, page.port) as listening:
            host = f"[{page.listen}]" if ":" in page.listen else page.listen
            log.info("page at http://%s:%d/", host, page.port)
            await somebody_knocks(listening)
            from agent.web.server import create_app, serve  # noqa: PLC0415  # see listener.py

            await serve(create_app(self.overview.status, zone), listening)

    def _made_cloud(self, section: UplinkSection) -> Cloud:
        cloud = Cloud(self._config.gateway, section, self._journal, self._timekeeper, self.overview)
        if (spent := self._journal.state("link")) is not None:
            with _forgiven("what the link has cost today"):
                cloud.uplink.load(spent)
        self._pipeline.keep("link", cloud.uplink.dump)
        self.overview.outbox, self.overview.uplink = cloud.outbox, cloud.uplink
        return cloud

    def _hurry(self) -> None:
        self._bookkeeper.hurry()

    def _committed(self) -> None:
        if self._cloud is not None:
            self._cloud.committed()

    def _ticked(self) -> None:
        """Called between commits only: a commit that hangs lets the watchdog bite.

        One that fails does not: what waits in memory would be lost with a restart.
        """
        self._timekeeper.look()
        if self._cloud is not None:
            self._cloud.tick()
        # In whole seconds, as numbers are stamped: so none comes too late for the rules, and going
        # through the records again gives the same alerts to the microsecond.
        self._pipeline.advance(self._clock.now().replace(microsecond=0))
        self._signals.update(self._clock.now())
        notify_systemd("WATCHDOG=1")


def _pipeline(
    config: GatewayConfig, journal: Journal, *, on_urgent: Callable[[], None]
) -> Pipeline:
    """Return a pipeline that goes on where the journal was left."""
    intake = site.intake(config)
    if (taken := journal.state("sampler")) is not None:
        with _forgiven("what the sensors said last"):
            intake.sampler.load(taken)
    engine = _engine(config, journal)
    return Pipeline(intake, engine, site.line_writer(config), journal, on_urgent=on_urgent)


def _listen_from_now(pipeline: Pipeline, config: GatewayConfig, now: datetime) -> None:
    """Let the time in which nobody listened count as such."""
    if pipeline.engine.now is not None:
        pipeline.engine = site.resumed(config, pipeline.engine, now)


def _engine(config: GatewayConfig, journal: Journal) -> Engine:
    if (snapshot := journal.state("engine")) is not None:
        with _forgiven("the state of the rules"):
            presence = site.presence_sensors(config)
            engine = Engine.restore(config.rule, json.loads(snapshot), presence)
            for name in engine.forgotten:
                log.warning("rule %r begins to learn anew: another version wrote its memory", name)
            return engine
    return site.engine(config)


@contextlib.contextmanager
def _forgiven(what: str) -> Iterator[None]:
    """Begin afresh rather than not at all, if the journal holds a state that cannot be read."""
    try:
        yield
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        log.warning("%s cannot be read from the journal (%r): it begins afresh", what, problem)


def _output(pin: int | None) -> Output | None:
    if pin is None:
        return None
    from drivers.transports.gpio import Output as PinOutput  # noqa: PLC0415

    try:
        return PinOutput(pin)
    except Exception as problem:  # noqa: BLE001  # a lamp that fails must not stop the watching
        log.warning("GPIO %d cannot be used as an output: %s", pin, problem)
        return None
