import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.topics import PARTITIONS, TopicParts, parse_topic, partition, topic

GATEWAY = st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(("gateway", "expected"), [("g12", "p05"), ("里守-1", "p08")])
def test_a_gateway_stays_in_its_partition_for_ever(gateway, expected):
    """These may never change: a gateway and an ingester of different ages must agree."""
    assert partition(gateway) == expected


def test_all_partitions_are_used():
    assert {partition(f"g{n}") for n in range(2000)} == {f"p{n:02}" for n in range(PARTITIONS)}


@given(GATEWAY, st.sampled_from(["readings", "events", "state", "confirmed", "latest/front door"]))
def test_a_topic_can_be_taken_apart_again(gateway, leaf):
    assert parse_topic(topic(gateway, leaf)) == TopicParts(partition(gateway), gateway, leaf)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "satomori/v1/p05/g12",
        "satomori/v1/p05//readings",
        "satomori/v2/p05/g12/readings",
        "satomori/v1/p06/g12/readings",
        "satomori/v1/05/g12/readings",
        "x/satomori/v1/p05/g12/readings",
    ],
)
def test_other_topics_are_not_ours(text):
    with pytest.raises(ValueError, match="not a topic of a gateway"):
        parse_topic(text)


def test_a_message_about_a_very_long_topic_is_short():
    with pytest.raises(ValueError) as caught:
        parse_topic("x" * 60_000)
    assert len(str(caught.value)) < 300
