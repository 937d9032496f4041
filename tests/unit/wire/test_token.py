"""The join token: whole or refused, with words that say what to do."""

from __future__ import annotations

import base64

import pytest

from hcom_replica.errors import TokenError
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import PREFIX, JoinToken, decode_token

TOKEN = JoinToken(
    GroupKeys(b"group-of-16bytes", b"a secret of thirty-two bytes....", 3), ("mqtts://a:8883", "mqtt://b"), b"f" * 32
)
TEXT = TOKEN.encode()


def test_token_brings_group_epoch_secret_founder_and_brokers() -> None:
    """P2.7"""
    read = decode_token(TEXT)
    assert read == TOKEN
    assert (read.keys.epoch, read.brokers, read.founder) == (3, ("mqtts://a:8883", "mqtt://b"), b"f" * 32)


@pytest.mark.parametrize("around", ["  {}\n", "{}\r\n", "\t{}"])
def test_token_pasted_with_white_space_around_or_broken_over_lines_is_read(around: str) -> None:
    half = len(TEXT) // 2
    assert decode_token(around.format(TEXT)) == TOKEN
    assert decode_token(around.format(TEXT[:half] + "\n  " + TEXT[half:])) == TOKEN


def test_token_is_one_line_of_plain_characters() -> None:
    assert TEXT.startswith(PREFIX)
    assert TEXT.replace("_", "").replace("-", "").isalnum()


@pytest.mark.parametrize("length", [len(PREFIX), 20, len(TEXT) // 2, len(TEXT) - 4, len(TEXT) - 1])
def test_token_cut_off_anywhere_is_refused_with_a_hint(length: int) -> None:
    with pytest.raises(TokenError, match="cut off") as error:
        decode_token(TEXT[:length])
    assert "whole" in error.value.hint


def test_token_in_the_wrong_case_is_refused() -> None:
    with pytest.raises(TokenError):
        decode_token(PREFIX + TEXT[len(PREFIX) :].upper())


@pytest.mark.parametrize("version", [1, 2, 4])
def test_token_of_hcom_is_named_as_such(version: int) -> None:
    foreign = base64.urlsafe_b64encode(bytes((version,)) + bytes(40)).decode().rstrip("=")
    with pytest.raises(TokenError, match="hcom's own relay") as error:
        decode_token(foreign)
    assert "relay new --hcom" in error.value.hint


@pytest.mark.parametrize("text", ["", "hello", "https://example.org/x"])
def test_text_that_is_no_token_says_where_to_find_one(text: str) -> None:
    with pytest.raises(TokenError, match="not a join token") as error:
        decode_token(text)
    assert "relay token" in error.value.hint


def test_refusal_repeats_nothing_of_the_token() -> None:
    """A token is a secret: it must not come to stand in a log by way of an error."""
    for wrong in (TEXT[:-1], TEXT[len(PREFIX) :], TEXT[:-1] + "!"):
        with pytest.raises(TokenError) as error:
            decode_token(wrong)
        assert TEXT[8:40] not in f"{error.value} {error.value.hint}"
