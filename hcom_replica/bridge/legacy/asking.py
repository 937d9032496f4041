"""Asking peers for what was missed of them, by hcom's own request `events` (hcom-bridge-v1 B8.6).

Owns one request of a peer at a time. Requests and answers are perishable; what is missing is asked for until it is
there. A peer takes a request only within a minute of its own clock, so it is sealed with the peer's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from hcom_replica.bridge.legacy.peer_rows import Rows
from hcom_replica.bridge.legacy.peers import Peers
from hcom_replica.bridge.legacy.snapshots import Wire
from hcom_replica.bridge.snapshot import HcomEvent, read_event
from hcom_replica.core.effects import Now

RUN: Final = 100
"""Rows that are asked for at once, as hcom itself does it."""

ANSWER_BYTES: Final = 96 * 1024
LIVE_MS: Final = 30_000
"""A peer says something every five seconds."""

PATIENCE_MS: Final = 10_000
AGAIN_MS: Final = 60_000
"""How long a peer that does not answer is left alone."""

T = TypeVar("T")

_ROWS: Final = (
    "id IN (SELECT id FROM events WHERE id > {after} AND id <= {upto} AND instance NOT LIKE '%:%'"
    " AND instance != '_device' AND type NOT IN ('control','rpc_result')"
    " AND json_extract(data,'$._relay') IS NULL ORDER BY id LIMIT {limit})"
)


class _Asked(NamedTuple):
    """A request that has no answer yet.

    Attributes:
        request: its UUID, which the answer repeats.
        after: rows with a greater id are asked for.
        upto: the greatest id that is asked for.
        limit: at most so many rows.
        until_ms: monotonic; then it is given up.
        is_anchored: the row behind `after` is known here: an answer without it comes from a database begun anew.
    """

    request: str
    after: int
    upto: int
    limit: int
    until_ms: int
    is_anchored: bool


class _Result(msgspec.Struct):
    """The rows of an answer; `truncated`: the oldest were left out, because not all had room."""

    events: list[msgspec.Raw] = []
    truncated: bool = False


class _Row(msgspec.Struct):
    """An `rpc_result` of hcom: the answer to the request with that UUID; without `ok` the result is an error."""

    request_id: str = ""
    ok: bool = False
    result: msgspec.Raw = msgspec.Raw(b"null")


class Asking:
    """Asks.

    Args:
        peers: what is known of them.
        wire: how it is sealed.
        own: UUID of this device there.
        short: letters of this device there.
    """

    def __init__(self, peers: Peers, wire: Wire, own: str, short: Callable[[], str]) -> None:
        self._peers = peers
        self._wire = wire
        self._own = own
        self._short = short
        self._asked: dict[bytes, _Asked] = {}
        self._limit: dict[bytes, int] = {}
        self._rest_ms: dict[bytes, int] = {}
        self._off_s: dict[bytes, int] = {}
        self._told_s = 0.0

    def heard(self, device: bytes, ts_s: int, now: Now) -> None:
        """A peer has just published: how far its clock is from ours."""
        self._off_s[device] = ts_s - now.wall_ms // 1_000

    def poll(self, now: Now) -> list[bytes]:
        """What is to be published as requests."""
        for device, asked in list(self._asked.items()):
            if now.mono_ms > asked.until_ms:
                del self._asked[device]
                self._rest_ms[device] = now.mono_ms + AGAIN_MS
        found: list[bytes] = []
        for device in list(self._off_s):
            rests = now.mono_ms < self._rest_ms.get(device, 0)
            if device in self._asked or rests or not self._peers.is_live(device, now.mono_ms, LIVE_MS):
                continue
            hole = self._peers.hole(device)
            if hole is not None:
                found.append(self._request(device, *hole, now))
        return found

    def take(self, device: bytes, events: list[HcomEvent], now: Now) -> None:
        """Look for answers among what a peer has published.

        Raises:
            StoreError: see `Peers.answered`.
        """
        for event in events:
            asked = self._asked.get(device)
            if event.type != "rpc_result" or asked is None:
                continue
            row = _read(event.data, _Row)
            if row is not None and row.request_id == asked.request:
                del self._asked[device]
                self._answer(device, asked, row, now)

    def _answer(self, device: bytes, asked: _Asked, row: _Row, now: Now) -> None:
        result = _read(row.result, _Result) if row.ok else None
        if result is None:
            self._rest_ms[device] = now.mono_ms + AGAIN_MS
            return
        events = sorted(
            (event for event in map(read_event, result.events) if event is not None), key=lambda event: event.id
        )
        events = [event for event in events if asked.after < event.id <= asked.upto]
        ids = [event.id for event in events]
        known_id = asked.after + 1
        if asked.is_anchored and not result.truncated and known_id not in ids:
            self._peers.begin_again(device)
        self._limit[device] = max(1, asked.limit // 2) if result.truncated else RUN
        if result.truncated:  # it has the newest of what was asked for
            after, upto = (ids[0] - 1, ids[-1]) if ids else (asked.after, asked.after + (asked.limit == 1))
        else:
            after, upto = asked.after, asked.upto if len(ids) < asked.limit else ids[-1]
        self._peers.answered(device, Rows(events, after, upto), now)

    def _request(self, device: bytes, after: int, upto: int, now: Now) -> bytes:
        known, limit = self._peers.by_device[device], self._limit.get(device, RUN)
        request = str(UUID(bytes=self._wire.entropy(16), version=4))
        anchored = self._peers.event_at(device, after + 1) is not None
        self._asked[device] = _Asked(request, after, upto, limit, now.mono_ms + PATIENCE_MS, anchored)
        self._told_s = max(now.wall_ms / 1_000, self._told_s + 0.001)
        params: dict[str, Any] = {
            "sql": _ROWS.format(after=after, upto=upto, limit=limit),
            "last": limit,
            "max_bytes": ANSWER_BYTES,
        }
        off_s = self._off_s[device]
        data = {
            "action": "events",
            "target_device": known.short,
            "from": f"_:{self._short()}",
            "from_device": self._own,
            "params": params,
            "request_id": request,
        }
        event = {"ts": self._told_s + off_s, "type": "control", "instance": "_control", "data": data}
        plain = msgspec.json.encode({"from_device": self._own, "events": [event]})
        return self._wire.seal(self._wire.topic("control"), max(0, now.wall_ms // 1_000 + off_s), plain)


def _read(data: msgspec.Raw, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
