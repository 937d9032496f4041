"""Decoders of what people, their programs and clients of the embedded broker give: tokens, URLs, JSON, sockets."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import Any, Final

import msgspec

from hcom_replica.api.body import compact
from hcom_replica.api.importing import check_lines
from hcom_replica.core.crdt.agents import agents
from hcom_replica.core.crdt.agents import fold as fold_agent
from hcom_replica.core.crdt.shared import fold as fold_shared
from hcom_replica.core.crdt.shared import names
from hcom_replica.core.effects import Now
from hcom_replica.core.info import LiveInfo
from hcom_replica.core.origin import fresh_origin
from hcom_replica.daemon.lock import pid_in
from hcom_replica.daemon.messages import (
    DaemonInfo,
    FlushAnswer,
    Inbox,
    Request,
    Response,
    WaitAnswer,
    error_of,
    pack,
    read,
    unpack,
)
from hcom_replica.daemon.operations import Operations
from hcom_replica.errors import ConfigError, DaemonError, ReplicaError, TokenError, UsageError
from hcom_replica.limits import KIB
from hcom_replica.transport.gate import admit
from hcom_replica.transport.url import parse_broker_url
from hcom_replica.wire.batch import Descriptor
from hcom_replica.wire.event import Event
from hcom_replica.wire.signing import hash32
from hcom_replica.wire.token import PREFIX, decode_token
from tests.fuzz.target import JSON_PEAK_PER_BYTE, Run, Target, stateless
from tests.fuzz.vectors import vectors
from tests.fuzz.wire_targets import JSON_WORDS
from tests.unit.core.builders import Device
from tests.unit.core.host import Host

_NOW: Final = Now(1_800_000_000_000, 0)
_INFO: Final = DaemonInfo(
    7, 1_800_000_000_000, enabled=True, broker="mqtts://h:8883", problem="", hint="",
    live=LiveInfo(True, None, {"dropped.seal": 3}, 0.5, (), {}, 0, 0, None),
)  # fmt: skip


def _join(given: bytes) -> None:
    """What `relay connect` does with what was pasted."""
    for url in decode_token(given.decode(errors="replace")).brokers:
        with suppress(ConfigError):
            parse_broker_url(url)


def _join_checked(given: bytes) -> None:
    """A token whose checksum is right, whatever else is wrong with it."""
    data = given + hash32(given)[:4]
    _join(PREFIX.encode() + urlsafe_b64encode(data).rstrip(b"="))


def _url(given: bytes) -> None:
    address = parse_broker_url(given.decode(errors="replace"))
    assert parse_broker_url(address.url) == address


def _import(given: bytes) -> None:
    check_lines(BytesIO(given))


def _body(given: bytes) -> None:
    compacted = compact(given)
    assert compact(compacted) == compacted


class _Host:
    """Whom operations act upon."""

    def info(self) -> DaemonInfo:
        """What `status` answers."""
        return _INFO

    def reload(self, now: Now) -> None:
        """Nothing to read."""

    def refill(self) -> bool:
        """There is no bridge."""
        return False

    def leave(self, now: Now) -> None:
        """Nothing to leave."""

    def remote(self) -> None:
        """There is no bridge."""

    def has_left(self, now: Now) -> bool:
        """Nothing was joined."""
        return True

    def stop(self) -> None:
        """Nothing to end."""


class _Engine:
    """An engine without a link."""

    online = False

    def keep_notes(self, now: Now) -> None:
        """Nothing to keep."""

    def lived_ms(self, now: Now) -> None:
        """Never connected."""

    def renew(self, now: Now, reason: str) -> None:
        """Nothing to renew."""


def _serving() -> Run:
    """The daemon's end of the control socket."""
    machine = Host(Device("BOXE")).run().machine
    engine: Any = _Engine()
    operations = Operations(_Host(), engine, machine)

    def run(given: bytes) -> None:
        for message in Inbox().feed(given):
            result = operations.handle(unpack(message, Request), _NOW)
            if hasattr(result, "drop"):
                result.drop()

    return run


def _asking(given: bytes) -> None:
    """A command's end of the control socket."""
    for message in Inbox().feed(given):
        response = unpack(message, Response)
        if response.fault is not None:
            raise error_of(response.fault)
        for shape in (DaemonInfo, FlushAnswer, WaitAnswer, bool):
            with suppress(DaemonError):
                read(response.result, shape)


def _pid(given: bytes) -> None:
    assert 0 <= pid_in(given) < 1 << 31


