"""Random schedules with a member who lies, and an outsider who writes to any topic, while all else goes wrong.

In the end they are silent, and the others hold the same, as in any schedule: nothing that was said to them counts for
more than its signature is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.errors import StoreError, UsageError
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.forger import Forger
from hcom_replica.testing.schedule import ACTS, Schedule
from hcom_replica.testing.script import parse_words

FORGING: Final = {**ACTS, "lie": 24, "plant": 8}
_LIES: Final = (
    *3 * ("claims {a}:{newest} as={poor}",),
    "claims {a}:{seq}",
    "claims {a}:{seq} in={b}",
    "announces {a}:{seq}",
    "redacts {a}:{held}",
    "blanks {a}:{held}",
    "poisons {a} from={held}",
    "splits {a} at={held}",
    "says head {a} {seq}",
    "says index {a} {seq}",
    "says standing {a} {held}",
    "says presence {a} {one}",
    "says want {a} {held}",
)
"""Lines of scenarios; see Forger.act."""


class ForgingSchedule(Schedule):
    """One run; see Schedule."""

    takes_back = True
    """Where a stranger has emptied its slots, a device does not see what it has said before."""

    @classmethod
    def brief(cls, seed: int, disks: Callable[[], Disk] = MemoryKv) -> ForgingSchedule:
        """Two to four devices, for two virtual minutes."""
        return cls(seed, steps=40, faults=6, span_ms=120_000, crowd=4, disks=disks)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.table = FORGING
        self._forger = Forger(self.stage)
        self.stage.checkers.twinned.add(self._forger.key)  # it may fork its own log
        self.stage.checkers.liars.add(self._forger.key)

    def _lie(self, name: str) -> None:
        rng = self._rng
        held = max(1, self.stage.have(name, name))
        places = {
            "a": name,
            "b": rng.choice(sorted(self.stage.devices)),
            "poor": min(sorted(self.stage.devices), key=lambda other: self.stage.have(other, name)),
            "held": rng.randint(1, held),
            "newest": held,
            "seq": rng.choice((held, held + 1, held + 300, 1 << 40)),
            "one": rng.choice((0, 1)),
        }
        try:
            self._forger.act(parse_words("member " + rng.choice(_LIES).format_map(places)))
        except (UsageError, StoreError):  # nobody holds what it would speak of
            self.acts["lie refused"] += 1
        self.stage.run(1_000)
        self.stage.check_claims(name)

    def _plant(self, name: str) -> None:  # noqa: ARG002 - one shape for all acts
        """Empty a retained topic, or write junk, something older or something of another topic to it."""
        rng, broker = self._rng, self.stage.broker
        topics = dict(broker.retained(f"{self.stage.world.keys.prefix}/#"))
        if topics:
            topic, other = rng.choice(list(topics)), rng.choice(list(topics))
            past = rng.choice(self._broker_past).get(topic, b"")
            broker.inject(topic, rng.choice((b"", rng.randbytes(200), topics[other], past)), retain=True)
            broker.forgot += 1  # a slot that was emptied or spoilt is as good as forgotten
