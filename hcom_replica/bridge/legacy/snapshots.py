"""What our devices say to machines that run only hcom: snapshots, and answers to what was missed (B8.7, B8.8).

Owns when what is published: a device at once when it has new events or its agents changed, else every 45 seconds; one
publish of a device at a time, and the greatest number in it is on disk before it leaves.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.bridge.delivery import KINDS, Inboxes, Place, deliver
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.envelope import seal
from hcom_replica.bridge.gateway import ANNOUNCE_MS, PACKET_BYTES, fitting
from hcom_replica.bridge.ledger import BridgeLog
from hcom_replica.bridge.legacy.lanes import Given, Lane, Lanes
from hcom_replica.bridge.legacy.names import Names
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.rows import iso_us
from hcom_replica.bridge.snapshot import GONE, Carrier, HcomEvent, Snapshot, State, encode_snapshot
from hcom_replica.core.effects import Now
from hcom_replica.limits import KIB, MIB
from hcom_replica.wire.event import RedactedEvent, decode_event

NEW_MAX: Final = 50
"""New events in one snapshot; as many older ones stand before them, as hcom does it."""

ANSWER_MAX: Final = 100
ANSWERS_MAX: Final = 64
"""Answers that wait for their turn; more requests are dropped, and asked again."""

ASKED_MAX: Final = 1_024
"""Requests that are remembered."""

CAPABILITIES: Final = ("events",)
PACKET_BYTES_MAX: Final = MIB

_ANSWER_BYTES: Final = 32 * KIB
_GAP: Final = re.compile(r"\s*id > (\d{1,19}) AND id < (\d{1,19})\b.*", re.DOTALL)
_EVENT_OVERHEAD: Final = 160
"""What stands around the data of an event."""

_NO_INBOX: Final = Inboxes(frozenset(), frozenset(("",)))
_ANY_INBOX: Final = Inboxes(frozenset(), frozenset())


class Wire(NamedTuple):
    """How it is published.

    Attributes:
        relay_id: first level of all topics.
        key: 32 bytes.
        entropy: gives random bytes.
    """

    relay_id: str
    key: bytes
    entropy: Callable[[int], bytes]

    def topic(self, last: str) -> str:
        """A topic of the group."""
        return f"{self.relay_id}/{last}"

    def seal(self, topic: str, ts_s: int, plain: bytes) -> bytes:
        """Seal for a topic."""
        return seal(self.key, topic, ts_s, plain, self.entropy(24))


class Said(NamedTuple):
    """What is to be published and retained; the broker's word for it comes back under the token."""

    token: int
    topic: str
    payload: bytes


class _Answer(NamedTuple):
    """A peer's question that is to be answered: UUID of the request, what is asked, with which parameters."""

    request: str
    action: str
    params: dict[str, Any]


