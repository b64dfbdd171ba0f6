from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.ingester import held
from cloud_sync.ingester.held import MAX_BOOTS, MAX_SPANS, UNDER_WAY, Held
from cloud_sync.spans import Spans
from cloud_sync.wire import decode_confirmed


def confirmed(held, gateway="g12"):
    return {
        boot: str(spans) for boot, spans in decode_confirmed(held.confirmation(gateway)).items()
    }


def boot(number):
    return f"{number:08x}"


def test_what_was_added_is_confirmed():
    held = Held()
    held.add("g12", boot(1), Spans.parse("3-5,9"))
    held.add("g12", boot(1), Spans.parse("6-8"))
    held.add("g13", boot(1), Spans.parse("1"))
    assert confirmed(held) == {boot(1): "3-9"}


def test_what_is_below_the_floor_grows_together_with_what_was_stored():
    held = Held()
    held.add("g12", boot(1), Spans.parse("118-120"), floor=117)
    assert confirmed(held) == {boot(1): "1-120"}


def test_as_long_as_nothing_is_amiss_one_boot_and_one_span_are_said():
    held = Held()
    for number in range(1, 1000):
        held.add("g12", boot(1), Spans.parse(str(number)))
    assert held.confirmation("g12") == b"1 00000001=1-999"


def test_what_the_last_batches_did_not_touch_is_not_said_again():
    held = Held()
    held.add("g12", boot(1), Spans.parse("1-5,20-30"))
    held.add("g12", boot(2), Spans.parse("40"))
    for number in range(100, 100 + UNDER_WAY + MAX_BOOTS):
        held.add("g12", boot(3), Spans.parse(str(number)))
    assert list(confirmed(held)) == [boot(3)]
    held.add("g12", boot(1), Spans.parse("31"))
    assert confirmed(held)[boot(1)] == "20-31"


@settings(max_examples=200)
@given(st.data())
def test_a_gateway_that_hears_only_some_confirmations_learns_all_it_must(data):
    """At most UNDER_WAY batches of it are unconfirmed; the ingester starts anew now and then."""
    held, under_way, stored, number = Held(), {}, set(), 0
    for _ in range(data.draw(st.integers(1, 80))):
        match data.draw(st.sampled_from(["send", "send", "send again", "hear", "restart"])):
            case "send" if len(under_way) < UNDER_WAY:
                number += data.draw(st.integers(1, 2))
                under_way[number] = boot(data.draw(st.integers(1, 3)))
                held.add("g12", under_way[number], Spans([(number, number)]))
                stored.add(number)
            case "send again" if under_way:
                again = data.draw(st.sampled_from(sorted(under_way)))
                held.add("g12", under_way[again], Spans([(again, again)]))
            case "restart":
                retained = held.confirmed("g12")
                held = Held()
                held.recall("g12", retained)
            case "hear":
                said = held.confirmed("g12")
                heard = [n for n, b in under_way.items() if b in said and said[b].covers(n, n)]
                for n in heard:
                    del under_way[n]
                assert not stored & set(under_way), "it would be sent again for nothing"


def test_only_so_many_boots_are_remembered():
    held = Held()
    for number in [*range(MAX_BOOTS), 0, 99]:
        held.add("g12", boot(number), Spans.parse("1"))
    assert set(confirmed(held)) == {*map(boot, range(2, MAX_BOOTS)), boot(0), boot(99)}


def test_of_too_many_gaps_only_the_newest_news_are_remembered():
    held = Held()
    for number in range(MAX_SPANS):
        held.add("g12", boot(1), Spans.parse(str(2 * number + 2)))
    held.add("g12", boot(1), Spans.parse("5000-5010"), floor=1)
    assert confirmed(held) == {boot(1): "5000-5010"}


def test_a_gateway_not_heard_of_for_long_is_forgotten(monkeypatch):
    monkeypatch.setattr(held, "MAX_GATEWAYS", 2)
    memory = Held()
    for gateway in ("a", "b", "a", "c"):
        memory.add(gateway, boot(1), Spans.parse("1"))
    assert confirmed(memory, "a") == {boot(1): "1"}
    assert confirmed(memory, "b") == {}


def test_what_was_confirmed_before_the_start_is_taken_up_again():
    held = Held()
    held.add("g12", boot(2), Spans.parse("7"))
    before = {boot(1): Spans.parse("1-5"), boot(2): Spans.parse("1-6")}
    assert held.recall("g12", before), "the gateway should be told again"
    assert not held.recall("g12", before), "it was told"
    assert confirmed(held) == {boot(1): "1-5", boot(2): "1-7"}


def test_what_was_confirmed_before_the_start_is_said_until_enough_batches_have_come():
    held = Held()
    held.recall("g12", {boot(n): Spans.parse("1-5") for n in range(MAX_BOOTS - 1)})
    for number in range(1, UNDER_WAY + 1):
        held.add("g12", boot(99), Spans([(number, number)]))
        assert set(confirmed(held)) == {*map(boot, range(MAX_BOOTS - 1)), boot(99)}


def test_a_confirmation_from_before_the_start_need_not_be_said_again():
    held = Held()
    assert not held.recall("g12", {boot(1): Spans.parse("1-5")})
    assert confirmed(held) == {boot(1): "1-5"}


def test_an_old_confirmation_pushes_out_nothing_that_is_new():
    held = Held()
    held.add("g12", boot(99), Spans.parse("7"))
    held.recall("g12", {boot(number): Spans.parse("1") for number in range(MAX_BOOTS)})
    assert set(confirmed(held)) == {*map(boot, range(1, MAX_BOOTS)), boot(99)}
