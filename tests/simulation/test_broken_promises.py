"""The list of mistakes is up to date; that tests notice them takes minutes: broken_promises.py."""

import pytest

from tests.simulation.broken_promises import MUTATIONS, ROOT, mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.mistake)
def test_the_mistake_can_still_be_made(mutation):
    assert mutated(mutation) != (ROOT / mutation.file).read_text(encoding="utf-8")
    compile(mutated(mutation), mutation.file, "exec")


def test_there_is_a_mistake_for_every_promise():
    assert {mutation.promise for mutation in MUTATIONS} == set(range(1, 11))
