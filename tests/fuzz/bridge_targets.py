"""What the bridge reads: packets and tokens of local programs, rows of hcom, bodies of peers on their way to hcom."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hcom_replica.bridge import mqtt5
from hcom_replica.bridge.database import Row
from hcom_replica.bridge.delivery import Inboxes, Place, deliver
from hcom_replica.bridge.envelope import seal
from hcom_replica.bridge.mqtt5 import Kind
from hcom_replica.bridge.rows import draft_of, mark_of
from hcom_replica.bridge.snapshot import decode_snapshot
from hcom_replica.bridge.token import decode_token
from hcom_replica.errors import ProtocolError, TokenError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.limits import MIB
from hcom_replica.wire.event import BODY_BYTES_MAX, Event, check_draft
from tests.fuzz.target import JSON_PEAK_PER_BYTE, Run, Target, stateless
from tests.fuzz.wire_targets import JSON_WORDS
from tests.unit.bridge.hcoms import KEY, RELAY
from tests.unit.bridge.legacies import Gate, Hub
from tests.unit.store.devices import Device

_CONNECT: Final = b"\x10\x1f\x00\x04MQTT\x05\xc2\x00\x1e\x05\x27\x00\x10\x00\x00\x00\x01w\x00\x04hcom\x00\x02pw"
_PACKETS: Final = (
    _CONNECT + b"\xc0\x00",
    mqtt5.publish("relay/control", b"payload", 7, retain=True),
    b"\x82\x0c\x00\x01\x00\x00\x06rely/+\x01" + b"\x40\x02\x00\x01" + b"\xe0\x00",
)
_BODIES: Final = (
    b'{"from":"luna","scope":"mentions","mentions":["rose:TUKA"],"text":"hi","reply_to":"00000000000000aa:3"}',
    b'{"text":"t","delivered_to":["a"],"_hcom":{"db":"0011aabb","id":7,"after":3,"hash":"0011223344556677"}}',
    b'{"status":"active","context":"tool:Edit","detail":"a.py","_relay":{"device":"x"},"_replica":3}',
)
_WORDS: Final = (*JSON_WORDS, b'"_hcom"', b'"mentions"', b'"scope"', b'"reply_to"', b":TUKA", b'"from"', b'"text"')
_NAME: Final = EventId(OriginId(bytes(8)), 1)
_PLACE: Final = Place("BOXE", "TUKA", "TUKA".__eq__, in_full=True, reset_us=0, bytes_max=2_000)


def _packets(given: bytes) -> None:
    for packet in mqtt5.Stream(1 << 16).feed(given):
        if packet.kind == Kind.CONNECT:
            mqtt5.read_connect(packet)
        elif packet.kind == Kind.PUBLISH:
            mqtt5.read_publish(packet)
        elif packet.kind in (Kind.SUBSCRIBE, Kind.UNSUBSCRIBE):
            mqtt5.read_subscribe(packet)
        elif packet.kind == Kind.PUBACK:
            mqtt5.read_puback(packet)


def _token(given: bytes) -> None:
    decode_token(given.decode(errors="replace"))


def _row(given: bytes) -> None:
    """Whatever a row holds, it becomes an event that can be appended."""
    text = given.decode(errors="replace")
    made = draft_of(Row(7, text[:40], text[:80], text[:300], text), "0011aabb", 3, None)
    check_draft(made)
    assert len(made.body) <= BODY_BYTES_MAX
    assert mark_of(made.body) is not None


def _handed(given: bytes) -> None:
    """Whatever a peer has written, hcom is given an object of a bounded size, of that device's own names."""
    for kind in ("message", "status"):
        event = Event(1 << 20, kind, "lu:na", None, given)
        made = deliver(_NAME, event, _PLACE, Inboxes(frozenset(("rose",)), frozenset(("nova",))), _replied)
        assert len(made.data) <= max(_PLACE.bytes_max, 200)
        assert ":" not in made.instance


