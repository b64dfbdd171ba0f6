import pytest

from drivers.device_address import ble_address
from drivers.devices.bthome import BTHome


@pytest.mark.parametrize(
    "written",
    ["A4:C1:38:12:34:56", "a4:c1:38:12:34:56", "A4-C1-38-12-34-56", " a4:C1:38:12:34:56\n"],
)
def test_every_common_spelling_is_the_same_address(written):
    assert ble_address(written) == "A4:C1:38:12:34:56"


@pytest.mark.parametrize(
    "written",
    ["", "A4C138123456", "A4:C1:38:12:34", "A4:C1:38:12:34:5G", "４4:C1:38:12:34:56", "x" * 900],
)
def test_what_is_no_address_is_refused_with_an_example(written):
    with pytest.raises(
        ValueError, match=r'is not an address; .* such as "A4:C1:38:12:34:56"'
    ) as error:
        ble_address(written)
    assert len(str(error.value)) < 200


def test_a_device_takes_either_spelling():
    device = BTHome("a4-c1-38-12-34-56")
    assert device == BTHome("A4:C1:38:12:34:56")
    assert device.source == ("ble", "A4:C1:38:12:34:56")


def test_buttons_are_counted_from_one():
    with pytest.raises(ValueError, match="button = 0: buttons are counted from 1"):
        BTHome("A4:C1:38:12:34:56", button=0)
