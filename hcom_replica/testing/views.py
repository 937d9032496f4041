"""What a scenario's line can show of a simulated group. The first line of each docstring is the syntax.

What is shown is made of names that do not depend on random ids, and of no times but those that the events carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from hcom_replica.core.parts import Assembler
from hcom_replica.core.ring import runs_of
from hcom_replica.core.statusrows import OriginRow
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.testing.script import Words, parse_point
from hcom_replica.testing.stage import Stage
from hcom_replica.wire.batch import Batch, decode_batch
from hcom_replica.wire.event import REDACTED
from hcom_replica.wire.frame import Kind, open_frame
from hcom_replica.wire.messages import decode_head, decode_index, decode_part, decode_standing

_CLASSES: Final = {"h": "head", "v": "vector", "i": "index", "s": "standing", "p": "presence", "m": "segment"}


class Views:
    """The commands that only look.

    Args:
        stage: the world.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._traced = 0

    def do_holds(self, words: Words) -> Iterator[str]:
        """`holds [A B ...]`: the prefixes on their disks."""
        for name in words.places or list(self._stage.devices):
            states = self._stage[name].log.origins()
            held = sorted(f"{self._stage.names.of(s.id)}:{s.seq}" for s in states if s.seq > s.base)
            yield f"{name} holds {' '.join(held) or 'nothing'}"

    def do_lag(self, words: Words) -> Iterator[str]:
        """`lag [A B ...]`: what they say they miss, and who has it."""
        for name in words.places or [n for n, device in self._stage.devices.items() if device.running]:
            rows = [row for row in self._stage[name].status().devices if row.missing is not None]
            for row in sorted(rows, key=self._row_name):
                yield f"{name} misses {self._missing(row)}, {self._held_by(row)}"
            if not rows:
                yield f"{name} misses nothing"

    def do_acks(self, words: Words) -> Iterator[str]:
        """`acks A`: what A believes that the others hold of its origin."""
        name = words.place(0)
        for row in sorted(self._stage[name].status().devices, key=self._row_name):
            if row.acked_seq is not None and "superseded" not in row.flags:
                yield f"{name} believes that {self._row_name(row)} has {self._own(name)}:{row.acked_seq}"

    def do_status(self, words: Words) -> Iterator[str]:
        """`status A`: what is odd about the devices it knows, and who holds its frontier."""
        status = self._stage[words.place(0)].status()
        for row in sorted(status.devices, key=self._row_name):
            lost = [f"{row.lost_events} lost"] if row.lost_events else []
            if odd := [*row.flags, *lost]:
                yield f"{self._row_name(row)}: {' '.join(odd)}"
        yield f"frontier {status.stable_frontier}, held by {status.frontier_held_by}"
        yield from status.warnings

    def do_order(self, words: Words) -> Iterator[str]:
        """`order A [last=20]`: its newest events in canonical order, runs of one origin joined."""
        events = list(self._stage[words.place(0)].log.events(reverse=True))[: int(words.options.get("last", 20))]
        runs = list[tuple[OriginId, int, int]]()
        for event in reversed(events):
            if runs and runs[-1][0] == event.origin and runs[-1][2] + 1 == event.seq:
                runs[-1] = (event.origin, runs[-1][1], event.seq)
            else:
                runs.append((event.origin, event.seq, event.seq))
        yield " ".join(self._range(*run) for run in runs)

    def do_body(self, words: Words) -> Iterator[str]:
        """`body A:5`: who holds the event, with its body or without, and whether mail on the broker has the body."""
        name, seq = parse_point(words.place(0))
        place = (self._stage.names.origin(name), seq)
        for device in self._stage.devices.values():
            row = device.log.event(EventId(*place))
            if row is not None:
                yield f"{device.name} holds {words.place(0)}{' redacted' if row.record[:1] == REDACTED else ''}"
        batches = self._mailed()
        found = [b.records[seq - b.first] for b in batches if b.origin == place[0] and b.first <= seq <= b.last]
        bodies = sum(1 for record in found if record[:1] != REDACTED)
        yield f"mail has it {len(found)} times, with its body {bodies} times"

    def do_rings(self, words: Words) -> Iterator[str]:  # noqa: ARG002 - one shape for all commands
        """`rings`: what the indexes on the broker say."""
        for writer, payload in self._retained("i"):
            runs = runs_of(decode_index(payload).segments)
            shown = [f"{self._range(run.origin, run.first, run.last)} in {len(run.slots)}" for run in runs]
            yield f"ring of {writer}: {', '.join(shown) or 'empty'}"

    def do_heads(self, words: Words) -> Iterator[str]:  # noqa: ARG002
        """`heads`: what the heads on the broker say."""
        for writer, payload in self._retained("h"):
            yield f"head of {writer} says {decode_head(payload).seq}" if payload else f"head of {writer}"

    def do_sees(self, words: Words) -> Iterator[str]:
        """`sees A`: which devices A takes to be online."""
        rows = [row for row in self._stage[words.place(0)].status().devices if row.online]
        yield f"{words.place(0)} sees {' '.join(sorted(map(self._row_name, rows))) or 'nobody'}"

    def do_standing(self, words: Words) -> Iterator[str]:  # noqa: ARG002
        """`standing`: the wants on the broker that are addressed to nobody in particular."""
        for writer, payload in self._retained("s"):
            items = decode_standing(payload).items
            asked = [f"{self._stage.names.of(OriginId(item.hash[:8]))} from {item.first}" for item in items]
            yield f"{writer} asks for {', '.join(asked)}"

    def do_retained(self, words: Words) -> Iterator[str]:  # noqa: ARG002
        """`retained`: whose messages the broker keeps."""
        kept = dict[str, list[str]]()
        for topic, _ in self._stage.broker.retained():
            _, letter, leaf, *_ = topic.split("/")
            kept.setdefault(self._stage.names.of_leaf(leaf), []).append(_CLASSES.get(letter, letter))
        for owner in sorted(kept):
            counts = {kind: kept[owner].count(kind) for kind in sorted(kept[owner])}
            yield f"{owner}: " + " ".join(kind if n == 1 else f"{kind}*{n}" for kind, n in counts.items())
        if not kept:
            yield "nothing is retained"

    def do_counters(self, words: Words) -> Iterator[str]:
        """`counters A PREFIX`: those of its machine's counters that begin so."""
        counters = self._stage[words.place(0)].machine.live_info().counters
        found = {name: count for name, count in sorted(counters.items()) if name.startswith(words.place(1))}
        yield ", ".join(f"{name} {count}" for name, count in found.items()) or "none"

    def do_trace(self, words: Words) -> Iterator[str]:
        """`trace EVENT-WITH-HYPHENS ...`: these, of all devices, since the last `trace`."""
        wanted = {word.replace("-", " ") for word in words.places}
        traces, self._traced = self._stage.world.traces[self._traced :], len(self._stage.world.traces)
        for _, name, trace in traces:
            if trace.event in wanted:
                fields = " ".join(f"{key}={self._field(value)}" for key, value in trace.fields)
                yield f"{name} {trace.event}" + (f": {fields}" if fields else "")

    # --- small things ------------------------------------------------------------------------------------------

    def _row_name(self, row: OriginRow) -> str:
        return self._stage.names.of(OriginId(bytes.fromhex(row.origin)))

    def _own(self, name: str) -> str:
        return self._stage.names.of(self._stage.own(name).id)

    def _missing(self, row: OriginRow) -> str:
        if row.missing is None:
            return "nothing"
        origin = OriginId(bytes.fromhex(row.origin))
        return f"{self._range(origin, row.missing.first, row.missing.last)} ({row.behind_events} events)"

    def _held_by(self, row: OriginRow) -> str:
        return f"held by {', '.join(row.held_by)}" if row.held_by else "held by nobody known"

    def _range(self, origin: OriginId, first: int, last: int) -> str:
        return f"{self._stage.names.of(origin)}:{first}" + (f"..{last}" if last > first else "")

    def _retained(self, letter: str) -> Iterable[tuple[str, bytes]]:
        """(owner, payload) of the sound slot messages of a class that the broker keeps, by owner."""
        keys, found = self._stage.world.keys, list[tuple[str, bytes]]()
        for topic, payload in self._stage.broker.retained(f"{keys.prefix}/{letter}/#"):
            try:
                found.append((self._stage.names.of_leaf(topic.split("/")[2]), open_frame(keys, topic, payload).payload))
            except ProtocolError:
                found.append((self._stage.names.of_leaf(topic.split("/")[2]) + " (spoiled)", b""))
        return sorted(found)

    def _mailed(self) -> list[Batch]:
        """The batches in all slots of mailboxes, named by an index or not."""
        keys, assembler, found = self._stage.world.keys, Assembler(), list[bytes]()
        for topic, payload in self._stage.broker.retained(f"{keys.prefix}/m/#"):
            frame = open_frame(keys, topic, payload)
            if frame.kind is Kind.SEGMENT:
                found.append(frame.payload)
            elif frame.author is not None and (whole := assembler.add(frame.author.origin, decode_part(frame.payload))):
                found.append(whole)
        return list(map(decode_batch, found))

    def _field(self, value: str | int | bool | None) -> str:
        if isinstance(value, str) and len(value) == 16:
            return self._stage.names.of(OriginId(bytes.fromhex(value)))
        return str(value)
