"""Rows that were never written like this: a disk that has lost bytes is named, not guessed at."""

from __future__ import annotations

import pytest

from hcom_replica.errors import StoreCorrupt
from hcom_replica.store.meta import state_of
from hcom_replica.store.schema import unpack_commit, unpack_peer


def test_commit_of_another_size_is_corrupt() -> None:
    with pytest.raises(StoreCorrupt, match="commits has 111 bytes instead of 112"):
        unpack_commit(bytes(16), bytes(111))


def test_peer_under_a_key_of_another_size_is_corrupt() -> None:
    with pytest.raises(StoreCorrupt, match="peers has 10 bytes instead of 11"):
        unpack_peer(bytes(10), bytes(99))


def test_origin_that_cannot_be_read_is_corrupt() -> None:
    with pytest.raises(StoreCorrupt, match="the state of an origin"):
        state_of(b"\x9c\xc4")
