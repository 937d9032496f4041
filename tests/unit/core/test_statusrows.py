"""The rows of status: what is missing of an origin, who has it, and what is odd about it."""

from __future__ import annotations

import pytest

from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Index, Segment, VectorPage
from hcom_replica.wire.signing import device_id
from tests.unit.core.asked import Asking
from tests.unit.core.builders import WALL, Device, draft


def test_lag_is_measured_in_log_time_between_what_is_held_and_the_head(asking: Asking, nova: Device) -> None:
    nova.send_to(asking.device)
    nova.append(draft(), now_ms=WALL + 65_000)
    asking.hear(nova, Kind.HEAD, nova.head())
    assert asking.row(nova).behind_s == pytest.approx(60.0)


def test_those_who_hold_what_is_missing_are_named(asking: Asking, nova: Device) -> None:
    luna = Device("LUNA")
    luna.append(draft())
    nova.send_to(luna)
    asking.hear(nova, Kind.HEAD, nova.head())
    asking.hear(luna, Kind.HEAD, luna.head())
    asking.hear(luna, Kind.VECTOR, luna.vector())
    asking.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, [Segment(0, nova.own.id, 1, 7, bytes(8), 0, 1, 9)]))
    assert asking.row(nova).held_by == ["LUNA", "NOVA", "mailbox of LUNA"]


def test_acknowledgement_of_a_log_without_sync_does_not_count(asking: Asking, nova: Device) -> None:
    """P6.4"""
    asking.device.send_to(nova)
    page = nova.vector(durable=False)
    assert isinstance(page, VectorPage)
    asking.hear(nova, Kind.VECTOR, page)
    assert asking.row(nova).outbound_behind_events == 4


def test_retired_device_is_flagged_and_what_is_lost_of_it_is_counted(asking: Asking, nova: Device) -> None:
    asking.hear(nova, Kind.HEAD, nova.head())
    retire = Retire(device_id(nova.key.public).hex(), {nova.own.id.hex(): 2})
    asking.device.append(system_draft(RETIRE, retire))
    row = asking.row(nova)
    assert "retired" in row.flags
    assert row.lost_events == 5
    assert row.missing is not None
    assert row.missing.last == 2


def test_superseded_and_forked_origins_are_flagged(asking: Asking, nova: Device) -> None:
    twin = nova.clone()
    nova.append(draft(b"here"))
    twin.append(draft(b"there"))
    nova.send_to(asking.device)
    twin.send_to(asking.device)
    rows = [row for row in asking.status().devices if "forked" in row.flags]
    assert len(rows) == 2
    assert all("superseded" in row.flags for row in rows)


def test_origin_known_by_a_link_alone_is_superseded_by_the_one_that_links_to_it(asking: Asking, nova: Device) -> None:
    """P6.4: nothing of it is held, and nobody has heard from it"""
    old = nova.own
    nova.log.open_incarnation("test", WALL)
    asking.device.log.ingest([nova.run()], WALL)
    (row,) = [row for row in asking.status().devices if row.origin == old.id.hex()]
    assert (row.flags, row.have_seq) == (["superseded"], 0)
    assert row.missing is not None
    assert row.missing.last == old.seq


def test_drifting_origin_is_flagged(asking: Asking) -> None:
    ahead = Device("AHEAD")
    ahead.append(draft(), now_ms=WALL + 3_600_000)
    ahead.send_to(asking.device)
    assert "drifting" in asking.row(ahead).flags
