"""What one connection hears, and what follows from it: an Ear for session.py."""

import logging
from collections.abc import Sequence
from time import monotonic

from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.batch import BadPayload
from cloud_sync.messages import Ask, decode_ask, decode_time
from cloud_sync.topics import INGESTERS
from cloud_sync.uplink.sending import Sending
from cloud_sync.uplink.standing import Standing
from cloud_sync.uplink.under_way import Sent
from cloud_sync.wire import decode_confirmed

MAX_SERIES_ASKED = 3
"""An ingester that asks for the series table more often without confirming anything between does
not get it, for whatever reason: then batches have to do without."""

SERIES_PATIENCE_S = 10.0
"""Who asks so soon after it was sent could not have it yet: one ask comes for each batch."""

WITHOUT_SERIES_S = 86_400.0
"""It must outlast the connection: Mosquitto 2.0.11 ends it after whatever it has refused."""

log = logging.getLogger(__name__)


class Listening:
    """Bad input changes nothing and is said once."""

    def __init__(self, standing: Standing, sending: Sending) -> None:
        self._standing, self._sending = standing, sending
        self._under_way = standing.under_way
        self._series_asked = 0
        self._leaves = {
            standing.topic("confirmed"): self._on_confirmed,
            standing.topic("time"): self._on_time,
            standing.topic("ask"): self._on_ask,
        }

    def on_subscribed(self, reasons: Sequence[ReasonCode]) -> None:
        """The broker answered our subscriptions."""
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            self._standing.complain(
                "refusal",
                f"the broker does not let us read what the ingester says ({refused[0]}): check its "
                f"access list for {self._standing.topic('confirmed')} and {INGESTERS}/+",
            )
        self._sending.subscriptions_granted()

    def on_message(self, topic: str, payload: bytes, heard_s: float) -> None:
        """Something came on a topic that we have subscribed to."""
        try:
            if topic in self._leaves:
                self._leaves[topic](payload, heard_s)
            elif topic.startswith(f"{INGESTERS}/"):
                self._on_sign(topic.rpartition("/")[2], payload)
        except BadPayload as problem:
            log.warning("what came on %s cannot be read: %s", topic, problem)

    def on_acknowledged(self, mid: int, reason: ReasonCode) -> None:
        """The broker answered a message, or with QoS 0: it has left."""
        if mid == self._sending.series_mid:
            self._sending.series_mid = None
            if reason.is_failure:
                self._do_without_series(f"the broker refused it: {reason}")
            return
        sent = self._under_way.of(mid)
        if sent is None or not sent.is_acknowledged:
            return
        if reason.is_failure:
            self._on_refused(mid, sent, reason)
            return
        self._under_way.arrived(mid)
        if self._standing.expects_ingester:
            self._standing.passed(sent.boot, sent.numbers)
        else:
            self._standing.confirm(sent.boot, sent.numbers)

    def _on_refused(self, mid: int, sent: Sent, reason: ReasonCode) -> None:
        # It stays under way until its deadline, so that it is tried again, but slowly.
        self._under_way.arrived(mid)
        self._standing.complain(
            "refusal",
            f"the broker refused a batch of {sent.lane} ({reason}): check its access list for "
            f"{self._standing.topic(sent.lane)}; nothing is lost, it is tried again now and then",
        )

    def _on_confirmed(self, payload: bytes, _heard_s: float) -> None:
        for boot, numbers in decode_confirmed(payload).items():
            if self._standing.confirm(boot, numbers):
                self._sending.is_confirming, self._series_asked = True, 0

    def _on_time(self, payload: bytes, heard_s: float) -> None:
        answer = self._standing.asking_time.answered(decode_time(payload), heard_s, monotonic())
        if answer is not None:
            self._standing.host.on_time(answer.at, answer.uncertainty_s)

    def _on_sign(self, client_id: str, payload: bytes) -> None:
        if self._standing.ingesters.heard(client_id, payload):
            log.info("the ingester %s is there", client_id)
            self._standing.asking_time.start_over()
            self._send_again()

    def _on_ask(self, payload: bytes, _heard_s: float) -> None:
        ask = decode_ask(payload)
        match ask.question:
            case "series":
                self._on_series_asked()
            case "look":
                self._standing.look_until_s = monotonic() + ask.look_for.total_seconds()
                self._sending.next_fresh_s = 0.0
            case "resend":
                self._on_wanted_again(ask)

    def _on_series_asked(self) -> None:
        if monotonic() - self._sending.series_told_s < SERIES_PATIENCE_S:
            return
        self._series_asked += 1
        if self._series_asked > MAX_SERIES_ASKED:
            self._do_without_series("the ingester asks for it again and again")
            return
        self._sending.series_told, self._sending.series_told_s = None, monotonic()
        self._send_again()

    def _do_without_series(self, why: str) -> None:
        standing = self._standing
        if standing.packer.encoding != "columns":
            return
        standing.without_series_until_s = monotonic() + WITHOUT_SERIES_S
        standing.choose_encoding(monotonic())
        standing.complain(
            "series",
            f"the series table does not arrive ({why}): batches go without it, and are larger, for "
            f"a day; check the broker's access list for {standing.topic('series')}",
        )
        self._send_again()

    def _on_wanted_again(self, ask: Ask) -> None:
        count = self._under_way.outbox.reopen(ask.numbers)
        log.info("the cloud wants %d records again, of %s", count, str(ask.numbers)[:200])
        self._under_way.look_again()

    def _send_again(self) -> None:
        """What is under way may not have been taken by whom we hear now."""
        self._under_way.rewind()
        self._sending.is_confirming = False
