"""A clock that is two hours off, on a machine with the real hcom: nothing is lost, and nothing is out of order."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.harness.clocks import WrongClock
from tests.interop.conftest import Make

pytestmark = [pytest.mark.hcom, pytest.mark.slow, pytest.mark.timeout(180)]

LIBRARY = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.mark.skipif(not LIBRARY, reason="libfaketime is not installed")
@pytest.mark.parametrize("off_s", [7_200, -7_200])
def test_machine_whose_clock_is_two_hours_off_loses_nothing_and_floods_nobody(
    machine: Make, tmp_path: Path, off_s: int
) -> None:
    """B4.2, B4.7"""
    fake = {"LD_PRELOAD": str(LIBRARY[0]), "FAKETIME": f"{off_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    boxe, tuka = machine("BOXE", env=fake), machine("TUKA")
    clock = WrongClock(tmp_path / "clock", off_s)  # Python takes its time from elsewhere
    boxe.cli._environment.update({**clock.environment, "LD_PRELOAD": "", "FAKETIME": ""})
    boxe.hcom.start("luna")
    tuka.hcom.start("rose")
    token = tuka.found()
    tuka.bridge()
    boxe.join(token)
    boxe.bridge()
    tuka.hcom.wait(lambda: tuka.hcom.knows("luna:BOXE"), "luna is known at TUKA")
    tuka.stop()
    texts = [f"message {number}" for number in range(200)]
    boxe.hcom.fill("luna", texts, timedelta(seconds=off_s))
    boxe.wait_for_events(200, more=True)
    tuka.start()
    tuka.hcom.wait_for_imported(200)
    assert tuka.hcom.imported() == texts
    assert tuka.hcom.listen("rose") == texts[:50]  # as many as hcom gives at once
    tuka.hcom.send("rose", "answer", "luna:BOXE")
    boxe.hcom.wait_for_imported(1)
    assert boxe.hcom.listen("luna") == ["answer"]
