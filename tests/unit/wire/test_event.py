"""What an event may hold when it is appended here (P3.1)."""

from __future__ import annotations

import pytest

from hcom_replica.errors import LimitError
from hcom_replica.wire.event import (
    BODY_BYTES_MAX,
    Draft,
    check_draft,
    check_event,
    decode_event,
    encode_event,
    is_system,
)


@pytest.mark.parametrize(
    "draft",
    [
        Draft("k"),
        Draft("k" * 64, "a" * 256, (1 << 63) - 1, b""),
        Draft("\U0001f600" * 16, "\u00e9" * 128, 1 - (1 << 63), bytes(BODY_BYTES_MAX)),
    ],
)
def test_draft_at_its_limits_is_taken_by_all(draft: Draft) -> None:
    check_draft(draft)
    record = encode_event((1 << 64) - 1, draft)
    check_event(decode_event(record), record)


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (Draft(""), "kind"),
        (Draft("k" * 65), "kind"),
        (Draft("\U0001f600" * 17), "kind"),
        (Draft("\ud800"), "surrogate"),
        (Draft("k", ""), "agent"),
        (Draft("k", "a" * 257), "agent"),
        (Draft("k", "\udfff"), "surrogate"),
        (Draft("k", None, 1 << 63), "time"),
        (Draft("k", None, -(1 << 63)), "time"),
        (Draft("k", None, None, bytes(BODY_BYTES_MAX + 1)), "body"),
    ],
)
def test_draft_over_a_limit_is_refused_with_the_field(draft: Draft, says: str) -> None:
    with pytest.raises(LimitError, match=says):
        check_draft(draft)


def test_system_events_begin_with_an_underscore() -> None:
    """P3.7"""
    assert is_system("_hello")
    assert not is_system("hello_")
