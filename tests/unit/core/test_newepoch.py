"""Who may make a new epoch, and for how many (protocol-v1 P12.5 to P12.7)."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from hcom_replica.core import newepoch
from hcom_replica.core.book import Book
from hcom_replica.core.hello import ADOPT, EPOCH
from hcom_replica.core.membership import Membership, Viewer, judge
from hcom_replica.core.newepoch import epoch_drafts
from hcom_replica.errors import LimitError, UsageError
from hcom_replica.wire.epoch import certify
from hcom_replica.wire.event import Draft
from tests.unit.core.builders import KEYS, Device

A, B, C = (Device(name) for name in "ABC")


def seen_by(device: Device) -> Membership:
    """A has founded the group and let B and C in."""
    book = Book()
    book.certificates.update(certify(KEYS.group, A.key, number, one.key.public) for number, one in enumerate((B, C), 1))
    return judge(Viewer(device.key, KEYS, A.key.public), book, [one.key.public for one in (A, B, C)], ())


def made(membership: Membership, *revoked: Device) -> tuple[Draft, ...]:
    return epoch_drafts(membership, (), [one.key.public for one in revoked], random.Random(1).randbytes)


def test_device_that_a_senior_one_has_revoked_makes_no_epoch() -> None:
    """P12.7, P12.8: nobody would follow it"""
    known = replace(seen_by(B), stated={A.key.public: [B.key.public]})
    with pytest.raises(UsageError, match="this device is revoked"):
        made(known, C)


def test_epoch_is_made_for_as_many_devices_as_a_record_has_boxes_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """P12.5"""
    monkeypatch.setattr(newepoch, "EPOCH_BOXES_MAX", 2)
    with pytest.raises(LimitError, match="3 devices, at most 2"):
        made(seen_by(A))
    assert [draft.kind for draft in made(seen_by(A), C)] == [EPOCH, ADOPT], "who is revoked needs none"
