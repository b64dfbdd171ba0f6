"""The documents say what the code does: every command, kind and quantity is in them."""

import re
from pathlib import Path

import pytest

import drivers.devices
import rules.conditions
from agent.cli import _parser
from cloud_sync.home_assistant import ENTITIES
from cloud_sync.wire import FAMILY
from drivers.reading import Quantity
from gateway_config.kinds import kinds

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands():
    (subparsers,) = (a for a in _parser()._actions if a.metavar == "COMMAND")
    return sorted(subparsers.choices)


@pytest.mark.parametrize("command", commands())
def test_the_readme_names_every_command(command):
    assert f"| `satomori {command}" in README


@pytest.mark.parametrize("kind", kinds(drivers.devices) + kinds(rules.conditions))
def test_the_readme_names_every_device_and_condition(kind):
    assert f"`{kind}`" in README


@pytest.mark.parametrize("quantity", sorted(set(Quantity) - {Quantity.PACKET_ID}))
def test_every_stored_quantity_has_its_place_in_influxdb_and_home_assistant(quantity):
    assert quantity in FAMILY
    assert quantity in ENTITIES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document):
    text = document.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    links += re.findall(r'src="([^"]+)"', text)
    missing = [
        link
        for link in links
        if link and "://" not in link and not (document.parent / link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", [ROOT / "ARCHITECTURE.md"], ids=lambda path: path.name)
def test_every_path_in_the_architecture_is_there(document):
    text = document.read_text(encoding="utf-8")
    paths = re.findall(r"\b(?:agent|cloud_sync|drivers|gateway_config|rules|tests)/[\w./]*", text)
    assert paths
    assert [p for p in paths if not (ROOT / p.rstrip(".")).exists()] == []
