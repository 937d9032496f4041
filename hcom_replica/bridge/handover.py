"""From the log to hcom: which events are next, once each, a hundred of a device at a time (hcom-bridge-v1 section 4).

Owns the cursor over arrivals, and what is under way: numbers are given, and the cursor moved, in one transaction before
anything is published; what is under way is published again until hcom's own cursor shows that it is in. So nothing is
lost or doubled whoever dies when, and a full hundred waits for hcom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.delivery import KINDS, Delivery, Inboxes, Place, deliver, result_row
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.ledger import CURSOR, Arrived, BridgeLog, Key, Shelved, u64
from hcom_replica.bridge.numbering import Alias, Numbering
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.rows import Mark, mark_of
from hcom_replica.bridge.snapshot import EVENTS_MAX, HcomEvent
from hcom_replica.bridge.source import Source
from hcom_replica.bridge.wishes import ANSWER
from hcom_replica.core.effects import Now
from hcom_replica.ids import EventId
from hcom_replica.limits import KIB
from hcom_replica.wire.event import Draft, Event, RedactedEvent, decode_event, is_system

PAGE: Final = 128
BATCH_BYTES_MAX: Final = 256 * KIB
"""Data in one snapshot, unless one event alone is larger."""

HOLD_MS: Final = 60
"""How long events that are no messages wait for one."""

NAMES_IN_FULL: Final = 20
"""From this database version on hcom tells `luna:BOXE` from its own `luna` in a message's mentions."""

_URGENT: Final = frozenset(("message", ANSWER))

OUR_AGENT: Final = "sys_[hcom-replica]"


