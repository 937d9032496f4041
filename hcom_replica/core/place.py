"""Placing a verified run against what is held (protocol-v1 4.5 to 4.8): new, held, beyond a gap, or a fork."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hcom_replica.core.origin import OriginState
from hcom_replica.core.verify import Run


class New(NamedTuple):
    """The run goes on from what is held, after its first `skip` records, which are held already."""

    skip: int


class Held(NamedTuple):
    """All of it is held."""


class Gap(NamedTuple):
    """It begins beyond what is held: it waits, and the seqs from `first` on are asked for."""

    first: int


class Fork(NamedTuple):
    """It differs from what is held, first at `seq`; `ours` and `theirs` are c[seq]."""

    seq: int
    ours: bytes
    theirs: bytes


class Misfit(NamedTuple):
    """It differs somewhere before its first record: it cannot be placed, and an earlier range must be asked for."""

    before: int


Placement = New | Held | Gap | Fork | Misfit
TipAt = Callable[[int], bytes]


def place(held: OriginState, run: Run, tip_at: TipAt) -> Placement:
    """Compare a run with what is held of its origin.

    Args:
        held: the origin's state; `fresh_origin` when nothing is held.
        run: verified.
        tip_at: c at a held seq from base to held.seq, from the store.
    """
    before = run.first - 1
    if before > held.seq:
        return Gap(held.seq + 1)
    if (held.tip if before == held.seq else tip_at(before)) != run.prev:
        return Misfit(before)
    shared = min(run.last, held.seq)
    if shared > before:
        ours = held.tip if shared == held.seq else tip_at(shared)
        if run.tips[shared - run.first] != ours:
            return _fork(run, shared, tip_at)
    return New(held.seq - before) if run.last > held.seq else Held()


def _fork(run: Run, shared: int, tip_at: TipAt) -> Fork:
    """Find the first difference: from there on every c differs, so bisect."""
    low, high = run.first, shared
    while low < high:
        middle = (low + high) // 2
        if run.tips[middle - run.first] == tip_at(middle):
            low = middle + 1
        else:
            high = middle
    return Fork(low, tip_at(low), run.tips[low - run.first])
