"""The whole history on two devices, final on both: the same bytes, whoever asks and whenever."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.corpus import ATUIN, AUTOMERGE, COUNTS, write_history
from tests.harness.group import Group, Laptop

pytestmark = pytest.mark.slow
FINAL_S = 90.0


def all_final(laptop: Laptop, total: int) -> bool:
    """Whether so many events are final on a device."""
    with Replica.open(laptop.folder) as replica:
        return sum(1 for _ in replica.replay(stable=True)) == total


def final(laptop: Laptop, *arguments: str) -> str:
    return laptop.cli.ok("replay", "--stable", *arguments)


def test_two_devices_replay_the_same_final_bytes_in_every_format(tmp_path: Path, own_broker: PrivateBroker) -> None:
    first, second = write_history(tmp_path, ATUIN), write_history(tmp_path, AUTOMERGE)
    total = sum(COUNTS.values())
    with Group(tmp_path, own_broker) as group:
        a, b = (group.add(name) for name in ("BOXE", "TUKA"))
        a.network.cut()
        assert a.write(first) == COUNTS[ATUIN]
        assert b.write(second) == COUNTS[AUTOMERGE]
        a.network.heal()
        for laptop in (a, b):
            laptop.wait_for_events(total)
        early = final(b, "--format", "jsonl")
        for laptop in (a, b):
            wait_until(partial(all_final, laptop, total), FINAL_S, f"all is final on {laptop.name}")
        lines = final(a, "--format", "jsonl")
        assert lines == final(b, "--format", "jsonl")
        assert lines.startswith(early), "what was final stays as it was"
        assert sorted(json.loads(line)["id"] for line in lines.splitlines()) == sorted(
            line["id"] for line in a.cli.json_lines("events", "-n", "all")
        )
        assert lines.count("\n") == total
        for form in ("text", "csv", "cloudevents"):
            assert final(a, "--format", form, "--kind", "life") == final(b, "--format", form, "--kind", "life")
        for laptop in (a, b):
            assert laptop.cli.ok("replay", "--stable", "--format", "html", "-o", f"{laptop.name}.html") == ""
        pages = [(laptop.folder.parent / f"{laptop.name}.html").read_bytes() for laptop in (a, b)]
        assert pages[0] == pages[1]
