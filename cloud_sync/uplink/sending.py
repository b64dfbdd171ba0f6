"""What one connection sends, and when: alerts now, the rest in its turn.

Bytes cost money. Readings leave together, once in `send_every_s`; with QoS 0 as long as they are
confirmed (an acknowledgement by the broker costs 80 bytes and proves nothing), with QoS 1 the first
time, after a silence, and while others wait behind them. Alerts are always sent with QoS 1. A
broker that does not acknowledge within ACKNOWLEDGE_S what it has to is not there any more.
"""

import json
import random
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Literal

from cloud_sync.broker import BrokerUnavailableError
from cloud_sync.messages import encode_hello
from cloud_sync.topics import INGESTERS
from cloud_sync.uplink.session import Session
from cloud_sync.uplink.standing import MIN_ROOM_BYTES, Standing
from cloud_sync.uplink.under_way import Part

FIRST_SYNC_WITHIN_S = 10.0
"""After connecting: anywhere in it, so that a thousand gateways do not send in the same second."""

GRANT_S = 10.0
"""How long readings wait for the broker's answer to our subscriptions: what it retains comes with
it, and may say that the cloud has them already."""

RETAINED_S = 0.2
"""How far behind that answer it may come."""

ACKNOWLEDGE_S = 45.0
"""A packet takes 8 s at 32 kbit/s with 10 % loss. With the 30 s that a confirmation may take before
it, where nobody has to acknowledge, a broker that is gone is noticed within 2 minutes."""

STATE_EVERY_S, STATE_AT_LEAST_EVERY_S = 900.0, 86_400.0
PASSING_STATE = frozenset({"at", "unconfirmed", "link_bytes_today"})
"""What alone is no reason to say the state again."""


