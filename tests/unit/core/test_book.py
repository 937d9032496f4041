"""What is taken down of what the log says of members and epochs (protocol-v1 section 12)."""

from __future__ import annotations

from hcom_replica.core.book import Book
from hcom_replica.core.hello import Adopt
from hcom_replica.ids import OriginId
from tests.unit.core.builders import Device

HELD = OriginId(b"held----")


def test_adoption_with_texts_that_name_nothing_counts_with_the_rest_of_it() -> None:
    """P12.9, P12.11: a member may write anything into its log"""
    nova, book = Device("NOVA"), Book()
    nova.append()
    book.note(nova.own, 2, Adopt("no check", {"no hex": 1, "00": 2, HELD.hex(): 3}), 0)
    assert book.epochs == {}
    assert book.held == {nova.own.key: {HELD: 3}}
