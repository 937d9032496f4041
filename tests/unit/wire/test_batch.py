"""Batches: their shape is checked before anything is verified (protocol-v1 P4.4, section 9)."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import BATCH_EVENTS_MAX, MIB
from hcom_replica.wire.batch import Batch, Commit, decode_batch, encode_batch
from tests.harness.memory import peak_bytes
from tests.vectors import BATCH


def batch_of(count: int) -> bytes:
    commits = [Commit(count, bytes(64))]
    return encode_batch(Batch(BATCH.origin, 1, BATCH.prev, 0, [b"x"] * count, commits, None))


def test_batch_of_as_many_events_as_there_may_be_is_decoded() -> None:
    assert decode_batch(batch_of(BATCH_EVENTS_MAX)).last == BATCH_EVENTS_MAX


def test_batch_of_more_events_than_there_may_be_is_refused() -> None:
    with pytest.raises(ProtocolError) as error:
        decode_batch(batch_of(BATCH_EVENTS_MAX + 1))
    assert error.value.reason == "format"


def test_batch_that_says_it_has_many_events_takes_no_memory_for_them() -> None:
    """P5.4: a list of a million tiny events compresses to nothing; each would become an object."""
    whole = msgspec.msgpack.encode([b"ab"] * 1_000_000)
    head = encode_batch(BATCH)
    at = head.index(BATCH.prev) + 32 + 1
    data = head[:at] + whole

    def refuse() -> None:
        with pytest.raises(ProtocolError, match="65536"):
            decode_batch(data)

    assert peak_bytes(refuse) < MIB
