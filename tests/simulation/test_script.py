"""The words of scenario lines."""

from __future__ import annotations

import pytest

from hcom_replica.errors import UsageError
from hcom_replica.testing.script import parse_point, parse_span, parse_time_ms, parse_words


def test_words_line_with_options_splits_places_from_options() -> None:
    words = parse_words("append A 5 bytes=20 incompressible")
    assert (words.verb, words.places, words.options) == ("append", ["A", "5", "incompressible"], {"bytes": "20"})
    assert words.without("incompressible") == ["A", "5"]
    with pytest.raises(UsageError, match="a word is missing"):
        words.place(3)


@pytest.mark.parametrize(
    ("text", "ms"), [("250ms", 250), ("5s", 5_000), ("-2h", -7_200_000), ("+1m", 60_000), ("3d", 259_200_000), ("0", 0)]
)
def test_time_with_unit_is_read(text: str, ms: int) -> None:
    assert parse_time_ms(text) == ms


@pytest.mark.parametrize("text", ["5", "s", "5 s", "1.5s", ""])
def test_time_without_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        parse_time_ms(text)


def test_span_and_point_are_read() -> None:
    assert (parse_span("5..20"), parse_span("7")) == ((5, 20), (7, 7))
    assert parse_point("A.2~61:450") == ("A.2~61", 450)
    with pytest.raises(UsageError, match="not an origin"):
        parse_point("A450")
