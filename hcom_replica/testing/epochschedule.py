"""Random schedules of a group with a founder, in which devices are revoked and the key is changed while all goes wrong.

In the end those who were not shut out are in one epoch, hold the same, and have left nothing under earlier topics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.core.membership import Membership
from hcom_replica.errors import StoreFull, UsageError
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.schedule import ACTS, Schedule
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.topics import Topics

EPOCH_ACTS: Final = {**ACTS, "append": 20, "revoke": 4, "rotate": 4}
_REVOKED_MAX: Final = 2
_PATIENCE_MS: Final = 5 * 60_000
"""A person whose device is connected and hears nobody for so long takes a new token."""


class EpochSchedule(Schedule):
    """One run; see Schedule."""

    takes_back = True
    """Under the topics of another epoch a device does not see what it has said before."""

    @classmethod
    def brief(cls, seed: int, disks: Callable[[], Disk] = MemoryKv) -> EpochSchedule:
        """Two to four devices, for two virtual minutes."""
        return cls(seed, steps=25, faults=6, span_ms=120_000, crowd=4, disks=disks)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.table = EPOCH_ACTS
        self.stage.found()
        self._tokens_due_ms = 0

    # --- what happens ------------------------------------------------------------------------------------------

    def _revoke(self, name: str) -> None:
        revoked = {key for device in self.stage.devices.values() for key in device.membership().revoked}
        if len(revoked) < _REVOKED_MAX:
            self._change_key(name, self._rng.choice(sorted(self.stage.devices)))

    def _rotate(self, name: str) -> None:
        self._change_key(name)

    def _change_key(self, name: str, *victims: str) -> None:
        try:
            self.stage.revoke(name, *victims)
            for victim in victims:
                self.stage.stable.shut_out(self.stage[victim])
        except UsageError:
            self.acts["key change refused"] += 1
        except StoreFull:
            self.acts["append refused"] += 1

    # --- how it ends -------------------------------------------------------------------------------------------

    def why_not(self) -> str:
        """Why the group is not quiet, for people; empty when it is."""
        stage = self.stage
        for device in stage.devices.values():
            device.start()
        judged = {name: device.membership() for name, device in stage.devices.items()}
        staying = self._staying()
        why = self._unrest(judged, staying)
        if why and stage.now_ms > self._tokens_due_ms:
            self._tokens_due_ms = stage.now_ms + _PATIENCE_MS
            self._hand_out_tokens(judged, staying)
        return why

    def _staying(self) -> list[str]:
        """Names of the devices that nobody has shut out, by all that any of them has said."""
        revoked = self.stage.said_by_all().revoked
        return [name for name, device in self.stage.devices.items() if device.key.public not in revoked]

    def _unrest(self, judged: dict[str, Membership], staying: list[str]) -> str:
        stage = self.stage
        epochs = {name: stage[name].machine.epoch for name in staying}
        if len(set(epochs.values())) > 1:
            return f"in different epochs: { ({name: keys.epoch for name, keys in epochs.items()}) }"
        for name in staying:
            if judged[name].awaited():
                return f"{name} awaits {len(judged[name].awaited())} devices"
            if missing := stage.claims.missing(name, staying):
                return f"{name} says that {missing} events are missing"
        if not stage.converged(staying):
            return "the logs differ"
        for name in staying:
            strangers = self._strangers(judged[name], staying)
            for keys in judged[name].earlier():
                if lying := self._lying(name, Topics(keys), may_wait=bool(stage.ghosts() or strangers)):
                    return f"{name} has left {lying[0]} in epoch {keys.epoch}"
        return ""

    def _strangers(self, membership: Membership, staying: list[str]) -> list[str]:
        """Devices that are shut out by words which this one cannot have heard: it keeps mail for them."""
        devices = self.stage.devices
        return [n for n in devices if n not in staying and devices[n].key.public not in membership.revoked]

    def _lying(self, name: str, topics: Topics, *, may_wait: bool) -> list[str]:
        """What a device has left there; mail may stay for incarnations that may come back (see `Stage.ghosts`)."""
        device = self.stage[name]
        leaves = {topics.leaf(state.id) for state in device.log.origins() if state.key == device.key.public}
        kinds = "hvspr" if may_wait else "hvisprm"
        lying = [topic for topic, _ in self.stage.broker.retained(f"{topics.prefix}/#")]
        return [topic for topic in lying if topic.split("/")[2] in leaves and topic.split("/")[1] in kinds]

    def _hand_out_tokens(self, judged: dict[str, Membership], staying: list[str]) -> None:
        """Whoever hears nobody is given the token of the most senior device that stays.

        So is one that was told it is revoked, by a word that was lost with the disk of the only device that held it.
        """
        if not staying:
            return
        epochs = [self.stage[name].machine.epoch for name in staying]
        best = max(staying, key=lambda name: (*_standing(self.stage[name].machine.epoch, epochs), name == "A"))
        token = judged[best].current
        for name in staying:
            device = self.stage[name]
            if device.machine.epoch != token or device.machine.live_info().shut_out:
                device.tokens.append(token)
                self.stage.restart(name)


def _standing(epoch: GroupKeys, epochs: list[GroupKeys]) -> tuple[int, int]:
    """Its number, and how many are in it: a clone that was left behind alone is the one that needs a token."""
    return epoch.epoch, epochs.count(epoch)
