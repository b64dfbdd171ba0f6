"""What cannot be made to happen with a real broker at will; the rest is in test_ingester.py."""

from paho.mqtt.client import MQTTMessage

from cloud_sync.broker import Broker
from cloud_sync.ingester import connection
from cloud_sync.ingester.connection import Connection, Signs

READINGS = b"satomori/v1/p05/g12/readings"


def unconnected():
    return Connection(Broker("localhost", tls=False), "c", 5, Signs("sign", b"on", b"off"))


def message(mid, topic=READINGS, *, qos=1, payload=b"x"):
    found = MQTTMessage(mid, topic)
    found.qos, found.payload = qos, payload
    return found


def hear(connection, *messages):
    for one in messages:
        connection._on_message(None, None, one)


def test_what_a_broker_sends_again_before_it_is_acknowledged_is_the_same_message():
    """NATS does so after its ack_wait, RabbitMQ after its consumer_timeout."""
    ours = unconnected()
    hear(ours, message(1), message(2), message(1))
    first = ours.take()
    hear(ours, message(1))
    assert [one.mid for one in ours.inbox] == [2]
    ours.acknowledge(first)
    hear(ours, message(1))
    assert [one.mid for one in ours.inbox] == [2, 1]


def test_messages_with_qos_0_are_all_different():
    ours = unconnected()
    hear(ours, message(0, qos=0), message(0, qos=0))
    assert len(ours.inbox) == 2


def test_what_is_no_batch_does_not_queue_behind_batches():
    ours = unconnected()
    hear(ours, message(1), message(0, READINGS.replace(b"readings", b"hello"), qos=0))
    assert len(ours.inbox) == len(ours.notes) == 1


def test_a_topic_that_is_no_text_goes_where_it_will_be_set_aside():
    ours = unconnected()
    hear(ours, message(1, b"\xff"))
    assert len(ours.inbox) == 1


def test_large_messages_fill_the_inbox_and_make_room_again(monkeypatch):
    monkeypatch.setattr(connection, "INBOX_BYTES", 100)
    ours = unconnected()
    hear(ours, message(1, payload=b"x" * 60), message(2, payload=b"x" * 60))
    assert ours.is_full
    hear(ours, message(0, qos=0))
    assert len(ours.inbox) == 2
    ours.take()
    assert not ours.is_full