def _replied(_name: EventId) -> dict[str, Any]:
    return {"reply_to": "1:BOXE"}


def _mark(given: bytes) -> None:
    mark_of(given)


def _snapshot(given: bytes) -> None:
    decode_snapshot(given)


def _carrying() -> Run:
    """A device that carries for machines that run only hcom, and hears one of them say one thing after the other."""
    gate = Gate(Device("BOXE"), Hub())
    for _ in range(20):
        gate.step(1_000)
    heard = 0

    def run(given: bytes) -> None:
        nonlocal heard
        heard += 1
        uuid = f"{given[:1].hex()}000000-0000-4000-8000-000000000000"
        for topic in (f"{RELAY}/{uuid}", f"{RELAY}/control"):
            gate.take(topic, seal(KEY, topic, heard, given, heard.to_bytes(24)))
        gate.step(1_000)

    return run


_WORDS_OF_PEERS: Final[tuple[Any, ...]] = (
    {
        "state": {"short_id": "MEMO", "instances": {"memo": {"tool": "x"}}},
        "events": [
            {
                "id": 6,
                "ts": "2026-11-22T17:39:23+00:00",
                "type": "message",
                "instance": "memo",
                "data": {"text": "hi", "mentions": ["luna:BOXE"], "reply_to": "3:BOXE"},
            },
            {
                "id": 7,
                "ts": "t",
                "type": "rpc_result",
                "instance": "_rpc",
                "data": {"request_id": "r", "ok": True, "result": {"events": [{"id": 1}]}},
            },
        ],
    },
    {
        "events": [
            {
                "type": "control",
                "data": {
                    "action": "events",
                    "target_device": "BOXE",
                    "request_id": "r",
                    "params": {"sql": "id > 1 AND id < 9", "last": 3, "max_bytes": 9},
                },
            }
        ]
    },
    {"state": {"short_id": "BOXE", "replica": {"group": "00" * 8, "term": 3, "claim": "0011223344556677:1"}}},
    {"state": None, "events": []},
)
_SAID: Final = tuple(msgspec.json.encode(said) for said in _WORDS_OF_PEERS)

TARGETS: Final = (
    Target("packets on the endpoint", stateless(_packets), _PACKETS, (ProtocolError,),
           words=(b"\x10", b"\x30", b"\x32", b"\x82", b"\xff\xff\xff\x7f", b"\x80", b"\x00\x04MQTT", b"\x05", b"\x26")),
    Target("token of hcom", stateless(_token), (b"BNlEumv0FEHkrMXeoxdEbp62Ci09ihQWCeZuQQHhIeQDLuiyOzd5t4RPxKfoxb25b21x",
           b"AaGyw9Tl9niQq83vEjRWeJAA"), (TokenError,), words=(b"B", b"=", b"-", b"_", b"AAAA", b"\xff", b"\n")),
    Target("snapshot of hcom", stateless(_snapshot),
           (b'{"events":[{"id":6,"ts":"t","type":"life","instance":"","data":{}}],"state":{"short_id":"MAHI"}}',),
           (ProtocolError,), words=_WORDS, peak_per_byte=JSON_PEAK_PER_BYTE),
    Target("row of hcom", stateless(_row), _BODIES, (), words=_WORDS, peak_per_byte=JSON_PEAK_PER_BYTE),
    Target("mark of a peer", stateless(_mark), _BODIES, (), words=_WORDS, peak_per_byte=JSON_PEAK_PER_BYTE),
    Target("words of a machine with hcom only", _carrying, _SAID, (), words=(*_WORDS, b'"replica"', b'"id"', b'"ts"'),
           weight=2, peak_bytes=MIB, peak_per_byte=2 * JSON_PEAK_PER_BYTE),
    Target("body on its way to hcom", stateless(_handed), _BODIES, (), words=_WORDS, peak_per_byte=JSON_PEAK_PER_BYTE),
)  # fmt: skip
"""Errors that a target may raise stand behind its seeds; most may raise none."""
