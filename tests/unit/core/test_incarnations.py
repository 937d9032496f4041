"""Why incarnations were begun, and what came back since."""

from __future__ import annotations

import pytest

from hcom_replica.core.append import CLOCK, FIRST
from hcom_replica.core.continuity import COPIED, ROLLED_BACK
from hcom_replica.core.hello import HELLO, NAME, Hello, Link, Rename, system_draft
from hcom_replica.core.incarnations import read_incarnations
from tests.unit.store.devices import NOW, Device, send


def test_first_and_corrected_clock_have_no_story() -> None:
    device = Device("BOXE")
    device.emit("a")
    device.log.append([system_draft(NAME, Rename("LUNA"))], NOW)
    device.log.open_incarnation(CLOCK, NOW)
    found = read_incarnations(device.log)
    assert [(one.reason, one.story, one.fetched_events) for one in found] == [(FIRST, "", 0), (CLOCK, "", 0)]
    assert [one.linked is None for one in found] == [True, False]
    assert [one.state.generation for one in found] == [1, 2]


def test_rolled_back_counts_what_came_back() -> None:
    """P7.2"""
    device, witness = Device("BOXE"), Device("NOVA")
    device.emit("a")
    older = device.clone(draw=7)
    device.emit("b", "c")
    device.emit("d")
    send(device, witness)
    older.log.open_incarnation(ROLLED_BACK, NOW)
    assert read_incarnations(older.log)[-1].fetched_events == 0
    send(witness, older)
    send(older, witness)
    for log in (older.log, witness.log):
        (one,) = (one for one in read_incarnations(log) if one.reason == ROLLED_BACK)
        assert one.fetched_events == 3
        assert one.story == "was restored from an older copy"


def test_copied_counts_nothing_as_fetched_back() -> None:
    device = Device("BOXE")
    device.emit("a")
    copy = device.clone(draw=7)
    device.emit("b")
    copy.log.open_incarnation(COPIED, NOW)
    send(device, copy)
    (one,) = (one for one in read_incarnations(copy.log) if one.reason == COPIED)
    assert one.fetched_events == 0
    assert "copy of another" in one.story


@pytest.mark.parametrize("origin", ["not hexadecimal", "ab"])
def test_hello_with_a_link_to_nothing_is_read_all_the_same(origin: str) -> None:
    device = Device("BOXE")
    key, incarnation = device.writer.device.public.hex(), "00000001" + "00" * 8
    hello = Hello(key, incarnation, "BOXE", Link(origin, 1, "00"), "", ROLLED_BACK)
    device.emit("a")

    class Log:
        """Its log, with that hello in place of the real one."""

        def __getattr__(self, name: str) -> object:
            return getattr(device.log, name)

        def system_events(self) -> list[tuple[object, int, object]]:
            (entry,) = device.log.system_events()
            body = system_draft(HELLO, hello).body
            return [(entry[0], 1, type(entry[2])(entry[2].hlc, HELLO, None, None, body))]

    (one,) = read_incarnations(Log())  # type: ignore[arg-type]
    assert one.linked is None
    assert one.fetched_events == 0
