"""Status: what is missing here, who is missing what, and what a person is warned of (S7)."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.core.hello import MOVE, ROSTER, Move, Roster, system_draft
from hcom_replica.core.hlc import pack
from hcom_replica.core.info import LiveInfo
from hcom_replica.wire.frame import Kind
from tests.unit.core.asked import Asking
from tests.unit.core.builders import WALL, Device, draft


def test_status_of_a_device_alone_knows_itself_and_waits_for_nobody(asking: Asking) -> None:
    status = asking.status()
    assert (status.device, status.origin, status.events) == ("BOXE", asking.device.own.id.hex(), 4)
    assert (status.inbound.behind_events, status.outbound.behind_events, status.devices) == (0, 0, [])
    assert status.warnings == []


def test_status_of_an_empty_log_is_answered() -> None:
    asking = Asking()
    asking.device = Device("TUKA")
    status = asking.status()
    assert (status.origin, status.events, status.stable_frontier) == (None, 0, None)


def test_lag_is_what_the_signed_head_says_system_events_left_out(asking: Asking, nova: Device) -> None:
    """S7"""
    asking.hear(nova, Kind.HEAD, nova.head())
    row = asking.row(nova)
    assert (row.head_seq, row.have_seq, row.behind_events, row.behind_bytes) == (7, 0, 6, nova.own.cum)
    assert row.missing is not None
    assert (row.missing.first, row.missing.last) == (1, 7)
    assert row.held_by == ["NOVA"]
    assert asking.status().inbound.behind_events == 6
    nova.send_to(asking.device)
    row = asking.row(nova)
    assert (row.behind_events, row.behind_bytes, row.missing, row.held_by) == (0, 0, None, [])


def test_hint_of_a_vector_is_never_lag(asking: Asking, nova: Device) -> None:
    """P6.4"""
    luna = Device("LUNA")
    luna.append(draft())
    nova.send_to(luna)
    asking.hear(luna, Kind.VECTOR, luna.vector())
    assert asking.status().inbound.behind_events == 0


def test_outbound_is_the_most_that_an_active_device_lacks(asking: Asking, nova: Device) -> None:
    asking.hear(nova, Kind.HEAD, nova.head())
    assert asking.status().outbound.behind_events == 4
    asking.device.send_to(nova)
    asking.hear(nova, Kind.VECTOR, nova.vector())
    assert asking.status().outbound.behind_events == 0
    assert asking.row(nova).acked_seq == 5
    asking.device.append(draft())
    assert asking.status().outbound.behind_events == 1
    week_ms = 7 * 24 * 3_600_000
    assert asking.status(WALL + week_ms).outbound.behind_events == 0, "its lease has ended"


def test_stable_frontier_is_the_lowest_promise_and_names_who_holds_it_back(asking: Asking, nova: Device) -> None:
    """P13.5"""
    asking.founder = asking.device.key.public
    asking.device.append(system_draft(ROSTER, Roster([nova.own.id.hex()])), now_ms=WALL + 1_000)
    asking.device.log.promise(WALL + 9_000)
    nova.send_to(asking.device)
    asking.hear(nova, Kind.HEAD, msgspec.structs.replace(nova.head(), promise=pack(WALL + 6_000)))
    status = asking.status()
    assert (status.stable_frontier, status.frontier_held_by) == (str(WALL + 6_000), "NOVA")
    asking.hear(nova, Kind.HEAD, msgspec.structs.replace(nova.head(), promise=pack(WALL + 60_000)))
    assert asking.status().frontier_held_by == "BOXE"


def test_promise_about_events_that_are_not_held_moves_nothing(asking: Asking, nova: Device) -> None:
    """P13.5: an event of it may still sort below."""
    asking.founder = asking.device.key.public
    asking.device.append(system_draft(ROSTER, Roster([nova.own.id.hex()])), now_ms=WALL + 1_000)
    asking.device.log.promise(WALL + 9_000)
    asking.hear(nova, Kind.HEAD, msgspec.structs.replace(nova.head(), promise=pack(WALL + 6_000)))
    status = asking.status()
    assert status.stable_frontier == str(WALL + 1_000 - 1), "up to where it was let in"
    assert status.frontier_held_by == "NOVA"


def test_device_that_was_not_let_in_yet_has_no_frontier_and_names_the_founder(asking: Asking, nova: Device) -> None:
    """P13.5"""
    asking.founder = nova.key.public
    nova.send_to(asking.device)
    assert (asking.status().stable_frontier, asking.status().frontier_held_by) == (None, "NOVA")


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"own_clock_off_ms": -90_000}, "this device's clock seems off by -90 s"),
        ({"too_large": 7}, "event 7 is too large for the mailbox"),
        ({"mailbox_refused": 2}, "the broker refuses the mailbox"),
    ],
)
def test_what_only_a_running_machine_notices_is_warned_of(asking: Asking, change: dict[str, int], warning: str) -> None:
    well = LiveInfo(True, WALL, {}, 0.0, (), {}, 0, 0, None)
    assert asking.status(live=well).warnings == []
    (said,) = asking.status(live=msgspec.structs.replace(well, **change)).warnings
    assert said.startswith(warning)


def test_broker_that_the_group_has_moved_to_is_named_until_this_device_is_there(asking: Asking) -> None:
    """P16.1, P16.3"""
    here, there = "mqtt://x:1883", "mqtts://y:8883"
    asking.founder = asking.device.key.public
    assert asking.status(place=(here,)).broker.moving_to is None
    asking.device.append(system_draft(MOVE, Move(1, there)))
    status = asking.status(place=(here,))
    assert status.broker.moving_to == there
    assert status.warnings == [f"the group meets at {there}, and this device is not there yet"]
    (warning,) = asking.status(place=(here,), trouble="it refuses the password").warnings
    assert "not there yet: it refuses the password (hcom-replica relay move" in warning
    there_now = asking.status(place=(there,))
    assert (there_now.broker.moving_to, there_now.warnings) == (None, [])


def test_broker_that_a_running_machine_is_bound_for_goes_before_that_of_the_log(asking: Asking) -> None:
    """P16.3: those at a broker that was outdone are told first; P16.4: a move may only be heard of"""
    asking.founder = asking.device.key.public
    asking.device.append(system_draft(MOVE, Move(1, "mqtts://y:8883")))
    live = LiveInfo(True, WALL, {}, 0.0, (), {}, 0, 0, None, bound_for="mqtt://z:1883")
    assert asking.status(live=live, place=("mqtt://x:1883",)).broker.moving_to == "mqtt://z:1883"
