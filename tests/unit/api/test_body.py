from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcom_replica.api.body import compact, decoded, disarmed, from_object, is_json_line, spliced
from hcom_replica.errors import UsageError


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b'{"b": 1, "a": [ 1.0, 1e5, -0 ]}', b'{"b":1,"a":[1.0,1e5,-0]}'),
        (b' "a  \\" b" \r\n', b'"a  \\" b"'),
        (b'{"k":1,"k":2}', b'{"k":1,"k":2}'),
        (b'"\\u00fc\\ud83d\\ude00"', b'"\\u00fc\\ud83d\\ude00"'),
        ('{"ü" : "☃"}'.encode(), '{"ü":"☃"}'.encode()),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        (b"null", b"null"),
    ],
)
def test_compact_takes_out_space_and_nothing_else(text: bytes, stored: bytes) -> None:
    assert compact(text) == stored
    assert compact(stored) == stored


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b"  ", "it is empty"),
        (b"hello", "invalid character"),
        (b"NaN", "NaN and Infinity"),
        (b'{"a":-Infinity}', "NaN and Infinity"),
        (b'"\\ud800"', "lone surrogate"),
        (b'"\\udc00x"', ""),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\xff"', "not UTF-8"),
        (b'{"a":1', "ends too early"),
        (b'{"a":1} x', "trailing"),
        (b"[1,]", "trailing comma"),
        (b"1e400", "range"),
        (b'"a\nb"', "invalid character"),
        (b"[" * 257 + b"]" * 257, "deep"),
        (b"[" * 100_000, "deep"),
    ],
)
def test_compact_of_what_is_not_json_says_why(text: bytes, why: str) -> None:
    with pytest.raises(UsageError, match="not JSON") as caught:
        compact(text)
    assert why in caught.value.message


def test_compact_with_many_brackets_in_text_or_side_by_side_accepts() -> None:
    assert compact(b'"' + b"[" * 1000 + b'"')
    assert compact(b"[" + b",".join([b"[]"] * 1000) + b"]")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=4)
        ),
    )
)
def test_compact_of_spaced_json_keeps_its_value(value: object) -> None:
    stored = compact(json.dumps(value, indent=2).encode())
    assert json.loads(stored) == value
    assert b"\n" not in stored
    assert json.loads(from_object(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", object(), {1, 2}, b"x"])
def test_from_object_without_json_form_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="not JSON"):
        from_object(value)


def test_from_object_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(UsageError, match="not JSON"):
        from_object(loop)


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b'{"a":\n1}', b'"\\ud800"'])
def test_spliced_of_a_body_that_is_no_line_of_json_is_base64(body: bytes) -> None:
    assert not is_json_line(body)
    line = b"{" + spliced(body) + b"}"
    assert b"\n" not in line
    assert list(json.loads(line)) == ["data_b64"]


def test_spliced_of_json_is_the_stored_bytes() -> None:
    assert spliced(b'{"a": 1.0}') == b'"data":{"a": 1.0}'


def test_decoded_of_what_is_not_json_is_none() -> None:
    assert decoded(b"\xff") is None
    assert decoded(b"[1]") == [1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü ☃ 😀 שלום", "plain ü ☃ 😀 שלום"),
        ("\x7f\x80\x9b\x9f\xa0", "\\u007f\\u0080\\u009b\\u009f\xa0"),
        ("\u2027\u2028\u2029\u202a\u202e\u202f", "\u2027\\u2028\\u2029\\u202a\\u202e\u202f"),
        ("\u2065\u2066\u2069\u206a", "\u2065\\u2066\\u2069\u206a"),
    ],
)
def test_disarmed_spells_out_what_a_terminal_obeys_and_means_the_same(text: str, shown: str) -> None:
    written = json.dumps(text, ensure_ascii=False).encode()
    assert disarmed(written) == f'"{shown}"'.encode()
    assert json.loads(disarmed(written)) == text
