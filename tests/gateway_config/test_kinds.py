import sys

import pytest

import drivers.devices
import rules.conditions
from gateway_config.kinds import UnknownKind, find, kinds


def test_the_file_name_is_the_kind():
    assert find(drivers.devices, "bthome").__name__ == "BTHome"
    assert find(drivers.devices, "switchbot_contact").__name__ == "SwitchBotContact"


@pytest.mark.parametrize("package", [drivers.devices, rules.conditions])
def test_every_file_in_a_folder_can_be_found(package):
    for kind in kinds(package):
        assert find(package, kind).__module__ == f"{package.__name__}.{kind}"


def test_kinds_are_in_alphabetical_order():
    assert kinds(drivers.devices) == sorted(kinds(drivers.devices))
    assert "bthome" in kinds(drivers.devices)


def test_a_misspelt_kind_says_what_was_meant_and_what_there_is():
    with pytest.raises(UnknownKind, match="'btome'; did you mean \"bthome\"") as caught:
        find(drivers.devices, "btome")
    assert all(kind in str(caught.value) for kind in kinds(drivers.devices))


@pytest.mark.parametrize(
    "kind", ["", "__init__", "../bthome", "os", "drivers.devices.bthome", "zz"]
)
def test_only_files_of_the_folder_are_kinds(kind):
    with pytest.raises(UnknownKind):
        find(drivers.devices, kind)


def package_of(folder, monkeypatch, **files):
    """A package in `folder` with these files, forgotten after the test."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(drivers.devices, "__path__", [str(folder)])
    return drivers.devices


@pytest.fixture(autouse=True)
def _forget_modules():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("drivers.devices."):
            del sys.modules[name]


TWO = """
from dataclasses import dataclass

@dataclass
class One: ...

@dataclass
class Two: ...
"""


@pytest.mark.parametrize(("text", "holds"), [("", "none"), (TWO, "One, Two")])
def test_a_file_without_exactly_one_public_dataclass_is_refused(tmp_path, monkeypatch, text, holds):
    package = package_of(tmp_path, monkeypatch, odd=text)
    with pytest.raises(TypeError, match=f"one public dataclass, but holds: {holds}"):
        find(package, "odd")


def test_imported_and_private_dataclasses_do_not_count(tmp_path, monkeypatch):
    text = """
from dataclasses import dataclass
from drivers.reading import Reading

@dataclass
class _Scale: ...

class NotOne: ...

@dataclass
class Own: ...
"""
    package = package_of(tmp_path, monkeypatch, tidy=text)
    assert find(package, "tidy").__name__ == "Own"
