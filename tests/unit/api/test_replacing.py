"""The command that confirms a request is safe to type, whatever a device calls itself."""

from __future__ import annotations

import pytest

from hcom_replica.api.replacing import confirmation

DEVICE = bytes.fromhex("0123456789abcdef")


@pytest.mark.parametrize("name", ["BOXE", "BOXE-3F", "A1"])
def test_confirmation_names_a_device_by_its_name(name: str) -> None:
    assert confirmation(name, DEVICE) == f"hcom-replica devices retire {name}"


@pytest.mark.parametrize("name", ["", "-", "--help", "A;rm -rf ~", "$(x)", "A\nB", "BÖXE", "A B"])
def test_confirmation_of_a_name_that_a_shell_might_read_names_the_id(name: str) -> None:
    assert confirmation(name, DEVICE) == f"hcom-replica devices retire {DEVICE.hex()}"
