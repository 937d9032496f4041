"""An event as programs and people see it, and its JSON, which is the same bytes on every device.

What is local, arrival number and time of receipt, is kept apart and printed only when asked for.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from hcom_replica.api.body import decoded
from hcom_replica.api.jsonlines import open_line
from hcom_replica.api.times import iso_ms, iso_us
from hcom_replica.core.hlc import millis
from hcom_replica.ids import EventId, order_key
from hcom_replica.wire import event as wire

_json = msgspec.json.Encoder().encode


class Arrival(NamedTuple):
    """How an event came to this device.

    Attributes:
        number: dense, from 1, in the order of commit here.
        received_ms: wall clock at receipt; None when it is not known.
        late: something that sorts behind it was here already.
    """

    number: int
    received_ms: int | None
    late: bool

    @property
    def fields(self) -> dict[str, Any]:
        """Its JSON's keys and values."""
        received = None if self.received_ms is None else iso_ms(self.received_ms)
        return {"arrival": self.number, "received_at": received, "late": self.late}


class Event(msgspec.Struct, dict=True, eq=False):
    """One event of the log.

    Attributes:
        id: names it for ever.
        stored: the event as its device encoded it.
        device: name of the device that wrote it, as it is shown now.
        arrival: how it came here; None when that was not asked for.
        late: in the stable stream: it came when the stream had passed where it belongs, the same on every device.
    """

    id: EventId
    stored: wire.Event
    device: str
    arrival: Arrival | None = None
    late: bool = False

    @property
    def hlc(self) -> int:
        """Hybrid logical time; with the origin its place in the canonical order."""
        return self.stored.hlc

    @property
    def kind(self) -> str:
        """What it is."""
        return self.stored.kind

    @property
    def agent(self) -> str | None:
        """Who did it, as its device wrote it, or None."""
        return self.stored.agent

    @property
    def body(self) -> bytes:
        """Stored bytes; see `data`."""
        return self.stored.body

    @property
    def redacted(self) -> bool:
        """Whether its body is gone for good; `body` is empty then."""
        return isinstance(self.stored, wire.RedactedEvent)

    @property
    def origin(self) -> str:
        """The origin's id, 16 hex digits."""
        return self.id.origin.hex()

    @property
    def seq(self) -> int:
        """Its number in its origin, from 1."""
        return self.id.seq

    @property
    def order(self) -> str:
        """Sort key of the canonical order: 32 hex digits."""
        return order_key(self.hlc, self.id.origin).hex()

    @property
    def time(self) -> str | None:
        """`time_us` in ISO 8601 UTC; None beyond the year 9999."""
        return iso_us(self.time_us)

    @property
    def time_us(self) -> int:
        """The time its writer claims, else that of its hlc, in microseconds since 1970."""
        claimed_us = self.stored.time
        return millis(self.stored.hlc) * 1_000 if claimed_us is None else claimed_us

    @property
    def name(self) -> str | None:
        """The agent in full, `luna:BOXE`; None when it has none."""
        return None if self.agent is None else f"{self.agent}:{self.device}"

    @cached_property
    def data(self) -> Any:
        """The body as Python objects; None when it is not JSON, or redacted."""
        return decoded(self.body)

    @property
    def fields(self) -> dict[str, Any]:
        """Its JSON's keys and values, without the body."""
        return {
            "id": str(self.id),
            "origin": self.origin,
            "device": self.device,
            "seq": self.id.seq,
            "hlc": self.hlc,
            "order": self.order,
            "time": self.time,
            "kind": self.kind,
            "agent": self.agent,
            "name": self.name,
        }

    def json(self, *, arrival: bool = False) -> bytes:
        """One line of JSON, without the newline; the body as it is stored, but for controls that it spells out.

        Args:
            arrival: add how it came here, which is local; without it the bytes are the same on every device.
        """
        line = open_line(self.id.origin, self.id.seq, self.stored, self.device)
        if arrival and self.arrival is not None:
            line += b"," + _json(self.arrival.fields)[1:-1]
        elif self.late:
            line += b',"late":true'
        return line + b"}"

    def __repr__(self) -> str:
        return f"Event({self.id}, kind={self.kind!r}, name={self.name!r}, data={self.data!r})"