class Sending:
    """Call `turn` whenever something has happened, and `next_wait_s` after that at the latest."""

    def __init__(self, standing: Standing, session: Session) -> None:
        self._standing, self._session = standing, session
        self._under_way = standing.under_way
        self.is_confirming = False
        """Whether what this connection sends is confirmed, and in time."""
        self.series_told: int | None = None
        """The id of the table that was sent last."""
        self.series_mid: int | None = None
        """What its acknowledgement will name."""
        self.series_told_s = -inf
        """When that was."""
        self._is_announced = False
        self._next_state_s = self._state_due_s = 0.0
        self._state_told: Mapping[str, object] = {}
        self._first_sync_s, self.next_fresh_s = inf, 0.0

    def greet(self) -> None:
        """Begin: what was under way in the last connection may be lost."""
        standing, session = self._standing, self._session
        self._under_way.rewind()
        standing.asking_time.start_over()
        if session.max_packet_bytes is not None:
            standing.packer.broker_takes(session.max_packet_bytes)
        if not standing.expects_ingester:
            self._sync_soon(0.0)
            return
        filters = [(standing.topic(leaf), 0) for leaf in ("confirmed", "time")]
        session.subscribe([*filters, (standing.topic("ask"), 1), (f"{INGESTERS}/+", 0)])
        self._sync_soon(GRANT_S)

    def subscriptions_granted(self) -> None:
        """What is retained has come, or comes just now."""
        self._sync_soon(RETAINED_S)

    def _sync_soon(self, at_least_s: float) -> None:
        within_s = min(FIRST_SYNC_WITHIN_S, self._standing.settings.send_every_s)
        offset_s = random.uniform(0.1, 1.0) * within_s  # noqa: S311  # it protects nothing
        self._first_sync_s = min(self._first_sync_s, monotonic() + at_least_s + offset_s)

    def turn(self) -> None:
        """Send what is to be sent now. Raises BrokerUnavailableError if nobody is there."""
        now_s = monotonic()
        self._look_for_silence(now_s)
        self.count()
        self._send_events()
        self._ask_time(now_s)
        self._send_readings(now_s)
        self._send_state(now_s)

    @property
    def next_wait_s(self) -> float:
        """In how many seconds something is due, if nothing happens before."""
        now_s, under_way = monotonic(), self._under_way
        moments = [self._next_state_s, under_way.unacknowledged_since_s + ACKNOWLEDGE_S]
        if (deadline_s := under_way.next_deadline_s) is not None:
            moments.append(deadline_s)
        if self._standing.expects_ingester and self._standing.host.wants_time():
            moments.append(self._standing.asking_time.next_s)
        # A full window waits for a confirmation, or for the deadline, and not for the next sync;
        # where nobody is, readings wait for a sign.
        if not (under_way.is_full or self._standing.ingesters.are_away):
            due_s = max(self._first_sync_s, self.next_fresh_s)
            moments.append(max(due_s, under_way.on_its_way_until_s(now_s)))
        return max(0.01, min(moments) - now_s)

    def count(self) -> None:
        """Take note of what the link has cost since the last time."""
        standing = self._standing
        standing.budget.spend(self._session.measure(), standing.host.today())
        if not standing.waits_for_tomorrow:
            standing.is_over("budget")

    def _look_for_silence(self, now_s: float) -> None:
        """Send again what nobody confirmed in time, more slowly each time."""
        if now_s - self._under_way.unacknowledged_since_s > ACKNOWLEDGE_S:
            raise BrokerUnavailableError(
                f"the broker has not acknowledged for {ACKNOWLEDGE_S:.0f} s what was sent to it: "
                "the link is dead, or something on the way takes what is not meant for it"
            )
        waited_s = self._under_way.timeout_s
        if not self._under_way.give_up_waiting(now_s):
            return
        self.is_confirming = False
        who = "the ingester" if self._standing.expects_ingester else "the broker"
        self._standing.complain(
            "silence",
            f"{who} has not confirmed what was sent {waited_s:.0f} s ago: "
            "sending it again; see whether it runs, and whether InfluxDB takes its writes",
        )

    def _send_events(self) -> None:
        while self._send("events", inf, qos=1):
            pass
        if not self._is_announced:
            self._is_announced = True
            if self._standing.retained is not None:
                self._publish_all(self._standing.retained.announcements())

    def _send_readings(self, now_s: float) -> None:
        """Send what may go now: one packet at a time, fresh readings before older ones."""
        if self._is_nobody_there() or now_s < self._first_sync_s:
            return
        while not (self._under_way.on_its_way_until_s(now_s) or self._under_way.is_full):
            if now_s >= self.next_fresh_s:
                if self._send_if_affordable("fresh"):
                    continue
                self.next_fresh_s = now_s + self._standing.interval_s(now_s)
                if self._standing.retained is not None:
                    self._publish_all(self._standing.retained.changes())
            if not self._send_if_affordable("backfill"):
                return

    def _is_nobody_there(self) -> bool:
        standing = self._standing
        if not standing.ingesters.are_away:
            if "away" in standing.troubles:
                # All gateways have waited for this moment.
                standing.is_over("away")
                self._first_sync_s = inf
                self._sync_soon(0.0)
            return False
        standing.complain(
            "away",
            "no ingester is there: readings wait here until one is, and alerts are left with the "
            "broker; see whether `satomori ingest` runs",
        )
        return True

    def _send_if_affordable(self, part: Literal["fresh", "backfill"]) -> bool:
        standing = self._standing
        room = standing.budget.room(part)
        if room >= MIN_ROOM_BYTES:
            return self._send(part, room - MIN_ROOM_BYTES / 2)
        if standing.waits_for_tomorrow:
            standing.complain(
                "budget",
                f"the {(standing.budget.max_bytes or 0) / 1e6:g} MB of today are used up: readings "
                "wait for tomorrow, alerts do not; see max_mb_per_day",
            )
        return False

    def _send(self, part: Part, room: float, qos: int | None = None) -> bool:
        """Send one batch; returns whether there was one, and a place in the window."""
        packer = self._standing.packer
        batch = self._under_way.next_batch(part, packer.raw_bytes(room))
        if batch is None:
            return False
        batch, payload = packer.fit(batch, room)
        if qos is None:
            is_safe = self._standing.expects_ingester and self.is_confirming
            qos = int(not is_safe or self._under_way.has_more(part, batch))
        self._tell_series()
        is_event = part == "events"
        topic = self._standing.topic("events" if is_event else "readings")
        mid = self._session.publish(topic, payload, qos=qos, again=not is_event)
        self._under_way.sent(
            mid, part, batch, monotonic(), size=len(payload), is_acknowledged=bool(qos)
        )
        return True

    def _tell_series(self) -> None:
        """See to it that the table by which the next batch names its series is there before it."""
        packer = self._standing.packer
        table_id = packer.table.id
        if packer.encoding != "columns" or table_id == self.series_told:
            return
        topic, payload = self._standing.topic("series"), packer.table.payload()
        self.series_mid = self._session.publish(topic, payload, qos=1, retain=True)
        self.series_told, self.series_told_s = table_id, monotonic()

    def _ask_time(self, now_s: float) -> None:
        standing = self._standing
        if not standing.expects_ingester or now_s < standing.asking_time.next_s:
            return
        if standing.host.wants_time():
            hello = encode_hello(standing.asking_time.ask(now_s))
            self._session.publish(standing.topic("hello"), hello, qos=0)

    def _send_state(self, now_s: float) -> None:
        """Say how the gateway is doing, if it has changed, or a day has passed."""
        if now_s < self._next_state_s:
            return
        self._next_state_s = now_s + STATE_EVERY_S
        state = {"v": 1, "state": "online", **self._standing.host.state()}
        lasting = {key: value for key, value in state.items() if key not in PASSING_STATE}
        if lasting == self._state_told and now_s < self._state_due_s:
            return
        self._state_told, self._state_due_s = lasting, now_s + STATE_AT_LEAST_EVERY_S
        payload = json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()
        self._session.publish(self._standing.topic("state"), payload, qos=1, retain=True)

    def _publish_all(self, messages: Mapping[str, bytes]) -> None:
        for topic, payload in messages.items():
            self._session.publish(topic, payload, qos=0, retain=True)
