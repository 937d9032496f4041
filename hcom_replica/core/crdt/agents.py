"""Agents: for each agent of each device the newest that it said of itself (P15.1).

A last-writer-wins map. What is newest is told by the writer's own order, incarnation and seq, because all that an agent
says of itself is written by its device: no clock has a part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from hcom_replica.core.crdt.rows import Rows
from hcom_replica.core.origin import OriginState
from hcom_replica.wire.event import Event, RedactedEvent

PREFIX: Final = b"a"
_DEVICE_BYTES: Final = 8
_GONE: Final = frozenset(("stopped", "launch_failed"))


class Said(msgspec.Struct, array_like=True, frozen=True):
    """The newest status, or life event, of an agent.

    Attributes:
        stamp: generation of the incarnation, seq, origin: the greatest is the newest.
        hlc: of the event.
        time_us: claimed; None when none was.
        word: the status, or the action.
        context: of a status, what it is about; empty for none.
        detail: the same.
    """

    stamp: tuple[int, int, bytes]
    hlc: int
    time_us: int | None
    word: str
    context: str
    detail: str


class AgentRow(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one agent.

    Attributes:
        status: its newest `status` event; None for none.
        life: its newest `life` event; None for none.
    """

    status: Said | None = None
    life: Said | None = None

    @property
    def is_gone(self) -> bool:
        """Whether it was stopped, and has said nothing since."""
        life, status = self.life, self.status
        if life is None or life.word not in _GONE:
            return False
        return status is None or status.stamp < life.stamp or status.word == "inactive"


_decode_row = msgspec.msgpack.Decoder(AgentRow).decode
_decode_body = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.msgpack.Encoder().encode


def fold(rows: Rows, state: OriginState, seq: int, event: Event) -> None:
    """Take in an event of an agent; every event that is not redacted tells that it exists."""
    agent = event.agent
    if not agent or agent.startswith("_") or isinstance(event, RedactedEvent):
        return
    key = PREFIX + state.device + agent.encode()
    held = rows.get(key)
    row = AgentRow() if held is None else _decode_row(held)
    said = _said(state, seq, event) if event.kind in ("status", "life", "agent") else None
    if said is not None and event.kind == "status":
        row = AgentRow(_newer(row.status, said), row.life)
    elif said is not None:
        row = AgentRow(row.status, _newer(row.life, said))
    elif held is not None:
        return
    rows.put(key, _encode(row))


def agents(rows: Rows) -> Iterator[tuple[bytes, str, AgentRow]]:
    """Device id, agent's name, and what it said, of all agents."""
    for key, value in rows.scan(PREFIX):
        device, name = key[1 : 1 + _DEVICE_BYTES], key[1 + _DEVICE_BYTES :]
        yield device, name.decode(), _decode_row(value)


def _newer(held: Said | None, said: Said) -> Said:
    return said if held is None or held.stamp < said.stamp else held


def _word(kind: str, body: dict[str, Any]) -> Any:
    """The status, or the action; that an agent of hcom is told of, or told to be gone, is one, too."""
    if kind == "agent":
        return "stopped" if body.get("gone") is True else "started"
    return body.get("status" if kind == "status" else "action")


def _said(state: OriginState, seq: int, event: Event) -> Said | None:
    try:
        body = _decode_body(event.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    word = _word(event.kind, body)
    if not isinstance(word, str):
        return None
    context, detail = (text if isinstance(text := body.get(name), str) else "" for name in ("context", "detail"))
    return Said((state.generation, seq, state.id), event.hlc, event.time, word, context, detail)