class Snapshots:
    """Publishes.

    Args:
        log: of our group.
        directory: of its devices.
        lanes: under what they are published.
        roster: their agents, this device's included.
        wire: see there.
        names: see there.

    Attributes:
        packet_bytes_max: what every peer takes.
        carrier: what every snapshot bears.
    """

    def __init__(
        self,
        log: BridgeLog,
        directory: Directory,
        lanes: Lanes,
        roster: Roster,
        wire: Wire,
        names: Names,
    ) -> None:
        self.packet_bytes_max = PACKET_BYTES
        self.carrier: Carrier | None = None
        self._log = log
        self._directory = directory
        self._lanes = lanes
        self._roster = roster
        self._wire = wire
        self._names = names
        self._said: dict[bytes, tuple[int, State]] = {}
        self._answers: dict[bytes, deque[_Answer]] = {}
        self._floor: dict[bytes, int] = {}
        self._asked: deque[str] = deque(maxlen=ASKED_MAX)
        self._under_way: dict[int, tuple[bytes, int]] = {}
        self._token = 0

    def begin(self) -> None:
        """A new connection, or a new part: say everything again.

        But not what was published of a device of which the broker has nothing: this folder may have been restored, its
        numbers be old, and hcom would delete that device's history. Who misses something asks for it.
        """
        self._floor = {device: lane.sent for device, lane in self._lanes.known() if device not in self._lanes.heard}
        self._said.clear()
        self._under_way.clear()
        self._answers.clear()

    def published(self, token: int) -> None:
        """The broker has taken what was published under a token."""
        if token in self._under_way:
            device, number = self._under_way.pop(token)
            self._lanes.taken(device, number)

    def busy(self) -> bool:
        """Whether something is under way."""
        return bool(self._under_way)

    def waiting(self) -> int:
        """Devices that have events which were not published yet."""
        return sum(lane.sent < lane.last for _, lane in self._lanes.known())

    def asked(self, device: bytes, request: str, action: str, params: dict[str, Any]) -> None:
        """A peer asks for something of one of our devices; what anybody says again is answered no second time."""
        if request not in self._asked:
            self._asked.append(request)
            self._answers.setdefault(device, deque(maxlen=ANSWERS_MAX)).append(_Answer(request, action, params))

    # --- publishing ----------------------------------------------------------------------------------------

    def poll(
        self, devices: Mapping[bytes, str], taken: Iterable[str], away: Callable[[bytes], str], now: Now
    ) -> Iterator[Said]:
        """Say what is due.

        Args:
            devices: those that are to be published, and their names.
            taken: letters that others have there.
            away: what is said of the agents of a device that is away; empty when it is not.
            now: the time.

        Yields:
            What is to be published and retained, in this order; what it tells of is on disk.
        """
        letters = frozenset(taken)
        busy = frozenset(device for device, _ in self._under_way.values())
        for device, name in devices.items():
            lane = self._lanes.lane(device, name, letters)
            state = self._state(lane, device, away(device))
            due_ms, said = self._said.get(device, (0, None))
            due = now.mono_ms >= due_ms or state != said or lane.sent < lane.last or bool(self._answers.get(device))
            if due and device not in busy:
                yield self._sealed(device, lane, Snapshot(state, self._events(device, lane, now)), now)
                self._said[device] = (now.mono_ms + ANNOUNCE_MS, state)

    def good_bye(self, now: Now) -> Iterator[Said]:
        """Say of all devices that were ever published that they are gone."""
        for device, lane in self._lanes.known():
            yield self._sealed(device, lane, GONE, now)

    def _sealed(self, device: bytes, lane: Lane, snapshot: Snapshot, now: Now) -> Said:
        lane.last = max(lane.last, lane.sent)
        lane.ts_s = max(lane.ts_s, now.wall_ms // 1_000)
        self._log.shelf.put([self._lanes.kept(device)])
        self._token += 1
        self._under_way[self._token] = (device, lane.sent)
        topic = self._wire.topic(self._lanes.uuid(device))
        return Said(self._token, topic, self._wire.seal(topic, lane.ts_s, encode_snapshot(snapshot)))

    def _state(self, lane: Lane, device: bytes, away: str) -> State:
        agents = self._roster.shown(device, away=away, not_before_s=0)
        shown = fitting(agents, self.packet_bytes_max // 8)
        return State(lane.short, shown, CAPABILITIES, PACKET_BYTES_MAX, 0.0, self.carrier or msgspec.UNSET)

    def _events(self, device: bytes, lane: Lane, now: Now) -> list[HcomEvent]:
        """The next new events, with those before them; an answer when there is nothing new.

        What the broker may not have taken is said again first: else more might be missing than is repeated.
        """
        room = self.packet_bytes_max * 3 // 4
        if lane.taken < lane.sent:
            return self._older(device, lane, lane.sent, room)
        before, new = lane.sent, list[HcomEvent]()
        for given in self._lanes.after(device, lane.sent, NEW_MAX):
            event = self._event(given, lane)
            size = 0 if event is None else len(event.data) + _EVENT_OVERHEAD
            if new and size > room:
                break
            room -= size
            new += [event] if event is not None else []
            lane.sent = given.number
        if lane.sent >= lane.last and not new and self._answers.get(device):
            lane.sent = max(lane.sent, lane.last) + 1
            new.append(self._answer(device, lane, now))
            room -= len(new[0].data)
        return [*self._older(device, lane, before, room), *new]

    def _older(self, device: bytes, lane: Lane, number: int, room: int) -> list[HcomEvent]:
        """Events up to a number, as many as hcom itself repeats and as there is room for."""
        old: list[HcomEvent] = []
        for given in self._lanes.before(device, number + 1, NEW_MAX, above=self._floor.get(device, 0)):
            event = self._event(given, lane)
            room -= 0 if event is None else len(event.data) + _EVENT_OVERHEAD
            if room < 0:
                break
            old += [event] if event is not None else []
        return old[::-1]

    def _event(self, given: Given, lane: Lane) -> HcomEvent | None:
        """An event as the peers are given it; None for one that was redacted meanwhile."""
        stored = self._log.event(given.name)
        event = None
        if stored is not None:
            _, event = self._directory.read(given.name.origin, decode_event(stored.record))
        if event is None or event.kind not in KINDS or isinstance(event, RedactedEvent):
            return None
        place = Place(
            lane.short,
            "",
            _nobody,
            in_full=True,
            reset_us=0,
            bytes_max=self.packet_bytes_max * 5 // 8,
            called=self._names.theirs,
        )
        inboxes = _NO_INBOX if given.number <= lane.history else _ANY_INBOX
        return deliver(given.name, event, place, inboxes, self._names.replied).numbered(given.number)

    # --- answering -----------------------------------------------------------------------------------------

    def _answer(self, device: bytes, lane: Lane, now: Now) -> HcomEvent:
        """The row of results of hcom's own that a peer waits for."""
        asked = self._answers[device].popleft()
        gap = _GAP.fullmatch(str(asked.params.get("sql", ""))) if asked.action == "events" else None
        ok, result = False, {"error": "hcom-replica answers what was missed, nothing else: look at hcom events"}
        if gap is not None:
            ok, result = True, self._missed(device, lane, int(gap[1]), int(gap[2]), asked.params)
        row = {"request_id": asked.request, "action": asked.action, "ok": ok, "result": result}
        data = msgspec.Raw(msgspec.json.encode(row))
        return HcomEvent(lane.sent, iso_us(now.wall_ms * 1_000), "rpc_result", "_rpc", data)

    def _missed(self, device: bytes, lane: Lane, low: int, high: int, params: dict[str, Any]) -> dict[str, Any]:
        """Events between two numbers, the newest first, as hcom answers that itself."""
        last, bytes_max = params.get("last"), params.get("max_bytes")
        limit = min(last, ANSWER_MAX) if isinstance(last, int) and last > 0 else ANSWER_MAX
        room = min(bytes_max, self.packet_bytes_max // 2) if isinstance(bytes_max, int) else _ANSWER_BYTES
        events: list[HcomEvent] = []
        cut = False
        for given in self._lanes.before(device, high, limit, above=low):
            event = self._event(given, lane)
            size = 0 if event is None else len(event.data) + _EVENT_OVERHEAD
            cut = bool(events) and size > room
            if cut:
                break
            room -= size
            events += [event] if event is not None else []
        return {"events": events, "count": len(events), **({"truncated": True} if cut else {})}


def _nobody(_name: str) -> bool:
    """No device is the one that hcom runs on: the peers are many."""
    return False
