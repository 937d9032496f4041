"""`events --follow`: once, in order of arrival, whoever wrote it and wherever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Running
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.group import Group

pytestmark = pytest.mark.slow


def test_follow_shows_what_other_processes_and_devices_append_once_in_order_of_arrival(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        following = b.cli.spawn("events", "--follow", "--json", "--order", "arrival", "-n", "0")
        wait_until(lambda: ids(following) or not b.emit('"ready?"'), 30, "follow shows the first event")

        written: list[str] = []
        for device, body in ((a, "1"), (b, "2"), (a, "3")):
            # One at a time: what another device wrote a moment before is late by right where it comes after ours.
            written.append(device.emit(body))
            wait_until(lambda: written[-1] in ids(following), 30, f"{body} is shown")
        # What A writes while it is away arrives late and sorts into the past: it is shown all the same.
        a.stop()
        late = a.emit('"late"')
        written += [b.emit("4"), late]
        a.start()
        wait_until(lambda: set(written) <= set(ids(following)), 40, lambda: f"{written} in {following.output}")
        a.kill()
        written.append(b.emit("5"))
        wait_until(lambda: written[-1] in ids(following), 40, "the last event is shown")
        following.interrupt()
        assert following.wait() == 130

        rows = [json.loads(line) for line in following.output.splitlines()]
        shown = [row["id"] for row in rows]
        arrived = [event["id"] for event in b.events("--order", "arrival")]
        assert shown == arrived[-len(shown) :]
        assert len(set(shown)) == len(shown)
        assert [row["arrival"] for row in rows] == sorted(row["arrival"] for row in rows)
        assert {row["id"] for row in rows if row["late"]} & set(written) == {late}
        canonical = [event["id"] for event in b.events()]
        assert canonical.index(late) < canonical.index(written[3])


def ids(running: Running) -> list[str]:
    """Ids of the whole lines printed so far."""
    lines = running.output.splitlines(keepends=True)
    return [str(json.loads(line)["id"]) for line in lines if line.endswith("\n")]
