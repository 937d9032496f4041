"""What happened to a device's folder, in one sentence: restored, copied, forked."""

from __future__ import annotations

from typing import Final

from hcom_replica.api.times import iso_ms
from hcom_replica.core.hlc import millis
from hcom_replica.core.incarnations import Incarnation, read_incarnations
from hcom_replica.core.reader import LogReader

WARNED_MS: Final = 7 * 24 * 3_600_000
"""How long `status` speaks of it; `devices` and `doctor` go on."""


def story(one: Incarnation, whose: str) -> str:
    """Say what happened; empty for nothing of note.

    Args:
        one: an incarnation.
        whose: the folder, as the sentence's subject: `this folder`.
    """
    if not one.story:
        return ""
    when = iso_ms(millis(one.hlc))
    back = f"; {one.fetched_events:,} events were fetched back" if one.fetched_events else ""
    return f"{whose} {one.story} (noticed {when or 'at an unknown time'}){back}; writing goes on as a new incarnation"


def own_story(log: LogReader) -> tuple[str, int]:
    """What happened to this folder when its present incarnation was begun, and when that was, in wall ms."""
    own = log.own_origin()
    for one in read_incarnations(log) if own is not None else []:
        if own is not None and one.state.id == own.id:
            return story(one, "this folder"), millis(one.hlc)
    return "", 0
