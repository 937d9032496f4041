"""How long a source is given, by what answers took (P7.8)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hcom_replica.core.flight import Flight
from hcom_replica.core.patience import Patience
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.limits import COMMIT_EVENTS_MAX
from tests.unit.core.builders import at
from tests.unit.core.pulling import Pulling, crowded, device


@pytest.fixture
def boxe() -> Pulling:
    return Pulling()


@pytest.mark.parametrize(("answer_ms", "most_ms"), [(None, 6_000), (10, 1_000), (500, 4_000), (9_000, 30_000)])
def test_patience_is_eight_answers_and_before_the_first_one_not_endless(answer_ms: int | None, most_ms: int) -> None:
    """P7.8"""
    patience = Patience(Settings())
    if answer_ms is not None:
        patience.answered(at(answer_ms), Flight(1, None, 0, 0), ours=True)
    assert patience.longest_ms() == most_ms


def test_holder_that_is_silent_where_others_answer_quickly_is_not_waited_for_longer_and_longer(boxe: Pulling) -> None:
    """P7.8: adaptive: what is lost does not come, however long one waits"""
    nova, luna = device("NOVA", 3 * COMMIT_EVENTS_MAX), device("LUNA")
    boxe.online(luna)
    boxe.tick(0)
    boxe.give(luna, luna.own.id, 1, 10)
    boxe.online(nova, ms=20)
    times = [ms for ms, _ in boxe.run(50, 20_000)]
    assert {after - before for before, after in pairwise(times)} == {3_000}, "1 s of silence, and a rest"


@pytest.mark.parametrize(("sender", "patient"), [("NOVA", True), ("LUNA", False)])
def test_answer_that_comes_after_it_was_given_up_makes_the_asker_more_patient(sender: str, patient: bool) -> None:
    """P7.8: on a slow link answers come late, not never; nobody but the asked holder has a say in this"""
    boxe = Pulling()
    nova, luna = device("NOVA", 3 * COMMIT_EVENTS_MAX), device("LUNA")
    boxe.online(luna)
    boxe.tick(0)
    boxe.give(luna, luna.own.id, 1, 10)
    boxe.online(nova, ms=20)
    ((_, first), (again, _)) = boxe.run(50, 5_000)[:2]
    boxe.fill(again + 500, nova.own.id, nova if sender == "NOVA" else luna, first.id, place=1)
    times = [ms for ms, _ in boxe.run(again + 500, again + 20_000)]
    assert (max(after - before for before, after in pairwise(times)) > 3_000) is patient


def test_what_a_device_was_asked_for_on_a_guess_and_does_not_bring_is_asked_of_its_writer_soon() -> None:
    boxe = Pulling(Settings(pulls_max=2))
    others = crowded(boxe)
    (want,) = boxe.tick(0)
    asked = others[OriginId(want.to)]
    boxe.give(asked, asked.own.id, 1, 40)
    later = boxe.run(50, 2_000)
    assert min(ms for ms, _ in later) >= 500
    assert asked.own.id not in {item.hash for _, again in later for item in again.items}
    assert want.to not in {again.to for _, again in later}
