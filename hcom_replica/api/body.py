"""Bodies: JSON in, compact bytes stored, the same bytes printed.

Owns what a body written here may be. A body is compacted once, when it is written: white space between tokens goes,
everything else (order of keys, spelling of numbers and text) stays. Whoever prints it splices what is stored.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hcom_replica.errors import UsageError

DEPTH_MAX: Final = 256
"""Nesting that every reader can take; the stack of some JSON readers ends at 512."""

_SPACE: Final = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ARMED: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
"""DEL, C1 controls, line separators, and what turns the direction of text, in UTF-8."""

_decode: Final = msgspec.json.Decoder().decode
_LF: Final = 0x0A  # a number is found in bytes three times as fast as a byte string is
_CR: Final = 0x0D
_DEL: Final = 0x7F
_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_HINT: Final = 'JSON text goes in double quotes: --data \'"hello"\', --data \'{"status":"done"}\''


def compact(text: bytes) -> bytes:
    """Check JSON text and take the white space out of it.

    Raises:
        UsageError: it is not JSON as RFC 8259 has it, in UTF-8, without lone surrogates.
    """
    problem = json_problem(text)
    if problem:
        raise UsageError(f"not JSON: {problem}", hint=_HINT)
    return _SPACE.sub(rb"\1", text) if _SPACE_BYTES.search(text) else text


_SPACE_BYTES: Final = re.compile(rb"[ \t\r\n]")


def from_object(data: object) -> bytes:
    """Encode what a Python program gives.

    Raises:
        UsageError: it has no JSON form: a NaN, a lone surrogate, an object of some class.
    """
    import json  # noqa: PLC0415 - slow to load, and not needed for bodies that are JSON text

    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"), check_circular=True)
        body = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"not JSON: {str(error) or 'nested too deeply'}", hint="give dict, list, str, numbers"
        ) from None
    if json_problem(body):
        raise UsageError(f"not JSON: {json_problem(body)}")
    return body


def json_problem(text: bytes) -> str:
    """Say what keeps bytes from being JSON text; "" when nothing does. The same on every device."""
    if len(text) > DEPTH_MAX and _too_deep(text):
        return f"nested more than {DEPTH_MAX} deep"
    try:
        _decode(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except (msgspec.DecodeError, RecursionError) as error:
        return _reason(text, str(error))
    return ""


def is_json_line(body: bytes) -> bool:
    """Tell whether a body can stand in a line of JSON as it is."""
    if _LF in body or _CR in body or (len(body) > DEPTH_MAX and _too_deep(body)):
        return False
    try:
        _decode(body)
    except _NO_JSON:
        return False
    return True


def as_json_lines(bodies: Sequence[bytes]) -> Sequence[bytes] | None:
    """Make many bodies ready to stand in lines of JSON, `disarmed`, in half the time of one by one.

    Returns:
        None when one of them cannot, see `is_json_line`.
    """
    joined = b"".join(bodies)
    if _LF in joined or _CR in joined or any(len(body) > DEPTH_MAX and _too_deep(body) for body in bodies):
        return None
    try:
        deque(map(_decode, bodies), 0)
    except _NO_JSON:
        return None
    return bodies if joined.isascii() and _DEL not in joined else list(map(disarmed, bodies))


def disarmed(text: bytes) -> bytes:
    """Spell out, in JSON text, the characters that JSON lets stand and a terminal obeys.

    Such characters stand only inside of strings, where an escape means the same: whoever reads the JSON gets the same
    text, and the same bytes on every device. What is below U+0020 JSON escapes anyway.
    """
    if text.isascii() and _DEL not in text:
        return text
    return _ARMED.sub(lambda match: b"\\u%04x" % ord(match[0].decode()), text)


def spliced(body: bytes) -> bytes:
    """The last member of an event's JSON: `"data":<body>`, or `"data_b64"` for a body that is no line of JSON."""
    if is_json_line(body):
        return b'"data":' + disarmed(body)
    return b'"data_b64":"' + b2a_base64(body, newline=False) + b'"'


def decoded(body: bytes) -> Any:
    """The body as Python objects; None when it is not JSON."""
    try:
        return _decode(body)
    except _NO_JSON:
        return None


def _too_deep(text: bytes) -> bool:
    if text.count(b"[") + text.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for char in _QUOTED.sub(b"", text):
        depth += (char in b"[{") - (char in b"]}")
        if depth > DEPTH_MAX:
            return True
    return False


def _reason(text: bytes, message: str) -> str:
    if not text.strip():
        return "it is empty"
    if re.search(rb"\b(NaN|Infinity)\b", _QUOTED.sub(b"", text)):
        return "NaN and Infinity are not JSON"
    if re.search(rb"\\u[dD][89a-fA-F]", text) and "truncated" in message:
        return "it has a lone surrogate, which is not Unicode, or ends too early"
    message = message.removeprefix("JSON is malformed: ")
    return "it ends too early" if message == "Input data was truncated" else message[:1].lower() + message[1:]
