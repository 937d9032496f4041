"""The agents of this device: what is told of them, and what was known when each was first seen (B2.7, B4.7)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.ledger import Key, Network, Shelf, Shelved
from hcom_replica.bridge.rows import agent_draft
from hcom_replica.ids import OriginId
from hcom_replica.wire.event import Draft

_STABLE: Final = ("parent", "directory", "transcript", "tag", "tool", "background", "created_at")
"""Fields of an agent that no status event tells of."""

_pack = msgspec.msgpack.encode


class LocalAgent(msgspec.Struct):
    """What is kept of an agent of this device.

    Attributes:
        stable: hash of what its last `agent` event told.
        created: when hcom made it: another time is another agent of the same name.
        known: origin, 16 hex digits, to the seq that was known when the agent was first seen; None while that is not
            known: nothing that comes is of its time.
    """

    stable: str
    created: float
    known: dict[str, int] | None


class Told(NamedTuple):
    """An agent of which something is to be told; None when it is no more."""

    name: str
    draft: Draft
    agent: LocalAgent | None


class LocalAgents:
    """The agents of this device.

    Args:
        shelf: where they are kept.

    Attributes:
        by_name: all that were told of.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.by_name = {
            key[1:].decode(): msgspec.msgpack.decode(value, type=LocalAgent)
            for key, value in shelf.page(*Key.AGENT.all(), limit=1 << 16)
        }

    def settle(self, known: dict[OriginId, int]) -> None:
        """It is known by now how far the others were: who was here before is older than what comes from now on."""
        fresh = {name: agent for name, agent in self.by_name.items() if agent.known is None}
        for agent in fresh.values():
            agent.known = _hex(known)
        notes = [_note(name, agent) for name, agent in fresh.items()]
        self._shelf.put([*notes, (Key.SETTLED.of(), _pack(_hex(known)))])

    def settled(self) -> bool:
        """Whether it was ever known how far the others are."""
        return self._shelf.get(Key.SETTLED.of()) is not None

    def news(self, database: HcomDatabase, network: Network) -> list[Told]:
        """What is to be told of agents that came, changed or went."""
        present = database.agents()
        told: list[Told] = []
        known = _hex(network.known()) if self.settled() else None
        for name, fields in present.items():
            before = self.by_name.get(name)
            stable, created = _stable(fields), _created(fields)
            if before is not None and before.stable == stable:
                continue
            of_then = before.known if before is not None and before.created == created else known
            told.append(Told(name, agent_draft(name, fields), LocalAgent(stable, created, of_then)))
        told += [Told(name, agent_draft(name, None), None) for name in self.by_name if name not in present]
        return told

    @staticmethod
    def kept(told: list[Told]) -> Iterable[Shelved]:
        """What is to be kept when it is told."""
        return [_note(one.name, one.agent) for one in told]

    def tell(self, told: list[Told]) -> None:
        """It was told."""
        for one in told:
            if one.agent is None:
                self.by_name.pop(one.name, None)
            else:
                self.by_name[one.name] = one.agent


def _stable(fields: dict[str, Any]) -> str:
    return blake2b(repr([fields[name] for name in _STABLE]).encode(), digest_size=8).hexdigest()


def _created(fields: dict[str, Any]) -> float:
    created = fields["created_at"]
    return float(created) if isinstance(created, int | float) else 0.0


def _hex(known: dict[OriginId, int]) -> dict[str, int]:
    return {origin.hex(): seq for origin, seq in known.items()}


def _note(name: str, agent: LocalAgent | None) -> Shelved:
    return Key.AGENT.of(name.encode()), None if agent is None else _pack(agent)
