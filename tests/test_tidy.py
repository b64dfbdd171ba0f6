"""Keeps the house tidy where a linter does not look."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("agent", "cloud_sync", "drivers", "gateway_config", "rules")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
SCREEN = 60
"""Lines that a function may have."""

UNFINISHED = re.compile(r"\b(todo|fixme|xxx|hack|notimplementederror)\b", re.IGNORECASE)


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_function_fits_on_a_screen(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    assert [f.name for f in functions if f.end_lineno - f.lineno >= SCREEN] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_begins_with_what_it_is_for(path):
    text = path.read_text(encoding="utf-8")
    assert not text or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_announced_that_is_not_done(path):
    assert UNFINISHED.findall(path.read_text(encoding="utf-8")) == []


def test_no_file_names_a_folder_of_one_machine():
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.service", "Makefile", ".ci"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    paths = re.compile(r"/(home|root|work|Users)/[a-z]")
    found = [n for n in tracked if paths.search((ROOT / n).read_text(encoding="utf-8"))]
    assert found == []
