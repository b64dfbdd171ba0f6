"""The bytes of a connection are those of the kernel, with the headers of every packet."""

import socket

import pytest

from cloud_sync.uplink.link_bytes import FAREWELL_PACKETS, IPV4_HEADERS, LinkMeter, ip_bytes


@pytest.fixture
def connection():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0] as far,
    ):
        yield near, far


def exchange(near, far, size):
    near.sendall(b"x" * size)
    far.recv(size, socket.MSG_WAITALL)
    far.sendall(b"y" * size)
    near.recv(size, socket.MSG_WAITALL)


def test_both_directions_and_all_headers_are_counted(connection):
    before = ip_bytes(connection[0])
    exchange(*connection, 1_000)
    cost = ip_bytes(connection[0]) - before
    # One packet each way, and at most an acknowledgement of its own for each.
    assert 2_000 + 2 * IPV4_HEADERS <= cost <= 2_000 + 4 * IPV4_HEADERS


def test_a_socket_that_is_closed_has_nothing_to_say(connection):
    connection[0].close()
    assert ip_bytes(connection[0]) is None


def test_a_kernel_that_does_not_tell_is_known_by_its_short_answer(connection):
    class OldKernel:
        family = socket.AF_INET

        def getsockopt(self, *_):
            return connection[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)

    meter = LinkMeter()
    meter.read(OldKernel())
    meter.estimate(500)
    assert (meter.is_measured, meter.taken(), meter.taken()) == (False, 500, 0)


def test_a_meter_keeps_what_it_has_read_when_the_socket_is_gone(connection):
    meter = LinkMeter()
    meter.read(connection[0])
    first = meter.taken()
    exchange(*connection, 1_000)
    meter.estimate(10_000)
    meter.close(connection[0])
    connection[0].close()
    meter.read(connection[0])
    meter.read(None)
    assert first > 0
    assert meter.taken() >= 2_000 + (2 + FAREWELL_PACKETS) * IPV4_HEADERS
    assert meter.total < 10_000
    assert meter.is_measured
