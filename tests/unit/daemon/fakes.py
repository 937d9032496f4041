"""What the engine drives, faked: each part writes what it is told into one common list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hcom_replica.core.effects import Effect, Now, Trace
from hcom_replica.core.kept import KeptRoster
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peers import Note
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.report import IngestReport
from hcom_replica.core.verify import Run
from hcom_replica.daemon.engine import Engine
from hcom_replica.errors import StoreFull
from hcom_replica.ids import EventId
from hcom_replica.ports import Capabilities, LinkDown, LinkEvent, LinkUp, Will
from hcom_replica.testing.storefaults import Crash
from hcom_replica.wire.event import Draft

UP = LinkUp(Capabilities(version=5))
NOTHING = IngestReport((), 0, (), (), None)


def at(ms: int) -> Now:
    return Now(1_800_000_000_000 + ms, ms)


class HalfRandom:
    def random(self) -> float:
        return 0.5


class FakeLink:
    """A link whose events the test queues."""

    def __init__(self, told: list[str], name: str) -> None:
        self.told = told
        self.name = name
        self.queue: list[LinkEvent] = []
        self.drains = 0

    def start(self) -> None:
        self.told.append(f"{self.name} start")

    def subscribe(self, filters: Sequence[str], *, no_local: bool = False, fresh: bool = True) -> None:
        self.told.append(f"{self.name} subscribe {' '.join(filters)}")

    def unsubscribe(self, filters: Sequence[str]) -> None:
        self.told.append(f"{self.name} unsubscribe {' '.join(filters)}")

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        self.told.append(f"{self.name} publish {topic} {token}")

    def drain(self) -> list[LinkEvent]:
        self.drains += 1
        events, self.queue = self.queue, []
        return events

    def pending_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self.told.append(f"{self.name} close")


class FakeDialer:
    """Hands out links named link1, link2 ..."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.links: list[FakeLink] = []
        self.another = False

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    def open(self, will: Will | None) -> FakeLink:
        self.links.append(FakeLink(self.told, f"link{len(self.links) + 1}"))
        self.told.append(f"open {will.topic if will else None}")
        return self.link

    def came_up(self) -> None:
        self.told.append("came up")

    def ended(self, *, was_up: bool) -> bool:
        self.told.append(f"ended {was_up}")
        return self.another


class FakeLog:
    """A log that counts; with `full` it refuses every write."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.full = False
        self.txn = 1
        self.arrival = 0
        self.notes: list[Note] = []
        self.report = NOTHING
        self.tip: OwnTip | None = None
        self.own: OriginState | None = None

    def _write(self, what: str) -> None:
        if self.full:
            raise StoreFull("no room")
        self.txn += 1
        self.told.append(what)

    def foreign_append(self, events: int = 1) -> None:
        self.txn += 1
        self.arrival += events

    def ingest(self, runs: Iterable[Run], now_ms: int) -> IngestReport:
        self._write("log ingest")
        self.arrival += self.report.events
        return self.report

    def promise(self, now_ms: int) -> OwnTip | None:
        self._write("log promise")
        return self.tip

    def open_incarnation(self, reason: str, now_ms: int) -> OriginState:
        self._write(f"log open {reason}")
        self.arrival += 1
        return OriginState(b"h" * 32, b"k" * 32, b"i" * 12, (), 0, 1, 1, b"t" * 32, 1, 1, "A", 0)

    def own_origin(self) -> OriginState | None:
        return self.own

    def append(self, drafts: Sequence[Draft], now_ms: int) -> list[EventId]:
        self._write(f"append {' '.join(draft.kind for draft in drafts)}")
        return []

    def note_peers(self, notes: Iterable[Note], roster: KeptRoster | None) -> None:
        assert roster is None, "a fake machine has none"
        kept = list(notes)
        self._write(f"log notes {len(kept)}")
        self.notes += kept

    def last_txn(self) -> int:
        return self.txn

    def last_arrival(self) -> int:
        return self.arrival


class FakeMachine:
    """A machine that gives out the effects the test put in `plan`: one list for each call of `effects`."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.plan: list[list[Effect]] = []
        self.answers: dict[str, list[Effect]] = {}
        self.wake: int | None = None
        self.has_will = True
        self.is_closed = False

    def _hear(self, what: str) -> None:
        self.told.append(what)
        answer = self.answers.pop(what, None)
        if answer is not None:
            self.plan.append(answer)

    def will(self, now: Now) -> tuple[str, bytes] | None:
        return ("will", b"w") if self.has_will else None

    def link_up(self, now: Now, packet_bytes_max: int | None) -> None:
        self._hear("link_up")

    def link_down(self, now: Now, reason: str) -> None:
        self._hear(f"link_down {reason}")

    def subscribed(self, now: Now, filters: tuple[str, ...], refused: tuple[str, ...]) -> None:
        self._hear(f"subscribed {' '.join(filters)}")

    def published(self, now: Now, token: int, *, refused: bool) -> None:
        self._hear(f"published {token} {refused}")

    def received(self, now: Now, topic: str, payload: bytes, *, retain: bool) -> None:
        self._hear(f"received {topic}")

    def log_moved(self, now: Now) -> None:
        self._hear("log_moved")

    def ingested(self, now: Now, report: IngestReport) -> None:
        self._hear("ingested")

    def ingest_failed(self, now: Now) -> None:
        self._hear("ingest_failed")

    def promised(self, now: Now, tip: OwnTip) -> None:
        self._hear("promised")

    def kept_roster(self) -> None:
        """None."""

    def tick(self, now: Now) -> None:
        self.wake = None
        self._hear("tick")

    def closing(self, now: Now) -> None:
        self._hear("closing")

    def closed(self) -> bool:
        return self.is_closed

    def effects(self) -> list[Effect]:
        return self.plan.pop(0) if self.plan else []

    def wake_at(self) -> int | None:
        return self.wake


class Bench:
    """An engine on fakes, with everything that was told to anybody, in order."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.told: list[str] = []
        self.traces: list[Trace] = []
        self.machine = FakeMachine(self.told)
        self.log = FakeLog(self.told)
        self.dialer = FakeDialer(self.told)
        self.die_before: Effect | None = None
        self.engine = Engine(
            self.machine,
            self.log,
            self.dialer,
            rng=HalfRandom(),
            trace=self.traces.append,
            before=self._before,
            enabled=enabled,
        )

    def _before(self, effect: Effect) -> None:
        if effect == self.die_before:
            raise Crash

    def step(self, ms: int) -> int | None:
        return self.engine.step(at(ms))

    def online(self, ms: int = 0) -> Bench:
        """Come up, and forget what was told until then."""
        self.step(ms)
        self.dialer.link.queue.append(UP)
        self.step(ms)
        assert self.engine.online
        self.told.clear()
        return self

    def lose(self, ms: int, *, refused: bool = False) -> int:
        """End the link; gives the pause until the next one."""
        self.dialer.link.queue.append(LinkDown("lost", refused))
        wake_ms = self.step(ms)
        assert wake_ms is not None
        return wake_ms - ms

    def happened(self) -> list[str]:
        told = list(self.told)
        self.told.clear()
        return told