class Hcom(NamedTuple):
    """hcom as it is at one moment.

    Attributes:
        database: open.
        short: its own device's letters.
        packet_bytes_max: the largest packet that it takes.
        reset_s: what is older than this, it drops; 0 when it was never reset.
    """

    database: HcomDatabase
    short: str
    packet_bytes_max: int
    reset_s: float

    @property
    def state_bytes_max(self) -> int:
        """How much of a packet may be said of a device's agents."""
        return self.packet_bytes_max // 8

    @property
    def event_bytes_max(self) -> int:
        """The largest data of one event, alone in its packet."""
        return self.packet_bytes_max * 13 // 16

    @property
    def batch_bytes_max(self) -> int:
        """The data of several events in one packet."""
        return min(BATCH_BYTES_MAX, self.packet_bytes_max // 2)


class Page(NamedTuple):
    """What is decided of a page of arrivals, before it is written."""

    under_way: dict[bytes, list[HcomEvent]]
    notes: dict[bytes, bytes | None]
    drafts: list[Draft]
    upto: int


class Handover:
    """Hands events over.

    Args:
        log: where they come from.
        directory: of its devices.
        numbering: under what hcom knows them.
        roster: of the agents of other devices.
        source: knows this device's agents.
        answer: what hcom is given of an answer to what it asked of another device; None for what it did not ask.

    Attributes:
        under_way: by device: published, and not known to be in; ascending.
    """

    def __init__(
        self,
        log: BridgeLog,
        directory: Directory,
        numbering: Numbering,
        roster: Roster,
        source: Source,
        answer: Callable[[Event, bytes], dict[str, Any] | None],
    ) -> None:
        self.under_way: dict[bytes, list[HcomEvent]] = {}
        self._log = log
        self._directory = directory
        self._numbering = numbering
        self._roster = roster
        self._source = source
        self._wanted = answer
        self._held_ms: int | None = None

    def confirm(self, hcom: Hcom) -> list[bytes]:
        """Forget what is in by hcom's own cursor, and find what it has lost; return the devices it was lost of."""
        again = []
        for device, alias in self._numbering.known():
            cursor = hcom.database.kv_number(f"relay_events_{alias.uuid}")
            if cursor is not None and cursor > alias.last:
                self._numbering.recover(device, alias, hcom.database, cursor)
            alias.seen = cursor or alias.seen  # a cursor that is gone is a reset: what was in before is not given again
            rest = [event for event in self.under_way.get(device, []) if event.id > (cursor or 0)]
            if not rest and alias.seen < alias.last:
                rest = self._again(device, alias.seen, hcom)
                again += [device] if rest else []
            self.under_way[device] = rest
        return again

    def busy(self) -> bool:
        """Whether something is under way, or waits a moment for company."""
        return any(self.under_way.values()) or self._held_ms is not None

    def pending(self) -> int:
        """Arrivals that are not handed over yet, those that hcom is not given included."""
        return self._log.last_arrival() - self._log.cursor(CURSOR)

    def step(self, hcom: Hcom, now: Now) -> bool:
        """Hand over what is next, beside what is under way, a hundred of a device; return whether anything was decided.

        Raises:
            BridgeError: hcom's database cannot be read now.
            StoreError: nothing was changed.
        """
        cursor = self._log.cursor(CURSOR)
        arrived = [(item, decode_event(item.event.record)) for item in self._log.arrivals(cursor, PAGE)]
        if not arrived or self._is_held([event for _, event in arrived], now):
            return False
        page = self._decide(arrived, hcom, now)
        if page.upto == cursor:
            return False
        self._log.append(page.drafts, now.wall_ms, cursor=(CURSOR, page.upto), shelved=lambda _ids: page.notes.items())
        for device, events in page.under_way.items():
            self.under_way[device] = [*self.under_way.get(device, []), *events]
        return True

    def _is_held(self, arrived: Sequence[Event], now: Now) -> bool:
        """Whether what is next waits for company: a status often comes right before a message, and each costs hcom."""
        urgent = len(arrived) == PAGE or any(event.kind in _URGENT for event in arrived)
        if not urgent and self._held_ms is None:
            self._held_ms = now.mono_ms
        held = not urgent and now.mono_ms - (self._held_ms or 0) < HOLD_MS
        if not held:
            self._held_ms = None
        return held

    def refill(self, hcom: Hcom, now: Now) -> None:
        """Hand over again whatever hcom does not have, under new numbers: after `hcom reset` has emptied it.

        What is under way is decided first; the rest follows step by step, from the beginning of the log.
        """
        there = hcom.database.replica_ids()
        forgotten: list[Shelved] = []
        for device, _ in self._numbering.known():
            forgotten += self._numbering.forget(device, there)
            forgotten += self._forgotten(device)
        self._log.append([], now.wall_ms, cursor=(CURSOR, 0), shelved=lambda _ids: forgotten)
        self.under_way.clear()

    def _forgotten(self, device: bytes) -> Iterable[Shelved]:
        start, stop = Key.TAKEN.all(device)
        while page := self._log.shelf.page(start, stop):
            yield from ((key, None) for key, _ in page)
            start = page[-1][0] + b"\0"

    # --- deciding ------------------------------------------------------------------------------------------

    def _decide(self, arrived: Sequence[tuple[Arrived, Event]], hcom: Hcom, now: Now) -> Page:
        page = Page({}, {}, [], 0)
        size = sum(len(event.data) for events in self.under_way.values() for event in events)
        upto = arrived[0][0].number - 1
        for item, stored in arrived:
            name = EventId(item.event.origin, item.event.seq)
            if is_system(stored.kind):
                self._directory.refresh()
            device, event = self._directory.read(name.origin, stored)
            made = self._made(name, event, device, hcom, page)
            if made is not None:
                size += len(made.data)
                count = len(self.under_way.get(device, ())) + len(page.under_way.get(device, ()))
                if count >= EVENTS_MAX or (size > hcom.batch_bytes_max and size > len(made.data)):
                    break
                self._give(page, name, device, made, hcom, now)
                page.drafts.extend(self._regrets(name, event, device, made))
            if device != self._directory.own:
                page.notes.update(self._roster.told(device, event))
                page.notes.update(self._took(device, event))
            upto = item.number
        return page._replace(upto=upto)

    def _give(self, page: Page, name: EventId, device: bytes, made: Delivery, hcom: Hcom, now: Now) -> None:
        alias = self._alias(device, hcom)
        cursor = None
        if device not in page.under_way:
            cursor = hcom.database.kv_number(f"relay_events_{alias.uuid}")
            self._numbering.move_time(alias, now, hcom.database)
        number = self._numbering.next_number(alias, cursor)
        page.under_way.setdefault(device, []).append(made.numbered(number))
        page.notes.update(self._numbering.handed(device, number, name))
        page.notes.update([self._numbering.kept(device, alias)])

    def _made(self, name: EventId, event: Event, device: bytes, hcom: Hcom, page: Page) -> Delivery | None:
        """What hcom is given of an event; None when it is not to be given, or has it already."""
        if event.kind == ANSWER:
            wanted = self._wanted(event, device)
            return None if wanted is None else result_row(event, wanted, hcom.event_bytes_max)
        if not self._is_news(name, event, device, page.notes):
            return None
        made = self._delivery(name, event, device, hcom, page.notes)
        alias = self._alias(device, hcom)
        if made.ts <= alias.rows_until and hcom.database.has_relayed(alias.uuid, made.ts):
            return None
        return made

    def _is_news(self, name: EventId, event: Event, device: bytes, fresh: Mapping[bytes, bytes | None]) -> bool:
        if event.kind not in KINDS or isinstance(event, RedactedEvent):
            return False
        mark = mark_of(event.body)
        if device == self._directory.own and (mark is not None or event.kind != "message" or event.agent == OUR_AGENT):
            return False
        if mark is not None:
            key = _taken(device, mark)
            if key in fresh or self._log.shelf.get(key) is not None:
                return False
        return self._numbering.number_of(name, fresh) is None

    def _delivery(
        self, name: EventId, event: Event, device: bytes, hcom: Hcom, fresh: Mapping[bytes, bytes | None]
    ) -> Delivery:
        sender = hcom.short if device == self._directory.own else self._alias(device, hcom).short
        place = Place(
            sender,
            hcom.short,
            self._directory.is_own_name,
            in_full=hcom.database.version >= NAMES_IN_FULL,
            reset_us=int(hcom.reset_s + 1) * 1_000_000 if hcom.reset_s else 0,
            bytes_max=hcom.event_bytes_max,
        )
        mark = mark_of(event.body)
        inboxes = self._inboxes(name, old=mark is not None and mark.old)
        return deliver(name, event, place, inboxes, lambda answered: self._replied(answered, hcom, fresh))

    def _inboxes(self, name: EventId, *, old: bool) -> Inboxes:
        """Who was there when an event was written; nobody of ours when it is of before its machine was met."""
        origin = name.origin.hex()
        agents = self._source.agents.by_name
        younger = {
            one for one, kept in agents.items() if old or kept.known is None or name.seq <= kept.known.get(origin, 0)
        }
        return Inboxes(frozenset(agents.keys() - younger), frozenset(younger))

    def _replied(self, answered: EventId, hcom: Hcom, fresh: Mapping[bytes, bytes | None]) -> dict[str, Any]:
        found = self._numbering.number_of(answered, fresh)
        if found is not None:
            return {"reply_to": f"{found[1]}:{self._numbering.short_of(found[0])}"}
        stored = self._log.event(answered)
        if stored is None or self._directory.device(answered.origin) != self._directory.own:
            return {}
        row = self._source.row_of(decode_event(stored.record).body)
        return {} if row is None else {"reply_to": f"{row}:{hcom.short}", "reply_to_local": row}

    def _regrets(self, name: EventId, event: Event, device: bytes, made: Delivery) -> Iterable[Draft]:
        """Tell an agent elsewhere that its message cannot come to whom it was for."""
        if not made.undelivered or event.agent is None or not self._roster.has(device, made.instance):
            return
        settled = self._log.shelf.get(Key.SETTLED.of())
        known = msgspec.msgpack.decode(settled, type=dict[str, int]) if settled else None
        if known is None or name.seq <= known.get(name.origin.hex(), 0):
            return
        own = self._directory.name(self._directory.own)
        missed = ", ".join(f"{one}:{own}" for one in made.undelivered)
        body = {
            "from": "[hcom-replica]",
            "sender_kind": "system",
            "scope": "mentions",
            "text": f"your message could not come to {missed}: no agent of that name is there any more",
            "mentions": [f"{event.agent}:{self._directory.name(device)}"],
            "delivered_to": [f"{event.agent}:{self._directory.name(device)}"],
            "reply_to": str(name),
        }
        yield Draft("message", OUR_AGENT, None, msgspec.json.encode(body))

    @staticmethod
    def _took(device: bytes, event: Event) -> Iterable[Shelved]:
        """A row of another device's database is in: the same row in another incarnation of that device is not news."""
        mark = mark_of(event.body)
        if mark is not None:
            yield _taken(device, mark), b""

    # --- what hcom has lost --------------------------------------------------------------------------------

    def _again(self, device: bytes, cursor: int, hcom: Hcom) -> list[HcomEvent]:
        """Events behind hcom's cursor that it was given before: under way when we ended, or lost with a restore."""
        again = []
        for number, name in self._numbering.events_from(device, cursor + 1, EVENTS_MAX):
            stored = self._log.event(name)
            event = None if stored is None else self._directory.read(name.origin, decode_event(stored.record))[1]
            if event is not None and event.kind in KINDS and not isinstance(event, RedactedEvent):
                again.append(self._delivery(name, event, device, hcom, {}).numbered(number))
        return again

    def _alias(self, device: bytes, hcom: Hcom) -> Alias:
        return self._numbering.alias(device, self._directory.name(device), hcom.database, hcom.short)


def _taken(device: bytes, mark: Mark) -> bytes:
    return taken_key(Key.TAKEN, device, mark)


def taken_key(key: Key, device: bytes, mark: Mark) -> bytes:
    """Key of a row of another device's database that is in."""
    return key.of(device, bytes.fromhex(mark.db), u64(mark.id), bytes.fromhex(mark.hash))
