"""Who may change what in a group: ranks by admission, and which revocations count (P12.2, P12.7).

Pure folds over sets of signed statements: the order in which they came to be known has no part in it, nor has a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hcom_replica.wire.epoch import Certificate


class Rank(NamedTuple):
    """A device's place. The smaller is senior.

    Attributes:
        depth: how many admissions lead from the founder to it.
        path: the number of each.
        key: of the device; decides between two that their admitter gave one number.
    """

    depth: int
    path: tuple[int, ...]
    key: bytes


def ranks_of(founder: bytes, certificates: Iterable[Certificate]) -> dict[bytes, Rank]:
    """Rank of each device that has one: breadth first from the founder, so the shortest path is found first.

    Args:
        founder: 32-byte key.
        certificates: their signatures hold.
    """
    admitted: dict[bytes, list[Certificate]] = {}
    for certificate in certificates:
        admitted.setdefault(certificate.admitter, []).append(certificate)
    ranks = {founder: Rank(0, (), founder)}
    level = [ranks[founder]]
    while level:
        found: dict[bytes, Rank] = {}
        for rank in level:
            for certificate in admitted.get(rank.key, ()):
                device = certificate.device
                if device not in ranks:
                    one = Rank(rank.depth + 1, (*rank.path, certificate.number), device)
                    found[device] = min(one, found.get(device, one))
        ranks.update(found)
        level = sorted(found.values())
    return ranks


def counting(ranks: Mapping[bytes, Rank], revocations: Mapping[bytes, Iterable[bytes]]) -> dict[bytes, bytes]:
    """The revocations that count: revoked key -> the most senior author that names it.

    Args:
        ranks: key -> rank.
        revocations: author's key -> keys of those that it revokes.
    """
    revoked: dict[bytes, bytes] = {}
    for author in sorted(revocations.keys() & ranks.keys(), key=ranks.__getitem__):
        if author not in revoked:  # whoever named it came before: is senior
            for key in revocations[author]:
                if key != author:
                    revoked.setdefault(key, author)
    return revoked


def chain_to(founder: bytes, key: bytes, certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """The certificates that give a device its rank, the founder's first; empty for the founder and for no rank."""
    found = list(certificates)
    ranks = ranks_of(founder, found)
    chain: list[Certificate] = []
    while key != founder and key in ranks:
        parent = next(c for c in found if c.device == key and _gives(ranks, c))
        chain.append(parent)
        key = parent.admitter
    return tuple(reversed(chain))


def _gives(ranks: Mapping[bytes, Rank], certificate: Certificate) -> bool:
    """Whether a certificate is the one by which its device has its rank."""
    admitter, rank = ranks.get(certificate.admitter), ranks[certificate.device]
    return admitter is not None and (*admitter.path, certificate.number) == rank.path
