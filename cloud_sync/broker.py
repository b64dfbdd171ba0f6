"""How to reach the MQTT broker, and what its refusals mean. Shared by the uplink and the ingester.

Both are clients of the same broker with the same needs: TLS with a certificate authority of one's
own, a password that stands in a file, MQTT 5 where it is spoken and 3.1.1 where it is not, and a
socket that notices a dead link when there is something to say. Neither leaves reconnecting to paho,
whose back-off has no jitter: after a power cut in the village all gateways would come at once.

    broker = Broker("mqtt.example.org", 8883, tls=True)
    client = broker.client("g12", protocol=5, session_expiry_s=86_400)
    client.on_connect = …                   # broker.refusal(reason_code) says what a failure means
    broker.connect(client, connect_properties(session_expiry_s=86_400))
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

Protocol: TypeAlias = Literal[4, 5]
"""The protocol level in CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5."""

CONNECT_TIMEOUT_S = 25.0
"""For TCP, and again for TLS: with 10 % loss on a slow link they take 5 to 7 s."""

USER_TIMEOUT_MS = 30_000
"""Data that nobody acknowledges for this long ends the connection, long before the keepalive."""

UNSUPPORTED_VERSION, BAD_PASSWORD, NOT_AUTHORISED, TAKEN_OVER = 0x84, 0x86, 0x87, 0x8E
PASSING = frozenset({0x80, 0x83, 0x88, 0x89, 0x97, 0x9F})
"""Unspecified, implementation-specific, unavailable, busy, over quota, too many connections."""


class BrokerError(Exception):
    """There is no session with the broker; the message says with which one, why, and what to do."""


class BrokerUnavailableError(BrokerError):
    """It may be there again soon: try again."""


class BrokerRefusedError(BrokerError):
    """A setting here or there has to change: say so to somebody, and try again slowly."""


class NoMqtt5Error(BrokerError):
    """It knows MQTT 3.1.1 only: connect again with protocol 4."""


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how to log in."""

    host: str
    port: int = 8883
    tls: bool = True
    ca_file: Path | None = None
    """PEM; the authorities that may vouch for the broker. None: those the system trusts."""
    cert_file: Path | None = None
    """PEM; our own certificate, for brokers that ask for one."""
    key_file: Path | None = None
    """PEM; its key. None: it is in `cert_file`."""
    username: str | None = None
    password_file: Path | None = None
    """Read anew for each client, so that a password can be changed without a restart."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    keepalive_s: int = 240
    """Long, because pings cost money on metered links (200 bytes), and USER_TIMEOUT_MS is faster
    when there is something to say. The price: of a gateway that died the broker says so (its will)
    only after 1.5 times this, and what a router forgot meanwhile shows at the next sending."""

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """What to try, in this order; the next one after NoMqtt5Error."""
        choices: dict[str, tuple[Protocol, ...]] = {"auto": (5, 4), "5": (5,), "3.1.1": (4,)}
        return choices[self.protocol]

    def client(
        self,
        client_id: str,
        *,
        protocol: Protocol,
        session_expiry_s: int,
        manual_ack: bool = False,
    ) -> mqtt.Client:
        """Return a client that is ready for `connect`; set callbacks and the will before.

        Its `on_socket_open` is taken. `session_expiry_s` 0 ends the session with the connection.
        Raises BrokerRefusedError for a file that cannot be used.
        """
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion(protocol),
            manual_ack=manual_ack,
            reconnect_on_failure=False,
            clean_session=None if protocol == 5 else session_expiry_s == 0,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_socket_open = _tune
        if self.username:
            client.username_pw_set(self.username, self._password())
        if self.tls:
            self._set_tls(client)
        return client

    def connect(self, client: mqtt.Client, properties: Properties | None = None) -> None:
        """Connect, and send CONNECT; the broker's answer comes to the client's `on_connect`.

        Blocks for CONNECT_TIMEOUT_S per address of the host at most. `properties` are left out
        for MQTT 3.1.1. Raises BrokerError.
        """
        options: dict[str, Any] = {}
        if client.protocol == MQTTProtocolVersion.MQTTv5:
            # Mosquitto does not restore, after its restart, a session that began with clean_start.
            options = {"clean_start": False, "properties": properties}
        try:
            client.connect(self.host, self.port, self.keepalive_s, **options)
        except ssl.SSLError as problem:
            raise BrokerRefusedError(self._about_tls(problem)) from problem
        except OSError as problem:
            raise BrokerUnavailableError(
                f"{self} cannot be reached ({problem}): check the name, the port and the network"
            ) from problem

    def refusal(self, reason: ReasonCode) -> BrokerError:
        """Return what a failed CONNACK means: `reason` is what `on_connect` was called with."""
        if reason.value == UNSUPPORTED_VERSION and self.protocol == "auto":
            return NoMqtt5Error(f"{self} knows no MQTT 5: MQTT 3.1.1 has to do")
        if reason.value in PASSING:
            return BrokerUnavailableError(f"{self} takes no connection just now: {reason}")
        if reason.value in {BAD_PASSWORD, NOT_AUTHORISED}:
            return BrokerRefusedError(
                f"{self} refused the user name or password of {self.username or 'nobody'!r}: "
                f"check the password file ({self.password_file or 'none is set'}) and the "
                "broker's list of users"
            )
        return BrokerRefusedError(
            f"{self} refused the connection: {reason} (MQTT {self.protocol}, user "
            f"{self.username or 'nobody'!r}); ask who runs it"
        )

    def unanswered(self, protocol: Protocol) -> BrokerError:
        """Return what it means that no CONNACK came.

        amqtt 0.12 reads an MQTT 5 login as 3.1.1, and waits for ever for the rest of it.
        """
        if protocol == 5 and self.protocol == "auto":
            return NoMqtt5Error(f"{self} did not answer a login with MQTT 5: trying MQTT 3.1.1")
        return BrokerUnavailableError(f"{self} did not answer the login")

    def loss(self, reason: ReasonCode, client_id: str) -> BrokerError:
        """Return what the end of a connection means: `reason` is what `on_disconnect` was given."""
        if reason.value == TAKEN_OVER:
            return BrokerRefusedError(
                f"another client logged in to {self} as {client_id!r}, which ended this "
                "connection: see that no two are given the same name"
            )
        return BrokerUnavailableError(
            f"the connection to {self} was lost ({reason}): the network, a restart of the broker, "
            f"or another client that is called {client_id!r} too"
        )

    def _password(self) -> str | None:
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise BrokerRefusedError(
                f"the password for {self} cannot be read from {self.password_file}: {problem}"
            ) from problem

    def _set_tls(self, client: mqtt.Client) -> None:
        ca, cert, key = (
            str(f) if f else None for f in (self.ca_file, self.cert_file, self.key_file)
        )
        try:
            client.tls_set(ca, cert, key)
        except (OSError, ValueError) as problem:
            raise BrokerRefusedError(
                f"the TLS files for {self} cannot be used ({problem}): check "
                + ", ".join(file for file in (ca, cert, key) if file)
            ) from problem

    def _about_tls(self, problem: ssl.SSLError) -> str:
        if isinstance(problem, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {self} is not to be trusted ({problem.verify_message}): check "
                f"the host name, the clock of this machine, and the CA file "
                f"({self.ca_file or 'the authorities of the system'})"
            )
        return f"{self} cannot be spoken to over TLS ({problem}): is it the TLS port?"


def connect_properties(*, session_expiry_s: int, receive_maximum: int | None = None) -> Properties:
    """Return what an MQTT 5 CONNECT says besides.

    How long the broker keeps the session and its queue when we are away, and how many messages
    (1 to 65,535) it may send us before we acknowledge one; None leaves that to the broker.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = session_expiry_s
    if receive_maximum is not None:
        properties.ReceiveMaximum = receive_maximum
    return properties


def _tune(_client: mqtt.Client, _userdata: object, sock: Any) -> None:
    # A TLS payload over 16 kB takes 44 ms with Nagle's algorithm, and 0.3 ms without it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
