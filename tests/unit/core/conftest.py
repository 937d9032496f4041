"""A device and its machine, for the tests of the parts of a machine; and one that is asked for its status."""

from __future__ import annotations

import pytest

from tests.unit.core.asked import Asking
from tests.unit.core.builders import WALL, Device, draft
from tests.unit.core.host import Host, made


@pytest.fixture
def boxe() -> Device:
    return made("BOXE")


@pytest.fixture
def host(boxe: Device) -> Host:
    return Host(boxe).connect()


@pytest.fixture
def asking() -> Asking:
    return Asking()


@pytest.fixture
def nova() -> Device:
    device = Device("NOVA")
    device.append(*[draft()] * 6, now_ms=WALL + 5_000)
    return device
