from cloud_sync import held
from cloud_sync.held import MAX_BOOTS, MAX_SPANS, Held
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


def test_all_up_to_the_floor_is_confirmed_and_the_floor_itself():
    held = Held()
    held.add("g12", boot(1), Spans.parse("120"), floor=117)
    assert confirmed(held) == {boot(1): "1-117,120"}


def test_only_the_boots_that_were_written_last_are_confirmed():
    held = Held()
    for number in [*range(MAX_BOOTS), 0, 99]:
        held.add("g12", boot(number), Spans.parse("1"))
    assert list(confirmed(held)) == [*map(boot, range(2, MAX_BOOTS)), boot(0), boot(99)]


def test_of_too_many_gaps_only_the_newest_news_and_the_floor_are_confirmed():
    held = Held()
    for number in range(MAX_SPANS):
        held.add("g12", boot(1), Spans.parse(str(2 * number + 2)))
    assert len(confirmed(held)[boot(1)].split(",")) == MAX_SPANS
    held.add("g12", boot(1), Spans.parse("5000-5010"), floor=1)
    assert confirmed(held) == {boot(1): "1,5000-5010"}


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


def test_a_confirmation_from_before_the_start_need_not_be_said_again():
    held = Held()
    assert not held.recall("g12", {boot(1): Spans.parse("1-5")})
    assert confirmed(held) == {boot(1): "1-5"}


def test_an_old_confirmation_pushes_out_nothing_that_is_new():
    held = Held()
    held.add("g12", boot(99), Spans.parse("7"))
    held.recall("g12", {boot(number): Spans.parse("1") for number in range(MAX_BOOTS)})
    assert list(confirmed(held)) == [*map(boot, range(1, MAX_BOOTS)), boot(99)]
