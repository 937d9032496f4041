"""What the bridge keeps changes with the events it tells of, or not at all (T2.7)."""

from __future__ import annotations

import pytest

from hcom_replica.errors import StoreError
from hcom_replica.ids import EventId
from hcom_replica.store.memory_kv import MemoryKv
from tests.unit.store.devices import NOW, Device, draft


def test_shelf_gives_what_was_put_there_by_key() -> None:
    """T2.7"""
    shelf = Device("BOXE").log.shelf
    shelf.put([(b"a1", b"x"), (b"a2", b"y"), (b"a3", b"z"), (b"b", b"")])
    shelf.put([(b"a2", None), (b"never there", None)])
    assert (shelf.get(b"a1"), shelf.get(b"a2"), shelf.get(b"b")) == (b"x", None, b"")
    assert shelf.page(b"a", b"b") == [(b"a1", b"x"), (b"a3", b"z")]
    assert shelf.page(b"a", b"b", 1, reverse=True) == [(b"a3", b"z")]


def test_append_cursor_and_shelf_are_one_transaction() -> None:
    """T2.7"""
    kv = MemoryKv()
    device = Device("BOXE", kv)
    told: list[EventId] = []

    def noted(ids: list[EventId]) -> list[tuple[bytes, bytes | None]]:
        told.extend(ids)
        return [(b"k", str(len(ids)).encode())]

    ids = device.log.append([draft("one"), draft("two")], NOW, cursor=("c", 2), shelved=noted)
    assert told == ids
    assert (device.log.cursor("c"), device.log.shelf.get(b"k")) == (2, b"2")
    with pytest.raises(StoreError):
        device.log.append([draft("three")], NOW, cursor=("c", 3), shelved=_fails)
    assert (device.log.cursor("c"), device.log.shelf.get(b"k"), device.bodies()) == (2, b"2", ["one", "two"])


def _fails(_ids: list[EventId]) -> list[tuple[bytes, bytes | None]]:
    raise StoreError("in the middle of it")
