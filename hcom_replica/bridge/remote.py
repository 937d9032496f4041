"""hcom's remote control, carried in the log (hcom-bridge-v1 section 7).

Owns who may have what done here, and that it is done at most once, and only while whoever asked still waits. hcom's own
requests and answers are perishable and depend on clocks; here each step is an event, and no step looks at a clock of
another device: the target asks back before it acts, and the request is sealed anew there, with the target's own time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from hcom_replica.bridge.controls import decode_controls
from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.envelope import seal, unseal
from hcom_replica.bridge.ledger import BridgeLog, Key, Network, Shelved, may_be_of_kind
from hcom_replica.bridge.numbering import Numbering
from hcom_replica.bridge.wishes import (
    ACTIONS,
    ANSWER,
    ASK,
    ID_CHARS_MAX,
    NO,
    REQUEST,
    START,
    YES,
    Kept,
    Rules,
    Wish,
    read_wish,
)
from hcom_replica.core.effects import Now, Trace
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import KIB
from hcom_replica.wire.event import BODY_BYTES_MAX, Draft, Event, decode_event

CURSOR: Final = "hcom-rpc"
PAGE: Final = 512
HEARD_MAX: Final = 64
"""Requests of the own hcom that wait for a moment; more are dropped, and their callers told nothing, as by hcom."""

HEARD_BYTES_MAX: Final = 256 * KIB
WRITE_EVERY: Final = 4_096
"""Arrivals after which it is written down how far they were looked at."""

WAITED_MS: Final = {"launch": 14_000, "resume": 29_000}
WAITED_OTHERS_MS: Final = 9_000
"""How long hcom waits for an answer, a second less: then nobody needs it any more."""

EXPIRED: Final = "expired: nobody waited for it any more"
_ONE_WAY: Final = "relay_off"

RUNNING_MS: Final = 60_000
"""How long the own hcom may take to answer."""


class Remote:
    """Remote control of one folder's hcom, and by it.

    Args:
        log: what carries it.
        directory: of its devices.
        numbering: under what hcom knows them.
        rules: see there.
    """

    def __init__(self, log: BridgeLog, directory: Directory, numbering: Numbering, rules: Rules) -> None:
        self._log = log
        self._directory = directory
        self._numbering = numbering
        self._rules = rules
        self._heard: deque[bytes] = deque(maxlen=HEARD_MAX)
        self._waiting: dict[str, int] = {}
        self._from_here: dict[str, Wish | None] = {}
        self._running: dict[str, int] = {}
        self._queued: dict[str, None] = {}
        self._results_after = -1
        self._told_s = 0.0
        self._own_short = ""
        self._reached = self._written = log.cursor(CURSOR)
        for key, value in log.shelf.page(*Key.REMOTE.all(), limit=1 << 16):
            stage = msgspec.msgpack.decode(value, type=Kept).stage
            if stage == "started":
                self._running[key[1:].decode()] = 0
            elif stage == "queued":
                self._queued[key[1:].decode()] = None

    def heard(self, topic: str, payload: bytes) -> None:
        """Take what hcom publishes: only what it asks of other devices is of interest. Looked at by `poll`."""
        if topic == self._control and len(payload) <= HEARD_BYTES_MAX:
            self._heard.append(payload)

    def poll(self, database: HcomDatabase, own_short: str, now: Now, network: Network) -> bool:
        """Do what is due; return whether there is more to do at once.

        Raises:
            BridgeError: hcom's database cannot be read now; nothing is lost.
            StoreError: nothing was changed.
        """
        while self._heard:
            self._request(self._heard[0], now)
            self._heard.popleft()
        self._own_short = own_short
        more = self._consume(now)
        if self._queued and not more and self._rules.hears() and network.settled() and not network.behind():
            self._begin_queued(now)
        self._collect(database, now)
        return more

    def wanted_answer(self, event: Event, device: bytes) -> dict[str, Any] | None:
        """What hcom is given of an answer: as its own row of results; None when nobody waits for it."""
        wish = read_wish(event) if event.kind == ANSWER else None
        if wish is None or wish.request not in self._waiting or wish.request in self._from_here:
            return None
        kept = self._kept(wish.request)
        if kept is None or kept.stage != "mine" or kept.device != device:
            return None
        return {"request_id": wish.request, "action": wish.action, "ok": wish.ok, "result": wish.result}

    @property
    def _control(self) -> str:
        return f"{self._rules.relay_id}/control"

    # --- asking --------------------------------------------------------------------------------------------

    def _request(self, payload: bytes, now: Now) -> None:
        """Put what hcom asks of another device into the log."""
        try:
            controls = decode_controls(unseal(self._rules.key, self._control, payload).plain)
        except ProtocolError:
            return
        for control in controls:
            request, action = control.data.get("request_id"), control.data.get("action")
            if action == _ONE_WAY and not request:  # hcom asks that of all whom it knows, and waits for no answer
                request = str(UUID(bytes=self._rules.entropy(16), version=4))
                self._from_here[request] = None
            device = self._numbering.device_of(str(control.data.get("target_device", "")))
            known = isinstance(request, str) and 0 < len(request) <= ID_CHARS_MAX and action in ACTIONS
            known = known and device not in self._directory.foreigners.peers
            if not known or device is None or control.type != "control" or self._kept(str(request)) is not None:
                continue
            wish = Wish(str(request), device.hex(), str(action), control.params)
            self._wish(wish, device, now.mono_ms + WAITED_MS.get(wish.action, WAITED_OTHERS_MS), now)

    def ask(self, device: bytes, action: str, params: dict[str, Any], until_ms: int, now: Now) -> str:
        """Ask a device for something, for somebody who waits until a monotonic time; return the request.

        Raises:
            StoreError: nothing was asked.
        """
        wish = Wish(str(UUID(bytes=self._rules.entropy(16), version=4)), device.hex(), action, params)
        self._from_here[wish.request] = None
        self._wish(wish, device, until_ms, now)
        return wish.request

    def answer(self, request: str) -> Wish | None:
        """What came of something that was asked by `ask`; None while nothing has."""
        return self._from_here.get(request)

    def give_up(self, request: str) -> None:
        """Nobody waits any more."""
        self._waiting.pop(request, None)
        self._from_here.pop(request, None)

    def _wish(self, wish: Wish, device: bytes, until_ms: int, now: Now) -> None:
        self._say(REQUEST, wish, now, [self._note(wish.request, Kept("mine", device, wish.action, {}))])
        self._waiting[wish.request] = until_ms

    # --- what comes ----------------------------------------------------------------------------------------

    def _consume(self, now: Now) -> bool:
        """Look at what has arrived, a page at a time; return whether there is more.

        Where that goes on is written now and then only: a step that is looked at again is known by what is kept of it.
        """
        page = self._log.arrivals(self._reached, PAGE)
        taken = False
        for arrived in page:
            if may_be_of_kind(arrived, b"rpc_"):
                event = decode_event(arrived.event.record)
                device = self._directory.device(arrived.event.origin)
                wish = read_wish(event)
                if wish is not None and device == self._directory.own:
                    self._remember(event.kind, wish)
                elif wish is not None:
                    taken = True
                    self._take(event.kind, wish, device, (arrived.event.origin, arrived.event.seq), now)
            self._reached = arrived.number
        if taken or self._reached - self._written >= WRITE_EVERY:
            self._log.append([], now.wall_ms, cursor=(CURSOR, self._reached))
            self._written = self._reached
        return len(page) == PAGE

    def _remember(self, kind: str, wish: Wish) -> None:
        """What this device began is not begun again, also when a restored folder has forgotten that it was."""
        kept = self._kept(wish.request)
        begun = kind in (START, ANSWER) and wish.request not in self._running
        if begun and (kept is None or kept.stage == "queued"):
            device = kept.device if kept is not None else self._directory.own
            self._log.shelf.put([self._note(wish.request, Kept("done", device, wish.action, {}))])
            self._queued.pop(wish.request, None)

    def _take(self, kind: str, wish: Wish, device: bytes, place: tuple[OriginId, int], now: Now) -> None:
        kept = self._kept(wish.request)
        if kind == REQUEST:
            for_us = kept is None and wish.target == self._directory.own.hex()
            if for_us and (wish.durable or not self._is_old(place)):
                self._weigh(wish, device, now)
        elif kept is None or kept.device != device:
            return
        elif kind == ASK and kept.stage == "mine":
            waits = self._waiting.get(wish.request, 0) > now.mono_ms
            if not waits:
                self.give_up(wish.request)
            self._say(YES if waits else NO, Wish(wish.request, device.hex(), kept.action), now, [])
        elif kind == YES and kept.stage == "asked":
            self._begin(wish.request, kept, now)
        elif kind == NO and kept.stage == "asked":
            self._answer(wish.request, kept, now, ok=False, result={"error": EXPIRED})
        elif kind == ANSWER and kept.stage == "mine" and wish.request in self._from_here:
            self._from_here[wish.request] = wish

    def _is_old(self, place: tuple[OriginId, int]) -> bool:
        """Whether a request was there before this device knew how far the others are: nobody waits for that."""
        settled = self._log.shelf.get(Key.SETTLED.of())
        known = msgspec.msgpack.decode(settled, type=dict[str, int]) if settled else None
        return known is None or place[1] <= known.get(place[0].hex(), 0)

    def _weigh(self, wish: Wish, device: bytes, now: Now) -> None:
        name = self._directory.name(device)
        if wish.action in ACTIONS and {wish.action, f"{name}:{wish.action}"} & set(self._rules.allowed):
            kept = Kept("queued" if wish.durable else "asked", device, wish.action, wish.params)
            if wish.durable:
                self._log.shelf.put([self._note(wish.request, kept)])
                self._queued[wish.request] = None
                return
            self._say(ASK, Wish(wish.request, device.hex(), wish.action), now, [self._note(wish.request, kept)])
            return
        own = self._directory.name(self._directory.own)
        why = f"{own} does not let {name} do {wish.action} (hcom.allow in its config.toml)"
        self._rules.trace(Trace("remote control refused", (("action", wish.action), ("device", name))))
        self._answer(wish.request, Kept("asked", device, wish.action, {}), now, ok=False, result={"error": why})

    # --- doing ---------------------------------------------------------------------------------------------

    def _begin_queued(self, now: Now) -> None:
        """Have done what is wanted whether anybody waits or not, now that all that is known of is here."""
        for request in list(self._queued):
            del self._queued[request]
            kept = self._kept(request)
            if kept is not None and kept.stage == "queued":
                self._begin(request, kept, now)

    def _begin(self, request: str, kept: Kept, now: Now) -> None:
        """Have it done: that it was begun is in the log before it is, so it is done once at most."""
        kept.stage = "started"
        self._say(START, Wish(request, kept.device.hex(), kept.action), now, [self._note(request, kept)])
        self._running[request] = now.mono_ms + RUNNING_MS
        uuid, short = self._numbering.uuid_of(kept.device), self._numbering.short_of(kept.device)
        if uuid is None:
            return
        self._told_s = max(now.wall_ms / 1_000, self._told_s + 0.001)
        data = {
            "action": kept.action,
            "target_device": self._own_short,
            "from": f"_:{short}",
            "from_device": uuid,
            "params": kept.params,
            "request_id": request,
        }
        event = {"ts": self._told_s, "type": "control", "instance": "_control", "data": data}
        plain = msgspec.json.encode({"from_device": uuid, "events": [event]})
        name = self._directory.name(kept.device)
        self._rules.trace(Trace("remote control", (("action", kept.action), ("device", name))))
        sealed = seal(self._rules.key, self._control, now.wall_ms // 1_000, plain, self._rules.entropy(24))
        self._rules.tell(self._control, sealed)

    def _collect(self, database: HcomDatabase, now: Now) -> None:
        """Take hcom's answers to what was begun; whatever it does not answer in time is answered here."""
        if not self._running:
            self._results_after = -1
            return
        if self._results_after < 0:
            self._results_after = max(0, database.newest() - 1_000)
        for row, request, data in database.results(self._results_after):
            self._results_after = row
            kept = self._kept(request) if request in self._running else None
            if kept is not None:
                self._answer(request, kept, now, ok=data.get("ok") is True, result=data.get("result"))
        for request, until_ms in list(self._running.items()):
            kept = self._kept(request)
            if now.mono_ms > until_ms and kept is not None:
                why = {"error": "hcom did not say what came of it"}
                self._answer(request, kept, now, ok=False, result=why)

    def _answer(self, request: str, kept: Kept, now: Now, *, ok: bool, result: Any) -> None:
        kept.stage = "done"
        kept.params = {}
        wish = Wish(request, kept.device.hex(), kept.action, ok=ok, result=result)
        if len(msgspec.json.encode(wish)) > BODY_BYTES_MAX:
            wish.ok, wish.result = False, {"error": "the answer is too large"}
        self._say(ANSWER, wish, now, [self._note(request, kept)])
        self._running.pop(request, None)

    # --- help ----------------------------------------------------------------------------------------------

    def _say(self, kind: str, wish: Wish, now: Now, notes: Iterable[Shelved]) -> None:
        kept = list(notes)
        self._log.append([Draft(kind, None, None, msgspec.json.encode(wish))], now.wall_ms, shelved=lambda _ids: kept)

    def _note(self, request: str, kept: Kept) -> Shelved:
        return Key.REMOTE.of(request.encode()), msgspec.msgpack.encode(kept)

    def _kept(self, request: str) -> Kept | None:
        found = self._log.shelf.get(Key.REMOTE.of(request.encode()))
        return None if found is None else msgspec.msgpack.decode(found, type=Kept)
