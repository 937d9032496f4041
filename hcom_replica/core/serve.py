"""Answering wants: whole commits to the block's fill topic, a few messages in flight at a time (P7.8)."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.packer import Bundle, bundle
from hcom_replica.core.settings import Settings
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.limits import BLOCK_BITS
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import RAW, Kind, Packed, Signer
from hcom_replica.wire.messages import Fill, FillPart, Want
from hcom_replica.wire.topics import Topics, block_of

_JOBS_MAX = 256
_FILL_BYTES = 24


@dataclass
class _Job:
    """What is left of a want.

    Attributes:
        skipped: how many blocks lie between the seq asked for and the first there is: of a derived origin the asker may
            not know the base, and listens to the block of its own first seq and the next one.
    """

    want: int
    origin: OriginId
    first: int
    last: int
    window: int
    skipped: int


class Server:
    """Wants that are being answered, in turn. A newer want of one asker for one origin replaces its older one."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._jobs: OrderedDict[tuple[OriginId, OriginId], _Job] = OrderedDict()
        self._in_flight = 0
        self.served_bytes = 0

    def closed(self) -> None:
        """The link has ended."""
        self._jobs.clear()
        self._in_flight = 0

    def asked(self, asker: OriginId, want: Want, knowledge: Knowledge) -> None:
        """A want addressed to us. Its origins share the window, and each is given one bundle at least."""
        share = want.window // max(1, len(want.items))
        for item in want.items:
            origin = OriginId(item.hash[:ORIGIN_BYTES])
            state = knowledge.states.get(origin)
            if state is None or not state.hash.startswith(item.hash) or item.first > state.seq:
                continue
            if (asker, origin) in self._jobs or self._has_room(asker):
                first = max(item.first, state.base + 1)
                heard = ((block_of(first) + 2) << BLOCK_BITS) - 1  # the asker listens to two blocks
                last = min(item.last or state.seq, state.seq, heard)
                skipped = block_of(first) - block_of(item.first)
                self._jobs[asker, origin] = _Job(want.id, origin, first, last, share, skipped)

    def _has_room(self, asker: OriginId) -> bool:
        """Whether one more job fits; the asker with the most gives one up for one that has fewer."""
        if len(self._jobs) < _JOBS_MAX:
            return True
        counts = Counter(one for one, _ in self._jobs)
        greediest, most = counts.most_common(1)[0]
        if counts[asker] + 1 >= most:
            return False
        del self._jobs[next(key for key in reversed(self._jobs) if key[0] == greediest)]
        return True

    def pump(self, knowledge: Knowledge, signer: Signer, room: int) -> None:
        """Send what may be in flight, one bundle of each job in turn."""
        while self._jobs and self._in_flight < self._settings.fills_in_flight:
            key, job = self._jobs.popitem(last=False)
            state = knowledge.states.get(job.origin)
            room_left = room - _FILL_BYTES
            ready = bundle(knowledge.log, state, job.first, room_left, job.last) if state is not None else None
            if ready is None:
                continue
            job.window -= _size(ready)
            more = ready.last < job.last and job.window > 0
            self._send(job, ready, signer, more=more)
            if more:
                job.first = ready.last + 1
                self._jobs[key] = job

    def _send(self, job: _Job, ready: Bundle, signer: Signer, *, more: bool) -> None:
        topic = self._topics.fill(job.origin, block_of(max(job.first, ready.first)) - job.skipped)
        if ready.whole is not None:
            fill = Fill(job.want, not more, ready.whole.codec, ready.whole.data)
            self._publish(topic, Kind.FILL, signer, encode(fill))
        for part in ready.parts:
            final = not more and part.index == part.count - 1
            self._publish(topic, Kind.FILL_PART, signer, encode(FillPart(job.want, final, part)))

    def _publish(self, topic: str, kind: Kind, signer: Signer, payload: bytes) -> None:
        sealed = self._outbox.seal(topic, kind, signer, Packed(RAW, payload))
        self._in_flight += 1
        self.served_bytes += len(sealed)
        self._outbox.publish(topic, sealed, retain=False, done=self._taken)

    def _taken(self, _: bool) -> None:
        self._in_flight -= 1


def _size(ready: Bundle) -> int:
    return len(ready.whole.data) if ready.whole is not None else sum(len(part.chunk) for part in ready.parts)
