from __future__ import annotations

import json

import pytest

from hcom_replica.api.event import Event
from hcom_replica.api.summary import summary
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire import event as wire


def event(kind: str, data: object, agent: str | None = "luna") -> Event:
    body = data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return Event(EventId(OriginId(bytes(8)), 1), wire.Event(0, kind, agent, None, body), "BOXE")


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("message", {"from": "luna", "scope": "broadcast", "text": "a\n\tb "}, "→ all: a b"),
        ("message", {"scope": "mentions", "mentions": ["nova", "rose:TUKA"], "text": "hi"}, "→ nova, rose:TUKA: hi"),
        (
            "message",
            {"scope": "mentions", "mentions": ["nova"], "intent": "request", "thread": "t1", "text": "hi"},
            "→ nova [request #t1]: hi",
        ),
        ("status", {"status": "active", "context": "tool:Edit", "detail": "src/a.rs"}, "active: Edit src/a.rs"),
        ("status", {"status": "active", "context": "tool:Bash", "detail": "make test"}, "active: $ make test"),
        ("status", {"status": "listening", "context": "", "detail": ""}, "listening"),
        ("status", {"status": "listening", "context": "ready"}, "listening"),
        ("status", {"status": "active", "context": "deliver:nova"}, "active: reads mail of nova"),
        ("status", {"status": "blocked", "context": "approval", "detail": "rm -r x"}, "blocked: approval rm -r x"),
        ("life", {"action": "created", "by": "cli", "tool": "claude", "snapshot": {}}, "created by cli with claude"),
        ("life", {"action": "stopped", "by": "user", "reason": "killed"}, "stopped by user (killed)"),
        ("life", {"action": "relay_device_join", "short_id": "TUKA", "text": "x"}, "relay device join TUKA"),
        (
            "bundle",
            {"title": "Fix", "description": "the parser", "refs": {"events": [1, 2], "files": ["a"], "transcript": []}},
            "Fix - the parser (2 events, 1 files)",
        ),
        ("agent", {"gone": True}, "is no more"),
        ("agent", {"tool": "claude", "directory": "/src"}, "is claude in /src"),
        ("rpc_request", {"request": "1", "action": "launch", "params": {}}, "asks for launch"),
        ("rpc_answer", {"request": "1", "action": "kill", "ok": True}, "kill: done"),
        ("rpc_answer", {"request": "1", "action": "kill"}, "kill: not done"),
        ("state", {"op": "set", "key": "lead", "value": "luna", "tag": "x"}, 'set lead "luna"'),
        ("state", {"op": "incr", "key": "runs", "by": 2, "tag": "x"}, "incr runs 2"),
        ("_roster", {"enter": ["a", "b"], "late": {"c": 1}}, "lets in 2 origins, gives a late place to 1 origin"),
        ("_epoch", {"record": "x"}, "begins a new key epoch"),
        ("deploy", {"to": "staging"}, '{"to":"staging"}'),
        ("_hello", {"name": "BOXE", "reason": "first"}, "BOXE begins to write (first)"),
        ("_name", {"name": "TUKA"}, "is called TUKA from here on"),
        ("_redact", {"origin": "ab", "seq": 3}, "redacts ab:3"),
    ],
)
def test_summary_of_a_kind_tells_what_it_is_about(kind: str, data: object, line: str) -> None:
    assert summary(event(kind, data)) == line


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("message", {"text": 1}),
        ("message", ["text"]),
        ("message", None),
        ("status", {"status": {}, "context": []}),
        ("life", {"action": None}),
        ("bundle", {"refs": {"events": "many"}}),
        ("bundle", {"refs": 1}),
        ("agent", {"tool": 1}),
        ("rpc_start", {"action": 1}),
        ("rpc_answer", {"ok": True}),
        ("state", {"op": "set"}),
        ("_roster", {"enter": 1, "close": {}}),
        ("_redact", {"seq": "x"}),
        ("_name", {}),
    ],
)
def test_summary_of_a_body_of_another_shape_is_the_body(kind: str, data: object) -> None:
    assert summary(event(kind, data)) == json.dumps(data, separators=(",", ":"))


def test_summary_of_bytes_that_are_no_text_spells_them_out() -> None:
    assert summary(event("k", b"\xff\xfe")) == "\\xff\\xfe"


def test_summary_that_is_long_ends_with_an_ellipsis() -> None:
    assert summary(event("k", "x" * 500), 10) == '"xxxxxxxx…'


def test_summary_of_a_message_without_agent_names_who_sent_it() -> None:
    assert summary(event("message", {"from": "ci", "scope": "broadcast", "text": "red"}, None)) == "ci → all: red"


def test_summary_of_a_redacted_event_says_so() -> None:
    gone = wire.RedactedEvent(0, "message", "luna", None, b"", b"", 3, bytes(32), bytes(64))
    assert summary(Event(EventId(OriginId(bytes(8)), 1), gone, "BOXE")) == "(redacted)"
