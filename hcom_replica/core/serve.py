"""Answering wants: whole commits to where the asker listens, a few messages in flight at a time (P6.6, P7.8).

Of several who ask for the same each is to hear the answer once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import partial

from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.packer import Bundle, bundle
from hcom_replica.core.settings import Settings
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import RAW, Kind, Packed, Signer
from hcom_replica.wire.messages import Fill, FillPart, Want
from hcom_replica.wire.topics import Topics

_JOBS_MAX = 256
_FILL_BYTES = 24


@dataclass
class _Job:
    """What is left of a want.

    Attributes:
        topic: where the answer goes, named by the seq asked for: of a derived origin the asker may not know the base.
    """

    want: int
    origin: OriginId
    first: int
    last: int
    window: int
    topic: str


class Server:
    """Wants that are being answered, in turn. A newer want of one asker for one origin replaces its older one."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._jobs: OrderedDict[tuple[OriginId, OriginId], _Job] = OrderedDict()
        self._in_flight = 0
        self._unheard: set[str] = set()
        """Topics of answers of which the broker has acknowledged nothing yet."""
        self.served_bytes = 0

    def closed(self) -> None:
        """The link has ended."""
        self._jobs.clear()
        self._unheard.clear()
        self._in_flight = 0

    def asked(self, asker: OriginId, want: Want, knowledge: Knowledge) -> None:
        """A want addressed to us. Its origins share the window, and each is given one bundle at least."""
        share = want.window // max(1, len(want.items))
        for item in want.items:
            origin = OriginId(item.hash[:ORIGIN_BYTES])
            state = knowledge.states.get(origin)
            if state is None or not state.hash.startswith(item.hash) or item.first > state.seq:
                continue
            topic = self._topics.fill(origin, item.first)
            if topic in self._unheard:
                continue  # it was listening when it asked, and the broker had nothing of the answer yet
            if (asker, origin) in self._jobs or self._has_room(asker):
                first, last = max(item.first, state.base + 1), min(item.last or state.seq, state.seq)
                self._take_on(asker, _Job(want.id, origin, first, last, share, topic))

    def _take_on(self, asker: OriginId, job: _Job) -> None:
        self._drop((asker, job.origin))
        sent = [
            other.first - 1 for other in self._jobs.values() if other.topic == job.topic and other.first > job.first
        ]
        job.last = min([job.last, *sent])  # the rest of what others have asked for is heard by this one too
        self._jobs[asker, job.origin] = job
        self._unheard.add(job.topic)

    def _drop(self, key: tuple[OriginId, OriginId]) -> None:
        """Answer a want no further, if there is one; who else asks for the same is answered anew."""
        job = self._jobs.pop(key, None)
        if job is not None:
            self._unheard.discard(job.topic)

    def _has_room(self, asker: OriginId) -> bool:
        """Whether one more job fits; the asker with the most gives one up for one that has fewer."""
        if len(self._jobs) < _JOBS_MAX:
            return True
        counts = Counter(one for one, _ in self._jobs)
        greediest, most = counts.most_common(1)[0]
        if counts[asker] + 1 >= most:
            return False
        self._drop(next(key for key in reversed(self._jobs) if key[0] == greediest))
        return True

    def pump(self, knowledge: Knowledge, signer: Signer, room: int) -> None:
        """Send what may be in flight, one bundle of each job in turn."""
        while self._jobs and self._in_flight < self._settings.fills_in_flight:
            key, job = self._jobs.popitem(last=False)
            state = knowledge.states.get(job.origin)
            room_left = room - _FILL_BYTES
            ready = bundle(knowledge.log, state, job.first, room_left, job.last) if state is not None else None
            if ready is None:
                self._unheard.discard(job.topic)
                continue
            job.window -= _size(ready)
            more = ready.last < job.last and job.window > 0
            others = any(other.topic == job.topic for other in self._jobs.values())
            self._send(job, ready, signer, final=not more and not others)
            if more:
                job.first = ready.last + 1
                self._jobs[key] = job

    def _send(self, job: _Job, ready: Bundle, signer: Signer, *, final: bool) -> None:
        if ready.whole is not None:
            fill = Fill(job.want, final, ready.whole.codec, ready.whole.data)
            self._publish(job.topic, Kind.FILL, signer, encode(fill))
        for part in ready.parts:
            last = final and part.index == part.count - 1
            self._publish(job.topic, Kind.FILL_PART, signer, encode(FillPart(job.want, last, part)))

    def _publish(self, topic: str, kind: Kind, signer: Signer, payload: bytes) -> None:
        sealed = self._outbox.seal(topic, kind, signer, Packed(RAW, payload))
        self._in_flight += 1
        self.served_bytes += len(sealed)
        self._outbox.publish(topic, sealed, retain=False, done=partial(self._taken, topic))

    def _taken(self, topic: str, _: bool) -> None:
        self._in_flight -= 1
        self._unheard.discard(topic)


def _size(ready: Bundle) -> int:
    return len(ready.whole.data) if ready.whole is not None else sum(len(part.chunk) for part in ready.parts)
