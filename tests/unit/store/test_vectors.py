"""The frozen rows of specs/vectors/storage.json and marker.json: what disks hold already (storage-v1)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hcom_replica.core.continuity import Mark
from hcom_replica.core.origin import decode_state, encode_state
from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import OriginId, order_key
from hcom_replica.store.marker import STRIDE_BYTES, newest, pack_mark, unpack_mark
from hcom_replica.store.schema import (
    StoredEvent,
    Stretch,
    pack_commit,
    pack_home,
    pack_peer,
    pack_stretch,
    seq_key,
    u64,
    unpack_commit,
    unpack_home,
    unpack_peer,
    unpack_stretch,
)
from hcom_replica.wire.event import decode_event
from tests.vectors import FOLDER

ROWS: dict[str, Any] = json.loads((FOLDER / "storage.json").read_text(encoding="ascii"))
MARKER: dict[str, Any] = json.loads((FOLDER / "marker.json").read_text(encoding="ascii"))
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
    event = StoredEvent(key, value)
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


def test_arrival_row_names_consecutive_events_says_late_and_when_they_came() -> None:
    """T2.2"""
    row = ROWS["arrivals"]
    origin = OriginId(bytes.fromhex(ROWS["index"]["key"])[:8])
    for late in (False, True):
        key, value = (bytes.fromhex(row[name]) for name in ("key", "late" if late else "in_time"))
        found = Stretch(row["number"], origin, row["first"], row["length"], late, row["received_ms"])
        assert unpack_stretch(key, value) == found, BROKEN
        assert pack_stretch(found) == (key, value), BROKEN
        assert value == origin + u64(found.first) + b"\x00\x00\x03\xe8" + bytes((late,)) + u64(found.received_ms)


@pytest.mark.parametrize(
    "bad",
    [
        bytes(29),
        b"\x01" * 20 + b"\x02" + bytes(8),
        b"\x01" * 28,
        b"",
        b"\x01" * 8 + b"\xff" * 8 + b"\x00" * 3 + b"\x01\x00" + bytes(8),
    ],
)
def test_arrival_row_that_none_has_written_is_refused(bad: bytes) -> None:
    """T2.2"""
    with pytest.raises(StoreCorrupt):
        unpack_stretch(u64(1), bad)


def test_arrival_row_of_a_number_that_none_has_is_refused() -> None:
    """T2.2"""
    with pytest.raises(StoreCorrupt):
        unpack_stretch(b"\xff" * 8, bytes.fromhex(ROWS["arrivals"]["late"]))


def test_peer_row_is_kept_by_kind_author_and_page() -> None:
    key, value = row("peers")
    note = unpack_peer(key, value)
    assert pack_peer(note) == (key, value), BROKEN
    assert key == bytes((note[0],)) + note[1] + note[2].to_bytes(2, "big")
    assert value == u64(note[3]) + note[4]


def test_home_row_has_an_id_and_the_place() -> None:
    """T7.1"""
    key, value = row("home")
    home = unpack_home(value)
    assert key == b"home"
    assert [home.id.hex(), *home.place] == [ROWS["home"][name] for name in ("id", "inode", "born_ns")]
    assert pack_home(home) == value, BROKEN


@pytest.mark.parametrize("case", MARKER["slots"], ids=[str(case["counter"]) for case in MARKER["slots"]])
def test_marker_slot_has_fields_at_their_places(case: dict[str, Any]) -> None:
    """T7.2"""
    slot = bytes.fromhex(case["slot"])
    mark = unpack_mark(slot)
    assert mark is not None
    assert pack_mark(mark) == slot, BROKEN
    for name in Mark._fields:
        found = getattr(mark, name)
        assert (found.hex() if isinstance(found, bytes) else found) == case[name], name
    assert slot[:4] == b"hcm1"
    assert slot[12:28] == mark.home
    assert int.from_bytes(slot[64:72], "big") == mark.seq


@pytest.mark.parametrize("case", MARKER["invalid"], ids=[case["what"] for case in MARKER["invalid"]])
def test_marker_slot_that_is_not_sound_is_ignored(case: dict[str, str]) -> None:
    """T7.3"""
    assert unpack_mark(bytes.fromhex(case["slot"])) is None


@pytest.mark.parametrize("case", MARKER["files"], ids=[case["what"] for case in MARKER["files"]])
def test_marker_file_counts_by_its_newest_sound_slot(case: dict[str, Any]) -> None:
    """T7.3, T7.4"""
    following, mark = newest(bytes.fromhex(case["file"]))
    assert (mark.counter if mark is not None else None) == case["newest"]
    assert following * STRIDE_BYTES == case["next_at"]
