"""Who is senior to whom, and whose revocations count (P12.1, P12.2, P12.7)."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from hcom_replica.core.seniority import Rank, chain_to, counting, ranks_of
from hcom_replica.wire.epoch import Certificate, certify, is_certified
from hcom_replica.wire.signing import DeviceKey

GROUP = bytes(16)
F, A, B, C, D = (DeviceKey(bytes([number]) * 32) for number in range(5))
NAMES = {key.public: name for name, key in zip("FABCD", (F, A, B, C, D), strict=True)}


def admitted(*pairs: tuple[DeviceKey, int, DeviceKey]) -> list[Certificate]:
    return [certify(GROUP, admitter, number, device.public) for admitter, number, device in pairs]


def order(ranks: dict[bytes, Rank]) -> str:
    return "".join(NAMES[key] for key in sorted(ranks, key=ranks.__getitem__))


def counted(ranks: dict[bytes, Rank], **revocations: str) -> str:
    keys = {name: key for key, name in NAMES.items()}
    said = {keys[author]: [keys[name] for name in named] for author, named in revocations.items()}
    return "".join(sorted(NAMES[key] for key in counting(ranks, said)))


def test_rank_goes_by_length_then_number() -> None:
    """P12.2"""
    ranks = ranks_of(F.public, admitted((F, 2, A), (F, 1, B), (A, 1, C)))
    assert order(ranks) == "FBAC"
    assert D.public not in ranks


def test_rank_is_the_smallest_that_any_certificate_gives_in_whatever_order_they_came() -> None:
    """P12.2"""
    certificates = admitted((F, 1, A), (A, 1, B), (F, 5, B), (B, 1, C), (C, 1, A))
    for some in permutations(certificates):
        ranks = ranks_of(F.public, some)
        assert {NAMES[key]: rank.path for key, rank in ranks.items()} == {"F": (), "A": (1,), "B": (5,), "C": (5, 1)}


def test_two_that_were_given_one_number_are_told_apart_by_their_keys() -> None:
    """P12.2"""
    ranks = ranks_of(F.public, admitted((F, 1, A), (F, 1, B)))
    assert ranks[A.public].path == ranks[B.public].path
    assert (ranks[A.public] < ranks[B.public]) == (A.public < B.public)


def test_certificate_of_somebody_without_a_rank_gives_none() -> None:
    """P12.2"""
    assert order(ranks_of(F.public, admitted((D, 1, A), (A, 1, B)))) == "F"


def test_certificate_of_another_group_number_or_device_does_not_hold() -> None:
    """P12.1"""
    (one,) = admitted((F, 1, A))
    assert is_certified(GROUP, one)
    assert not is_certified(b"x" * 16, one)
    assert not is_certified(GROUP, Certificate(F.public, 1, B.public, one.signature))
    assert not is_certified(GROUP, Certificate(F.public, 0, A.public, one.signature))


def test_chain_leads_from_the_founder_to_a_device() -> None:
    """P12.13"""
    certificates = admitted((F, 1, A), (A, 3, B), (F, 9, C))
    assert [NAMES[one.device] for one in chain_to(F.public, B.public, certificates)] == ["A", "B"]
    assert chain_to(F.public, F.public, certificates) == ()
    assert chain_to(F.public, D.public, certificates) == ()
    assert B.public in ranks_of(F.public, chain_to(F.public, B.public, certificates))


RANKS = ranks_of(F.public, admitted((F, 1, A), (F, 2, B), (F, 3, C)))


def test_revocation_counts_unless_a_more_senior_device_has_revoked_its_author() -> None:
    """P12.7: a thief who revokes everybody first gains nothing against those who were there before"""
    assert counted(RANKS, B="C") == "C"
    assert counted(RANKS, B="FAC", A="B") == "B"
    assert counted(RANKS, B="FAC", F="B") == "B"
    assert counted(RANKS, B="FAC", C="B") == "ACF"
    assert counted(RANKS, A="B", B="A") == "B"


def test_revocation_by_somebody_who_is_revoked_in_vain_counts() -> None:
    """P12.7"""
    assert counted(RANKS, A="B", B="C", C="A") == "AB"  # A shuts out B, so B does not shut out C, which shuts out A
    assert counted(RANKS, B="C", C="A") == "C"


def test_revocation_by_a_device_without_a_rank_or_of_oneself_does_not_count() -> None:
    """P12.6, P12.7"""
    assert counted(RANKS, D="FABC") == ""
    assert counted(RANKS, A="A") == ""


@given(st.dictionaries(st.sampled_from("FABCD"), st.sets(st.sampled_from("FABCD")), max_size=5))
def test_founder_is_shut_out_only_by_those_whom_it_does_not_shut_out(said: dict[str, set[str]]) -> None:
    """P12.7"""
    out = counted(RANKS, **{author: "".join(sorted(named)) for author, named in said.items()})
    assert not said.get("F", set()) - {"F"} - set(out)
    if "F" in out:
        assert any(
            "F" in named and author not in said.get("F", ()) for author, named in said.items() if author in "ABC"
        )
