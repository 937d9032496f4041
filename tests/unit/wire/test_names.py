"""Names made from device ids: such as a person can say, and as the rules for names allow."""

from __future__ import annotations

import random

import pytest

from hcom_replica.ids import check_device_name
from hcom_replica.wire.names import name_of, suffix_of

IDS = [bytes(8), b"\xff" * 8, *(random.Random(seed).randbytes(8) for seed in range(200))]


@pytest.mark.parametrize("device", IDS[:20], ids=bytes.hex)
def test_name_alternates_consonants_and_vowels_and_is_a_device_name(device: bytes) -> None:
    name = name_of(device)
    assert check_device_name(name) == name
    assert len(name) == 4
    assert [letter in "AEIOU" for letter in name] == [False, True, False, True]


def test_name_of_a_device_is_always_the_same_and_differs_between_devices() -> None:
    assert [name_of(device) for device in IDS] == [name_of(device) for device in IDS]
    assert len({name_of(device) for device in IDS}) > len(IDS) * 9 // 10


def test_suffix_tells_devices_of_one_name_apart_and_keeps_it_a_name() -> None:
    assert suffix_of(b"\xab" + bytes(7)) == "AB"
    assert suffix_of(bytes(8)) != suffix_of(b"\x01" + bytes(7))
    assert check_device_name(f"BOXE-{suffix_of(bytes(8))}") == "BOXE-00"
