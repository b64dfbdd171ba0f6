import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.broker import (
    Broker,
    BrokerError,
    BrokerRefusedError,
    BrokerUnavailableError,
    NoMqtt5Error,
)
from cloud_sync.ingester.connection import Connection, Signs
from tests.fakes.servers import binary, free_port

SIGNS = Signs("satomori/test/sign", b"online", b"offline")

pytestmark = [pytest.mark.servers, pytest.mark.timeout(60)]

# paho leaves a socket whose TLS handshake failed to the garbage collector.
leaves_a_socket = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class Pki(NamedTuple):
    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A certificate authority, and what it has signed."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*words):
        subprocess.run([binary("openssl"), *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca")
    for name in ("localhost", "gateway"):
        (folder / "ext").write_text(f"subjectAltName=DNS:{name}")
        openssl(
            "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        signed_by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed_by)
    names = ("ca.pem", "localhost.pem", "localhost.key", "gateway.pem", "gateway.key")
    return Pki(*(folder / name for name in names))


@pytest.fixture
def tls_port(start_mosquitto, pki):
    """A broker that speaks TLS and asks for a certificate."""
    port = free_port()
    start_mosquitto(
        extra=f"""
        listener {port} 127.0.0.1
        cafile {pki.ca}
        certfile {pki.server_cert}
        keyfile {pki.server_key}
        require_certificate true
        """
    )
    return port


def plain(port, **settings):
    return Broker("127.0.0.1", port, tls=False, **settings)


def log_in(broker, client_id="test", protocol=5):
    with Connection(broker, client_id, protocol, SIGNS) as connection:
        connection.open([("satomori/test", 1)])
        connection.poll(1.0)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_broker_can_be_logged_in_to(mosquitto_server, protocol):
    log_in(plain(mosquitto_server.port), f"login-{protocol}", protocol)


@pytest.mark.parametrize("protocol", [4, 5])
def test_tls_with_certificates_on_both_sides(tls_port, pki, protocol):
    files = {"ca_file": pki.ca, "cert_file": pki.client_cert, "key_file": pki.client_key}
    log_in(Broker("localhost", tls_port, **files), protocol=protocol)


@leaves_a_socket
def test_a_broker_that_nobody_vouches_for_is_refused(tls_port, pki):
    with pytest.raises(
        BrokerRefusedError, match=r"not to be trusted.*check the host name, the clock"
    ):
        log_in(Broker("localhost", tls_port))


@leaves_a_socket
def test_a_broker_of_another_name_is_refused(tls_port, pki):
    with pytest.raises(BrokerRefusedError, match=r"mqtts://127.0.0.1.*not to be trusted"):
        log_in(Broker("127.0.0.1", tls_port, ca_file=pki.ca))


@leaves_a_socket
def test_tls_to_a_port_without_it_is_said(mosquitto_server):
    with pytest.raises(BrokerError, match=f"127.0.0.1:{mosquitto_server.port}"):
        log_in(Broker("127.0.0.1", mosquitto_server.port))


@pytest.mark.parametrize("file", ["ca_file", "cert_file"])
def test_a_tls_file_that_is_not_there_is_named(tmp_path, file):
    with pytest.raises(BrokerRefusedError, match=f"TLS files.*{tmp_path}/missing.pem"):
        log_in(Broker("localhost", 1, **{file: tmp_path / "missing.pem"}))


def test_a_tls_file_of_something_else_is_named(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(BrokerRefusedError, match=f"TLS files.*{tmp_path}/ca.pem"):
        log_in(Broker("localhost", 1, ca_file=tmp_path / "ca.pem"))


@pytest.mark.parametrize("protocol", [4, 5])
def test_the_password_comes_from_a_file_which_may_change(start_mosquitto, tmp_path, protocol):
    port = start_mosquitto(passwords={"ingester": "s3cret"}).port
    password_file = tmp_path / "password"
    broker = plain(port, username="ingester", password_file=password_file)
    password_file.write_text("wrong\n")
    with pytest.raises(
        BrokerRefusedError, match=r"password of 'ingester'.*tmp.*password"
    ) as caught:
        log_in(broker, protocol=protocol)
    assert "wrong" not in str(caught.value)
    password_file.write_text("s3cret\n")
    log_in(broker, protocol=protocol)


def test_nobody_is_told_that_somebody_has_to_log_in(start_mosquitto):
    port = start_mosquitto(passwords={"ingester": "s3cret"}).port
    with pytest.raises(BrokerRefusedError, match=r"password of 'nobody'.*none is set"):
        log_in(plain(port))


def test_a_password_that_cannot_be_read_is_refused():
    with pytest.raises(BrokerRefusedError, match="cannot be read from /nowhere/password"):
        log_in(plain(1, username="u", password_file=Path("/nowhere/password")))


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_a_broker_that_is_not_there_is_unavailable(host):
    with pytest.raises(BrokerUnavailableError, match="check the name, the port and the network"):
        log_in(Broker(host, free_port(), tls=False))


def poll_until_lost(connection):
    for _ in range(10):
        connection.poll(1.0)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_connection_that_the_broker_ends_is_lost(start_mosquitto, protocol):
    server = start_mosquitto()
    with Connection(plain(server.port), "test", protocol, SIGNS) as connection:
        connection.open([])
        server.kill()
        with pytest.raises(BrokerUnavailableError, match="was lost"):
            poll_until_lost(connection)


def test_a_client_of_the_same_name_may_be_why_a_connection_is_lost(mosquitto_server):
    """Mosquitto 2.0.11 does not say so; brokers that do are believed."""
    broker = plain(mosquitto_server.port)
    twins = ("twin", 5, SIGNS)
    with Connection(broker, *twins) as first, Connection(broker, *twins) as second:
        first.open([])
        second.open([])
        with pytest.raises(BrokerError, match=r"another client .*'twin'"):
            poll_until_lost(first)
    taken_over = ReasonCode(PacketTypes.DISCONNECT, "Session taken over")
    assert type(broker.loss(taken_over, "twin")) is BrokerRefusedError


def connack(name):
    return ReasonCode(PacketTypes.CONNACK, name)


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("Unsupported protocol version", NoMqtt5Error),
        ("Server unavailable", BrokerUnavailableError),
        ("Server busy", BrokerUnavailableError),
        ("Not authorized", BrokerRefusedError),
        ("Client identifier not valid", BrokerRefusedError),
        ("Banned", BrokerRefusedError),
    ],
)
def test_each_refusal_means_what_to_do_next(reason, meaning):
    assert type(plain(1883).refusal(connack(reason))) is meaning


def test_who_insists_on_mqtt_5_is_told_that_it_is_not_known():
    broker = plain(1883, protocol="5")
    assert broker.protocols == (5,)
    assert type(broker.refusal(connack("Unsupported protocol version"))) is BrokerRefusedError
    assert type(broker.unanswered(5)) is BrokerUnavailableError


def test_mqtt_3_is_tried_after_mqtt_5_that_nobody_answers():
    assert plain(1883).protocols == (5, 4)
    assert type(plain(1883).unanswered(5)) is NoMqtt5Error
    assert type(plain(1883).unanswered(4)) is BrokerUnavailableError
