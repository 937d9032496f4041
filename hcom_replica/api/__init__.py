"""What a Python program uses: `Replica`, and the `Event`s it gives.

Owns the way from a data folder to an open log, and everything that reads or writes it for people and programs. Only
`control` and `relay` speak to a daemon or a broker; appending and reading never wait for either. Names are imported
on first use, so that a command which only appends does not load what reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hcom_replica.api.appending import Item
    from hcom_replica.api.event import Arrival, Event
    from hcom_replica.api.replica import Replica

__all__ = ["Arrival", "Event", "Item", "Replica"]


def __getattr__(name: str) -> object:
    if name == "Replica":
        from hcom_replica.api.replica import Replica  # noqa: PLC0415  (lazy on purpose, see above)

        return Replica
    if name == "Item":
        from hcom_replica.api.appending import Item  # noqa: PLC0415  (the same)

        return Item
    if name in ("Arrival", "Event"):
        from hcom_replica.api import event  # noqa: PLC0415  (the same)

        return getattr(event, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
