"""docs/promises.md names, for each promise, tests that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMISES = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PROMISES)


@pytest.mark.parametrize(("file", "name"), sorted(set(TESTS)))
def test_the_test_is_there(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {
        n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(
    "promise", re.split(r"(?m)^## ", PROMISES)[1:], ids=lambda p: p.split(".")[0]
)
def test_each_promise_names_its_proof(promise):
    assert re.search(r"(?m)^- `tests/", promise)
