"""Connects to the broker, again and again, and says how the link is doing."""

import asyncio
import contextlib
import json
import logging
from enum import StrEnum, auto
from time import monotonic

from cloud_sync.broker import (
    Broker,
    BrokerError,
    BrokerRefusedError,
    BrokerUnavailableError,
    NoMqtt5Error,
)
from cloud_sync.uplink.backoff import Backoff
from cloud_sync.uplink.byte_budget import ByteBudget
from cloud_sync.uplink.listening import Listening
from cloud_sync.uplink.sending import Sending
from cloud_sync.uplink.session import Session
from cloud_sync.uplink.standing import Host, Retained, Standing, UplinkSettings
from cloud_sync.uplink.under_way import CONFIRM_TIMEOUT_S, Outbox, UnderWay

REFUSALS = frozenset({0x81, 0x82, 0x95, 0x99})
"""Malformed, protocol error, too large, payload invalid. Mosquitto answers what is above its
message_size_limit with a reason that no acknowledgement may have, and paho ends the connection."""

log = logging.getLogger(__name__)


class LinkState(StrEnum):
    """How the way to the cloud is doing."""

    OFF = auto()
    """None is configured."""
    CONNECTING = auto()
    ONLINE = auto()
    WAITING = auto()
    """Not connected; the next attempt comes by itself."""


class Uplink:
    """One gateway's way to the cloud. `run` it; `wake` it when something was appended."""

    def __init__(
        self,
        broker: Broker,
        settings: UplinkSettings,
        outbox: Outbox,
        host: Host,
        *,
        retained: Retained | None = None,
        confirm_timeout_s: float = CONFIRM_TIMEOUT_S,
    ) -> None:
        self.link = LinkState.CONNECTING
        self._broker = broker
        self._standing = Standing(settings, host, UnderWay(outbox, confirm_timeout_s), retained)
        self._protocols = list(broker.protocols)
        self._hung_up = 0
        """How many times in a row the broker hung up on the login."""
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._online_since_s: float | None = None

    @property
    def message(self) -> str:
        """What is wrong and what is done about it; "" when all is well."""
        return "; ".join(self._standing.troubles.values())

    @property
    def confirmed_at(self) -> float | None:
        """time.monotonic() of the last confirmation."""
        return self._standing.confirmed_at

    @property
    def budget(self) -> ByteBudget:
        """What the link has cost today."""
        return self._standing.budget

    @property
    def waits_for_tomorrow(self) -> bool:
        """Whether readings wait because today's bytes are used up."""
        return self._standing.waits_for_tomorrow

    def dump(self) -> bytes:
        """Return all that `load` needs to go on from here: the bytes of today."""
        return self.budget.dump()

    def load(self, dumped: bytes) -> None:
        """Go on where `dump` was called. Raises ValueError, and then nothing has changed."""
        self.budget.load(dumped)

    def wake(self) -> None:
        """Look at the journal again: something new may be in it."""
        self._wake.set()

    def look_again(self) -> None:
        """Look at all of the journal again: what was held back before may be ready."""
        self._standing.under_way.look_again()
        self._wake.set()

    async def run(self) -> None:
        """Connect, send, and reconnect, until cancelled."""
        while True:
            self.link, self._online_since_s = LinkState.CONNECTING, None
            try:
                await self._connected()
            except NoMqtt5Error as problem:
                log.info("%s", problem)
                self._protocols = self._protocols[1:] or list(self._broker.protocols)
                continue
            except BrokerError as problem:
                self._standing.complain("link", str(problem))
                wait_s = self._wait_s(problem)
            self.link = LinkState.WAITING
            await asyncio.sleep(wait_s)

    def _wait_s(self, problem: BrokerError) -> float:
        since_s = self._online_since_s
        lasted_s = 0.0 if since_s is None else monotonic() - since_s
        is_refused = isinstance(problem, BrokerRefusedError)
        return self._backoff.wait_s(lasted_s=lasted_s, is_refused=is_refused)

    async def _connected(self) -> None:
        """Be connected once. Raises BrokerError when it is over."""
        protocol = self._protocols[self._hung_up % len(self._protocols)]
        gateway = self._standing.settings.gateway
        client_id = f"satomori-{gateway}"
        will = json.dumps({"v": 1, "state": "offline", "gateway": gateway}).encode()
        session = Session(
            self._broker, client_id, protocol, (self._standing.topic("state"), will), self._wake
        )
        sending = Sending(self._standing, session)
        try:
            await self._log_in(session)
            sending.greet()
            await self._talk(session, sending)
        finally:
            await session.close()
            sending.count()

    async def _log_in(self, session: Session) -> None:
        try:
            await session.open()
        except TimeoutError:
            # Some brokers hang up on a protocol they do not know, instead of saying so.
            self._hung_up += 1
            raise BrokerUnavailableError(
                f"{self._broker} did not answer the login: is it an MQTT broker, and not the login "
                "page of a guest network?"
            ) from None
        log.info("connected to %s", self._broker)
        self._hung_up = 0
        self.link, self._online_since_s = LinkState.ONLINE, monotonic()
        self._standing.choose_encoding(monotonic())
        self._standing.is_over("link", "lost")

    async def _talk(self, session: Session, sending: Sending) -> None:
        listening = Listening(self._standing, sending)
        while True:
            self._wake.clear()
            # Also when it is over: the broker may have said why.
            session.take_in(listening)
            if session.end is not None:
                self._standing.hung_up(is_refusal=session.end.value in REFUSALS)
                raise self._broker.loss(session.end, session.client_id)
            sending.turn()
            # Not wait_for: in Python 3.11 it can swallow a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sending.next_wait_s):
                    await self._wake.wait()
