"""Every decoder that reads bytes which somebody else may have made."""

from __future__ import annotations

from typing import Final

from tests.fuzz import bridge_targets, disk_targets, local_targets, machine_targets, wire_targets
from tests.fuzz.target import Target

TARGETS: Final[tuple[Target, ...]] = (
    *wire_targets.TARGETS,
    *disk_targets.TARGETS,
    *local_targets.TARGETS,
    *machine_targets.TARGETS,
    *bridge_targets.TARGETS,
)


def target(name: str) -> Target:
    """The target of a name.

    Raises:
        KeyError: there is none.
    """
    return {one.name: one for one in TARGETS}[name]
