"""Floors that keep the promises, too: events encoded, chained and signed, or verified, then put into bare LMDB.

A floor of raw rows leaves out what makes them a log that others can trust. Here that part is done with the very pieces
of the package, in plain loops, and nothing else: no limits, no order, no clock, no counters, no state, no places of
arrival. How far this is from the raw floor is how near to that anything can come; what ours takes more is the rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from hcom_replica.bench.device import KEYS, TOPIC
from hcom_replica.bench.floors import RawLmdb
from hcom_replica.core.chain import links
from hcom_replica.core.origin import OriginState
from hcom_replica.limits import COMMIT_EVENTS_MAX
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.event import Draft, encode_event, sound_events
from hcom_replica.wire.frame import open_frame
from hcom_replica.wire.signing import COMMIT, DeviceKey, commit_digest, verify

TABLES: Final = 3
"""Events by place, places by seq, signatures by seq."""


class Least:
    """A log of one origin, chained and signed, that asks nothing and keeps nothing else.

    Args:
        raw: where to, TABLES tables; nothing else is put there.
        key: its writer's.
        origin: the origin before its first event.
    """

    def __init__(self, raw: RawLmdb, key: DeviceKey, origin: OriginState) -> None:
        self._raw = raw
        self._key = key
        self._id = origin.id
        self._root = origin.root(KEYS.group)
        self._tip = origin.tip
        self._seq = self._cum = 0
        self._hlc = time.time_ns() // 1_000_000 << 16

    def append(self, drafts: Sequence[Draft], size: int) -> None:
        """Encode, chain and sign events, in durable commits of `size`."""
        for at in range(0, len(drafts), size):
            self._append(drafts[at : at + size])

    def take(self, messages: Sequence[bytes], size: int) -> None:
        """Unpack sealed messages, verify chain and signatures, and store what they hold, in durable commits of `size`.

        Raises:
            ProtocolError: something was refused; what came before it is stored.
        """
        for at in range(0, len(messages), size):
            self._take(messages[at : at + size])

    def _append(self, drafts: Sequence[Draft]) -> None:
        hlcs = list(range(self._hlc, self._hlc + len(drafts)))
        records = list(map(encode_event, hlcs, drafts))
        tips = links(self._tip, records, [draft.body for draft in drafts])
        cums = list(accumulate(map(len, records), initial=self._cum))
        signed = []
        for at in [*range(COMMIT_EVENTS_MAX - 1, len(tips) - 1, COMMIT_EVENTS_MAX), len(tips) - 1]:
            digest = commit_digest(self._root, self._seq + 1 + at, hlcs[at], cums[at + 1], tips[at])
            signed.append((self._seq + 1 + at, self._key.sign(COMMIT, digest)))
        self._put(hlcs, records, signed)
        self._hlc, self._tip, self._cum = hlcs[-1] + 1, tips[-1], cums[-1]

    def _take(self, messages: Sequence[bytes]) -> None:
        all_hlcs, all_records, signed = list[int](), list[bytes](), list[tuple[int, bytes]]()
        for message in messages:
            batch = decode_batch(open_frame(KEYS, TOPIC, message).payload)
            events = sound_events(batch.records)
            assert events is not None, "a redacted event"
            hlcs = [event.hlc for event in events]
            tips = links(batch.prev, batch.records, [event.body for event in events])
            cums = list(accumulate(map(len, batch.records), initial=batch.cum))
            for commit in batch.commits:
                at = commit.seq - batch.first
                digest = commit_digest(self._root, commit.seq, hlcs[at], cums[at + 1], tips[at])
                verify(self._key.public, COMMIT, digest, commit.signature)
                signed.append((commit.seq, commit.signature))
            all_hlcs += hlcs
            all_records += batch.records
        self._put(all_hlcs, all_records, signed)

    def _put(self, hlcs: Sequence[int], records: Sequence[bytes], signed: Sequence[tuple[int, bytes]]) -> None:
        id_ = self._id
        times = [hlc.to_bytes(8, "big") for hlc in hlcs]
        seqs = [seq.to_bytes(8, "big") for seq in range(self._seq + 1, self._seq + 1 + len(records))]
        self._raw.put_batch(
            [(when + id_, seq + record) for when, seq, record in zip(times, seqs, records, strict=True)],
            [(id_ + seq, when) for seq, when in zip(seqs, times, strict=True)],
            [(id_ + seq.to_bytes(8, "big"), signature) for seq, signature in signed],
        )
        self._seq += len(records)
