from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcom_replica.api.times import iso_ms, iso_us, read_iso, read_span_ms, read_when_us
from hcom_replica.errors import UsageError


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_601_855_968_250_000, "2020-10-04T23:59:28.250Z"),
        (1_601_855_968_250_001, "2020-10-04T23:59:28.250001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        (253_402_300_800_000_000, None),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000Z"),
        (-62_135_596_800_000_001, None),
        ((1 << 63) - 1, None),
        (-(1 << 63) + 1, None),
    ],
)
def test_iso_prints_what_the_calendar_has_and_none_beyond(us: int, text: str | None) -> None:
    assert iso_us(us) == text


def test_iso_ms_beyond_48_bits_is_none() -> None:
    assert iso_ms((1 << 48) - 1) is None


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_read_iso_of_what_was_printed_gives_it_back(us: int) -> None:
    assert read_iso(iso_us(us) or "") == us


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2020-10-04T23:59:28Z", 1_601_855_968_000_000),
        ("2020-10-05T01:59:28+02:00", 1_601_855_968_000_000),
        ("2020-10-04T23:59:28", 1_601_855_968_000_000),
        ("2020-10-04", 1_601_769_600_000_000),
        ("2020-10-04 00:00:00.5", 1_601_769_600_500_000),
    ],
)
def test_read_iso_without_zone_is_utc(text: str, us: int) -> None:
    assert read_iso(text) == us


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01", "10", "10x", "-5m"])
def test_read_when_of_what_is_no_time_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_when_us(text, 0)
    assert "10m" in caught.value.hint


def test_read_when_of_a_span_is_before_now() -> None:
    assert read_when_us("10m", 1_000_000_000) == (1_000_000_000 - 600_000) * 1_000
    assert [read_span_ms(text) for text in ("500ms", "30s", "2h", "3d", "1w", "m")] == [
        500, 30_000, 7_200_000, 259_200_000, 604_800_000, None,
    ]  # fmt: skip
