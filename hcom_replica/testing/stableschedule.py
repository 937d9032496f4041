"""Random schedules in which devices come, go and are retired, and read the stable stream while all goes wrong (S10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.errors import StoreFull
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.epochschedule import EPOCH_ACTS, EpochSchedule
from hcom_replica.testing.stablewatch import compare_ends, judged
from hcom_replica.wire.signing import device_id

_TWINNING: Final = ("keep_disk", "restore", "clone")
STABLE_ACTS: Final = {
    **{act: often for act, often in EPOCH_ACTS.items() if act not in _TWINNING},
    "revoke": 1,
    "rotate": 1,
    "retire": 5,
    "join": 5,
}
_RETIRED_MAX: Final = 3


class StableSchedule(EpochSchedule):
    """One run; see Schedule. Nothing is cloned or put back: there S10 holds only again from the healing on."""

    @classmethod
    def brief(cls, seed: int, disks: Callable[[], Disk] = MemoryKv) -> StableSchedule:
        """Two to four devices, for two virtual minutes."""
        return cls(seed, steps=30, faults=6, span_ms=120_000, crowd=4, disks=disks)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.table = STABLE_ACTS
        self._retired = 0

    def _retire(self, name: str) -> None:
        victim = self._rng.choice(sorted(self.stage.devices))
        if victim == name or self._retired >= _RETIRED_MAX:
            return
        self._retired += 1
        device = self.stage[victim]
        self.stage.stable.leave(device)
        key = device.key.public
        last = {state.id.hex(): state.seq for state in self.stage[name].log.origins() if state.key == key}
        try:
            self.stage.append(name, [system_draft(RETIRE, Retire(device_id(key).hex(), last))])
        except StoreFull:
            self.acts["append refused"] += 1

    def _change_key(self, name: str, *victims: str) -> None:
        for victim in victims:
            self.stage.stable.leave(self.stage[victim])
        super()._change_key(name, *victims)

    def why_not(self) -> str:
        """Why the group is not quiet, for people; empty when it is."""
        why = super().why_not()
        if why:
            return why
        staying = [self.stage[name] for name in self._staying()]
        for device in staying:
            roster, key = judged(device)
            if key is None:
                return f"{device.name} is not let into the stable order"
            if any(state.seq and roster.place(state.id, state.seq, b"") is None for state in device.log.origins()):
                return f"{device.name} has events without a place"
        for device in staying[1:]:
            compare_ends(staying[0], device)
        return ""
