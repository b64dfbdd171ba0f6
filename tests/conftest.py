"""Fixtures that several folders of tests share. Real servers start once, at their first use."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.fakes.servers import (
    Influx,
    InfluxBucket,
    InfluxV2,
    MissingServer,
    Mosquitto,
    VictoriaMetrics,
    influxd,
    mosquitto,
    nginx_v2,
    victoria_metrics,
)

T = TypeVar("T")

# Where a shell starts the tests in the background, it has SIGINT ignored, and so would every
# command that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at each run, and no time limit but pytest's: a test fails for its code alone.
settings.register_profile("satomori", derandomize=True, database=None, deadline=None)
settings.load_profile("satomori")


@contextmanager
def _or_skip(server: AbstractContextManager[T]) -> Iterator[T]:
    with ExitStack() as stack:
        try:
            started = stack.enter_context(server)
        except MissingServer as missing:
            pytest.skip(str(missing))
        yield started


@pytest.fixture(scope="module")
def mosquitto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One broker for all tests of a file, since ingesters leave their signs in it.

    Use a gateway name and a client id that no other test uses.
    """
    with _or_skip(mosquitto(tmp_path_factory.mktemp("mosquitto"))) as server:
        yield server


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts a broker of this test's own, with the options of `mosquitto`; ends it afterwards."""
    with ExitStack() as stack:

        def start(**options: object) -> Mosquitto:
            folder = tmp_path / f"mosquitto{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(_or_skip(mosquitto(folder, **options)))

        yield start


@pytest.fixture(scope="session")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with _or_skip(influxd(tmp_path_factory.mktemp("influxdb"))) as server:
        yield server


@pytest.fixture(scope="session")
def nginx_server(
    influx_server: Influx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InfluxV2]:
    with _or_skip(nginx_v2(influx_server.url, tmp_path_factory.mktemp("nginx"))) as server:
        yield server


@pytest.fixture
def influx_bucket(influx_server: Influx, nginx_server: InfluxV2) -> Iterator[InfluxBucket]:
    """An empty database, written to as a bucket of InfluxDB 2.x, through nginx."""
    yield InfluxBucket(influx_server, nginx_server, influx_server.new_database())
    nginx_server.answer(None)


@pytest.fixture(scope="session")
def victoria_metrics_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    with _or_skip(victoria_metrics(tmp_path_factory.mktemp("victoria-metrics"))) as server:
        yield server
