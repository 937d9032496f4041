"""The frozen rows of specs/vectors/storage.json: what folders on disks hold already (storage-v1 sections 2, 3)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hcom_replica.core.origin import decode_state, encode_state
from hcom_replica.ids import OriginId, order_key
from hcom_replica.store.schema import (
    arrival,
    pack_commit,
    pack_peer,
    seq_key,
    stored_event,
    u64,
    unpack_commit,
    unpack_peer,
)
from hcom_replica.wire.event import decode_event
from tests.vectors import FOLDER

ROWS: dict[str, Any] = json.loads((FOLDER / "storage.json").read_text(encoding="ascii"))
BROKEN = "folders written by the version before could not be read any more"


def row(table: str) -> tuple[bytes, bytes]:
    return bytes.fromhex(ROWS[table]["key"]), bytes.fromhex(ROWS[table]["value"])


@pytest.mark.parametrize("case", ROWS["origin_state"], ids=[case["what"] for case in ROWS["origin_state"]])
def test_origin_state_is_stored_as_an_array_of_twelve(case: dict[str, str]) -> None:
    """storage-v1 section 3"""
    value = bytes.fromhex(case["value"])
    state = decode_state(value)
    assert encode_state(state) == value, BROKEN
    assert state.id.hex() == case["key"]
    fields = msgspec.msgpack.decode(value)
    assert fields == [
        state.hash, state.key, state.incarnation, [[fork.base, fork.link] for fork in state.forks], state.base,
        state.seq, state.hlc, state.tip, state.cum, state.system, state.name, state.drift_ms,
    ]  # fmt: skip


def test_log_row_is_keyed_by_hlc_and_origin() -> None:
    """T2.1"""
    key, value = row("log")
    event = stored_event(key, value)
    assert (event.hlc, event.seq) == (ROWS["log"]["hlc"], ROWS["log"]["seq"])
    assert order_key(event.hlc, event.origin) == key, BROKEN
    assert value == event.seq.to_bytes(8, "big") + event.record
    assert decode_event(event.record).hlc == event.hlc


def test_index_row_leads_from_seq_to_hlc() -> None:
    key, value = row("index")
    assert seq_key(OriginId(key[:8]), ROWS["index"]["seq"]) == key, BROKEN
    assert u64(ROWS["log"]["hlc"]) == value


def test_commit_row_has_hlc_sum_c_and_signature() -> None:
    key, value = row("commits")
    commit = unpack_commit(key, value)
    assert commit.seq == ROWS["commits"]["seq"]
    assert pack_commit(commit) == value, BROKEN
    assert value == u64(commit.hlc) + u64(commit.cum) + commit.tip + commit.signature


def test_arrival_row_names_the_event_says_late_and_when_it_came() -> None:
    """T2.2"""
    arrivals, log = ROWS["arrivals"], ROWS["log"]
    assert arrivals["key"] == u64(arrivals["number"]).hex()
    for late in (False, True):
        place = arrivals["late" if late else "in_time"]
        assert place == f"{log['key']}0{int(late)}{u64(arrivals['received_ms']).hex()}", BROKEN
        found = arrival(*map(bytes.fromhex, (arrivals["key"], place, log["value"])))
        assert (found.number, found.late, found.received_ms) == (arrivals["number"], late, arrivals["received_ms"])
        assert found.event.seq == log["seq"]


def test_peer_row_is_kept_by_kind_author_and_page() -> None:
    key, value = row("peers")
    note = unpack_peer(key, value)
    assert pack_peer(note) == (key, value), BROKEN
    assert key == bytes((note[0],)) + note[1] + note[2].to_bytes(2, "big")
    assert value == u64(note[3]) + note[4]