class _Writer:
    """The broker's answers go nowhere."""

    def write(self, data: bytes) -> None:
        """Drop them."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


async def _admitted(given: bytes) -> None:
    stream, writer = asyncio.StreamReader(), _Writer()
    stream.feed_data(given)
    stream.feed_eof()
    reader = await admit(stream, writer)  # type: ignore[arg-type]
    if reader is not None:
        with suppress(asyncio.IncompleteReadError, ConnectionResetError):
            await reader.read(int.from_bytes(given[:4], "big"))


def _gate(given: bytes) -> None:
    _loop().run_until_complete(_admitted(given))


_TOKEN_TEXTS: Final = tuple(
    one["token"].encode() for one in (*vectors("tokens")["valid"], *vectors("tokens")["invalid"])
)
_URLS: Final = (b"mqtts://broker.example.org:8883", b"mqtt://[::1]", b"host", b"192.168.1.5:1883", b"mqtt://u:p@h")
_LINES: Final = (
    (
        b'{"kind": "status", "agent": "luna", "data": {"status": "done"}, "time": "2026-01-31T09:30:00Z"}\n'
        b'{"kind":"note","data":[1,2.5,"\xc3\xbc\\n"]}\n\n{"kind":"k"}\n'
    ),
    b'{"kind": "message", "data": "text", "time": "0001-01-01T00:00:00+23:59"}',
)
_REQUESTS: Final = tuple(
    pack(Request(op, args)) for op, args in (
        ("status", {}), ("flush", {"device": "BOXE", "timeout_ms": 5}), ("wait", {"timeout_ms": None}), ("stop", {}),
        ("forget", {"timeout_ms": 1}), ("ask_off", {}), ("reload", {}), ("nothing", {"x": [1]}),
    )
)  # fmt: skip
_FAULT: Final = msgspec.msgpack.encode({"fault": {"kind": "store-full", "message": "m"}})
_RESPONSES: Final = (
    *(pack(Response(result)) for result in (_INFO, FlushAnswer(True, "device", "", True), 7, True)),
    len(_FAULT).to_bytes(4, "big") + _FAULT,
)
_CONNECT: Final = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd"

_STATE: Final = tuple(
    msgspec.json.encode(
        {"op": op, "key": "k", "tag": "t", "value": [1], "item": "i", "seen": ["t"], "stamp": 7, "by": -3}
    )
    for op in ("set", "add", "remove", "incr")
)


def _fold(given: bytes) -> None:
    """What any member may say of agents and of the shared state."""
    rows = FuzzRows()
    for kind in ("state", "status", "life"):
        event = Event(1, kind, "luna", None, given)
        fold_agent(rows, _ORIGIN, 1, event)
        fold_shared(rows, event)
    list(agents(rows))
    names(rows)


class FuzzRows(dict[bytes, bytes]):
    """Rows of views in a dict."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set a row."""
        self[key] = value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows whose keys begin so."""
        yield from sorted((key, value) for key, value in self.items() if key.startswith(prefix))


_ORIGIN: Final = fresh_origin(bytes(16), Descriptor(bytes(32), bytes(12), ()))

TARGETS: Final = (
    Target("event of a view", stateless(_fold),
           (*_STATE, b'{"status":"active","context":"c"}', b'{"action":"stopped"}'), (),
           words=(*JSON_WORDS, b'"op"', b'"tag"', b'"seen"', b"4611686018427387904", b"\\u0000", b"\\ud800"),
           peak_per_byte=JSON_PEAK_PER_BYTE),
    Target("join token", stateless(_join), _TOKEN_TEXTS, (TokenError,),
           words=(b"hcr1_", b"=", b"-", b"_", b" ", b"\n", b"AAAA", b"\xff", b"\x00", b"/", b"+")),
    Target("join token with a right checksum", stateless(_join_checked),
           (b"\x01" + bytes(52) + b"mqtts://broker.example:8883 mqtt://127.0.0.1", bytes(60)), (TokenError,),
           prefix=53),
    Target("broker URL", stateless(_url), _URLS, (ConfigError,),
           words=(b"mqtt://", b"mqtts://", b"http://", b"[", b"]", b":", b"@", b"/", b"..", b"65536", b"-", b"%eth0",
                  b"\xc3\x9c", b"\x00", b"\x1b", b"\xe2\x80\xae", b"a" * 64)),
    Target("lines to import", stateless(_import), _LINES, (UsageError,),
           words=(*JSON_WORDS, b'"kind"', b'"agent"', b'"data"', b'"time"', b"9999-12-31T23:59:59.999999-23:59",
                  b"0001-01-01", b"2026-W05-1", b"T24:00", b'{"kind":"k"}\n'), peak_per_byte=JSON_PEAK_PER_BYTE),
    Target("body", stateless(_body), (b'{"a": [1, 2, {"b": null}], "c": "d e"}', b'"text"', b"[[[[1]]]]", b"1e5"),
           (UsageError,), words=(*JSON_WORDS, b"NaN", b"Infinity", b"[" * 300, b"/*", b"\t"),
           peak_per_byte=JSON_PEAK_PER_BYTE),
    Target("control socket, the daemon's end", _serving, _REQUESTS, (ReplicaError,), prefix=4, weight=4),
    Target("control socket, a command's end", stateless(_asking), _RESPONSES, (ReplicaError,), prefix=4),
    Target("daemon.lock", stateless(_pid), (b"1234\n", b"4194304"), (), words=(b"9" * 9, b"-", b" ", b"\n", b"\xff")),
    Target("CONNECT of a client of the embedded broker", stateless(_gate), (_CONNECT,), (), prefix=9, weight=1,
           peak_bytes=512 * KIB),
)  # fmt: skip
