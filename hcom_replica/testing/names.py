"""Names for origins, which do not depend on their random ids: what scenarios are written with, and show.

`A` is the first origin that device A has written, `A.2` the second, `A~61` the branch that leaves A with event 61. A
name is given when it is first asked for, and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from hcom_replica.errors import UsageError
from hcom_replica.ids import OriginId
from hcom_replica.testing.device import Device
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import root_hash, short
from hcom_replica.wire.topics import Topics


class OriginNames:
    """The names of one world.

    Args:
        keys: the group's, at its first epoch.
        devices: by name; looked at whenever an origin is met that has no name yet.
    """

    def __init__(self, keys: GroupKeys, devices: Mapping[str, Device]) -> None:
        self._group = keys.group
        self._topics = Topics(keys)
        self._devices = devices
        self._names: dict[OriginId, str] = {}

    def of(self, origin: OriginId) -> str:
        """The name of an origin; `?` and two bytes of its id when no disk is known to have written it."""
        if origin not in self._names:
            self._name_origins()
        return self._names.get(origin, _unnamed(origin))

    def origin(self, name: str) -> OriginId:
        """The origin that a name stands for.

        Raises:
            UsageError: no origin has that name.
        """
        self._name_origins()
        for origin, known in self._names.items():
            if known == name:
                return origin
        raise UsageError(f"no origin is called {name}")

    def leaf(self, name: str) -> str:
        """The leaf of topics, in the first epoch, of the origin that a name stands for; raises as `origin`."""
        return self._topics.leaf(self.origin(name))

    def of_leaf(self, leaf: str) -> str:
        """The name of the origin that a leaf of a topic of the first epoch stands for; `a stranger` if of none."""
        self._name_origins()
        return next((name for origin, name in self._names.items() if self._topics.leaf(origin) == leaf), "a stranger")

    def _name_origins(self) -> None:
        for device in self._devices.values():
            own = device.log.own_origin()
            if own is not None and own.id not in self._names:
                self._give(own.id, device.name, ".")
        for device in self._devices.values():
            for state in device.log.origins():
                root = short(root_hash(self._group, state.key, state.incarnation))
                if state.id not in self._names and state.forks:
                    self._give(state.id, f"{self._names.get(root, _unnamed(root))}~{state.base + 1}", "/")

    def _give(self, origin: OriginId, name: str, mark: str) -> None:
        taken = set(self._names.values())
        number = next(n for n in count(1) if (f"{name}{mark}{n}" if n > 1 else name) not in taken)
        self._names[origin] = f"{name}{mark}{number}" if number > 1 else name


def _unnamed(origin: OriginId) -> str:
    return f"?{origin.hex()[:4]}"
