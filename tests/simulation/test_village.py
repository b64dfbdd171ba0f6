"""A small village loses its broker in the middle of its backlog, and loses nothing else.

The large one is `python -m tests.simulation.village`.
"""

from dataclasses import replace

import pytest

from tests.fakes.servers import MissingServer, binary
from tests.simulation.village import Result, Village, simulate, violations
from tests.simulation.village_cloud import one_mosquitto

SMALL = Village(
    gateways=40, ingesters=2, readings=400, alert_every_s=4.0, alerts_for_s=15.0, down_s=4.0
)

FINE = Result(
    records=16_010,
    stored=32_030,
    expected=32_030,
    unconfirmed=0,
    alerts=10,
    overtaking=5,
    latency_p50_s=0.01,
    latency_p99_s=0.1,
    latency_max_s=0.1,
    reconnect_p50_s=2.0,
    reconnect_p99_s=10.0,
    most_in_a_second=9,
    took_s=30.0,
)


def test_what_is_lost_doubled_or_unconfirmed_is_found():
    assert violations(FINE, SMALL) == []
    assert "32028 fields" in violations(replace(FINE, stored=32_028), SMALL)[0]
    assert "32032 fields" in violations(replace(FINE, stored=32_032), SMALL)[0]
    assert "1 records" in violations(replace(FINE, unconfirmed=1), SMALL)[0]
    assert "9 alerts" in violations(replace(FINE, alerts=9), SMALL)[0]


@pytest.mark.servers
@pytest.mark.timeout(180)
def test_a_village_whose_broker_is_killed_loses_nothing_and_comes_back_spread_out(tmp_path):
    try:
        binary("mosquitto")
    except MissingServer as missing:
        pytest.skip(str(missing))
    result = simulate(SMALL, tmp_path, one_mosquitto)
    assert violations(result, SMALL) == []
    assert result.alerts > SMALL.gateways
    assert result.most_in_a_second < SMALL.gateways * 0.75
