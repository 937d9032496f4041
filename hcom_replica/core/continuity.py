"""Whether a log is the newest that its device has written: what home and marker say (storage-v1 section 7).

Pure. What it cannot tell is found at contact (protocol-v1 P7.2).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hcom_replica.core.origin import OriginState

ROLLED_BACK: Final = "rolled back"
COPIED: Final = "copied"


class Place(NamedTuple):
    """Where a log lies.

    Attributes:
        inode: of its data file; 0 for unknown.
        born_ns: when that file was made, ns since 1970; 0 for unknown.
    """

    inode: int
    born_ns: int


class Home(NamedTuple):
    """What a log keeps of the place where it was begun: 16 random bytes that name its marker, and the place."""

    id: bytes
    place: Place


class Here(NamedTuple):
    """What the system says now: the place of the log, the machine and its boot, 16 bytes each; zero for unknown."""

    place: Place
    machine: bytes
    boot: bytes


class Mark(NamedTuple):
    """What was written last, as the marker keeps it outside of the log.

    Attributes:
        counter: grows with each mark.
        home: id of the log's home.
        group: 16 bytes.
        incarnation: 12 bytes, of the own origin.
        origin: its id.
        seq: its highest seq.
        hlc: of the event at seq.
        machine, boot: where and when it was written; for people.
    """

    counter: int
    home: bytes
    group: bytes
    incarnation: bytes
    origin: bytes
    seq: int
    hlc: int
    machine: bytes
    boot: bytes

    @property
    def generation(self) -> int:
        """Of the incarnation."""
        return int.from_bytes(self.incarnation[:4], "big")


class Doubt(NamedTuple):
    """Why a new incarnation has to be opened before anything is appended.

    Attributes:
        reason: for its hello.
        generation: the least that it may be of; 0 for no bound.
    """

    reason: str
    generation: int


def same_place(kept: Place, now: Place) -> bool:
    """Whether two places are one (T7.1)."""
    if kept.born_ns and now.born_ns:
        return kept.born_ns == now.born_ns
    return kept.inode == now.inode or not (kept.inode and now.inode)


def is_ahead(mark: Mark, own: OriginState) -> bool:
    """Whether a marker knows of more than the log holds of its own origin (T7.6)."""
    if mark.incarnation == own.incarnation:
        return mark.seq > own.seq
    return mark.generation >= own.generation


def doubt(own: OriginState, group: bytes, home: Home, place: Place, mark: Mark | None) -> Doubt | None:
    """Judge a log before it is appended to (T7.5).

    Args:
        own: the origin it would append to.
        group: 16 bytes.
        home: what it keeps of its place.
        place: where it lies now.
        mark: the newest sound slot of its marker; None when there is none.
    """
    if mark is not None and (mark.home, mark.group) == (home.id, group) and is_ahead(mark, own):
        return Doubt(ROLLED_BACK, mark.generation + 1)
    return None if same_place(home.place, place) else Doubt(COPIED, 0)
