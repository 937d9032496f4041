from __future__ import annotations

import pytest

from hcom_replica.core.place import Fork, Gap, Held, Misfit, New
from hcom_replica.core.report import Refused
from hcom_replica.ids import EventId
from hcom_replica.store.memory_kv import MemoryKv, Moment
from hcom_replica.store.meta import write_number
from hcom_replica.store.schema import Meta
from tests.unit.store.devices import NOW, Device, answers, carried, check_log, converge, draft, send

HOUR = 3_600_000


def test_ingest_of_another_device_gives_the_same_log() -> None:
    """L1, T5.2"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("a", "b")
    target.emit("c", now_ms=NOW + 1)
    (report,) = send(source, target)
    assert [outcome.placement for outcome in report.outcomes] == [New(0)]
    assert report.events == 3
    assert report.states == (source.own,)
    assert target.bodies() == ["a", "b", "c"]
    check_log(target)


def test_ingest_twice_stores_once_and_commits_nothing() -> None:
    """S2"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("a", "b")
    send(source, target)
    before = target.log.last_txn()
    (report,) = send(source, target)
    assert [outcome.placement for outcome in report.outcomes] == [Held()]
    assert report.events == 0
    assert target.log.last_txn() == before


def test_ingest_of_a_run_that_overlaps_stores_the_rest() -> None:
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("a", "b")
    send(source, target)
    source.emit("c", "d")
    run = carried(source, target, source.own.id, 1)
    report = target.log.ingest([run], NOW)
    assert report.events == 2
    assert report.outcomes[0].placement == New(3)
    assert target.log.origin_state(source.own.id) == source.own
    check_log(target)


def test_ingest_beyond_a_gap_stores_nothing() -> None:
    """S3, T2.3"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit(*("x" * 1000 for _ in range(100)))
    runs = list(answers(source, target, source.own.id, 1, 1))
    target.log.ingest(runs[:1], NOW)
    state = target.log.origin_state(source.own.id)
    assert state is not None
    (later,) = list(answers(source, target, source.own.id, runs[2].first, 1 << 20))
    report = target.log.ingest([later], NOW)
    assert report.outcomes[0].placement == Gap(state.seq + 1)
    assert report.events == 0
    assert target.log.origin_state(source.own.id) == state


def test_ingest_many_runs_of_many_origins_in_one_transaction() -> None:
    sources = [Device(name) for name in ("BOXE", "LUNA", "ROSE")]
    for n in range(5):
        for source in sources:
            source.emit(*("x" * 3000 for _ in range(20)), now_ms=NOW + n)
    one, many = Device("NOVA"), Device("TUKA")
    runs = [run for source in sources for run in answers(source, one, source.own.id, 1, 1)]
    many.log.ingest(runs, NOW)
    for run in runs:
        one.log.ingest([run], NOW)
    assert one.tips() == many.tips()
    assert list(one.log.events()) == list(many.log.events())
    check_log(one)
    check_log(many)


def test_ingest_of_events_that_sort_before_held_ones_marks_them_late() -> None:
    """T2.2"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("early", now_ms=NOW)
    source.emit("last", now_ms=NOW + 50)
    target.emit("middle", now_ms=NOW + 10)
    send(source, target, now_ms=NOW + 60)
    arrived = target.log.arrivals(2)
    assert [(arrival.event.seq, arrival.late) for arrival in arrived] == [(1, True), (2, True), (3, False)]
    assert {arrival.received_ms for arrival in arrived} == {NOW + 60}


def test_ingest_raises_the_high_water_so_that_answers_sort_behind() -> None:
    """P3.4, T5.2"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("question", now_ms=NOW + 30_000)
    send(source, target, now_ms=NOW)
    target.emit("answer", now_ms=NOW)
    assert target.bodies() == ["question", "answer"]


def test_ingest_from_a_clock_far_ahead_stores_marks_and_does_not_merge() -> None:
    """P3.4"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("fine", now_ms=NOW + 1000)
    source.emit("future", now_ms=NOW + HOUR)
    send(source, target, now_ms=NOW)
    state = target.log.origin_state(source.own.id)
    assert state is not None
    assert state.drift_ms == HOUR
    assert target.log.high_water() >> 16 == NOW + 1000
    target.emit("answer", now_ms=NOW)
    assert target.own.generation == 1
    assert target.bodies() == ["fine", "answer", "future"]
    check_log(target)


def test_ingest_that_fails_to_commit_stores_nothing() -> None:
    """T5.2"""
    source, target = Device("BOXE"), Device("NOVA")
    source.emit("a")
    assert isinstance(target.kv, MemoryKv)

    def die(moment: Moment) -> None:
        if moment is Moment.BEFORE_COMMIT:
            raise KeyboardInterrupt

    target.kv.fault = die
    with pytest.raises(KeyboardInterrupt):
        send(source, target)
    target.kv.fault = None
    assert target.tips() == {}
    check_log(target)


def test_ingest_of_the_own_origin_ahead_of_us_opens_an_incarnation() -> None:
    """P7.2"""
    device, witness = Device("BOXE"), Device("NOVA")
    device.emit("a")
    backup = device.clone(draw=7)
    device.emit("b", "c")
    send(device, witness)
    old = backup.own
    (report,) = [report for report in send(witness, backup) if report.reopened]
    assert report.reopened == backup.own
    assert backup.own.generation == 2
    assert backup.bodies() == ["a", "b", "c"]
    restored = backup.log.origin_state(old.id)
    assert restored is not None
    assert restored.seq == 4
    check_log(backup)


def test_open_incarnation_after_a_lost_folder_follows_the_newest_held() -> None:
    device, witness = Device("BOXE"), Device("NOVA")
    device.emit("a")
    device.log.open_incarnation("second", NOW)
    device.log.open_incarnation("third", NOW)
    send(device, witness)
    again = Device("BOXE", draw=9)
    send(witness, again)
    again.emit("b")
    assert again.own.generation == 4


def clones(*bodies: str) -> tuple[Device, list[Device]]:
    """A device cloned when it held "a", each clone having written a body of its own; the first is the original."""
    device = Device("BOXE")
    device.emit("a")
    twins = [device.clone(draw=10 + n) for n in range(len(bodies))]
    for twin, body in zip(twins, bodies, strict=True):
        twin.emit(body, body + "2")
    return device, twins


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_fork_keeps_both_branches_under_the_same_names_in_any_order(order: tuple[int, int]) -> None:
    """P4.6, S2, T2.5, T6.1"""
    _, twins = clones("x", "y")
    witness = Device("NOVA")
    reports = [report for place in order for report in send(twins[place], witness)]
    found = [fork for report in reports for fork in report.forks]
    assert len(found) == 1
    assert found[0].base == 2
    assert isinstance(reports[-1].outcomes[0].placement, Fork)
    kept = witness.log.origin_state(found[0].kept)
    derived = witness.log.origin_state(found[0].derived)
    assert kept is not None
    assert derived is not None
    assert (kept.seq, derived.base, derived.seq) == (4, 2, 4)
    assert witness.log.tip_at(kept.id, 3) < witness.log.tip_at(derived.id, 3)
    assert sorted(witness.bodies()) == ["a", "x", "x2", "y", "y2"]
    assert len(witness.log.arrivals(0)) == 6
    check_log(witness)
    assert [report.events for report in send(twins[0], witness) + send(twins[1], witness)] == [0, 0]


def test_fork_of_the_own_origin_opens_a_new_incarnation_once() -> None:
    """P4.6, S5, T6.2"""
    _, (one, two) = clones("x", "y")
    (report,) = send(two, one)
    assert report.reopened == one.own
    assert one.own.generation == 2
    assert [again.reopened for again in send(two, one)] == [None]
    assert sorted(one.bodies()) == ["a", "x", "x2", "y", "y2"]
    check_log(one)


def test_forks_of_three_clones_converge() -> None:
    """L1, P2.4, T6.1"""
    _, twins = clones("x", "y", "z")
    devices = [*twins, Device("NOVA")]
    converge(devices)
    assert all(device.tips() == devices[0].tips() for device in devices)
    for device in devices:
        check_log(device)
        assert sorted(device.bodies()) == sorted(["a", "x", "x2", "y", "y2", "z", "z2"])


def test_fork_of_a_fork_converges_whatever_comes_first() -> None:
    """L1, P2.4, T2.5"""
    _, (one, two) = clones("x", "y")
    deep = [two.clone(draw=30), two.clone(draw=31), one.clone(draw=32)]
    for number, device in enumerate([*deep, one, two]):
        device.emit(f"deep{number}")
    everyone = [one, two, *deep]
    witnesses = []
    for turn in range(5):
        witness = Device(f"W{turn}")
        for source in everyone[turn:] + everyone[:turn]:
            send(source, witness)
        check_log(witness)
        witnesses.append(witness)
    converge([*witnesses, *everyone])
    assert all(device.tips() == witnesses[0].tips() for device in [*witnesses, *everyone])
    for device in [*witnesses, *everyone]:
        check_log(device)


def test_derived_origin_before_its_fork_is_known_waits_for_the_other_branch() -> None:
    """P4.6"""
    _, twins = clones("x", "y")
    both = Device("NOVA")
    for twin in twins:
        send(twin, both)
    derived = next(state for state in both.log.origins() if state.forks)
    root = next(state for state in both.log.origins() if not state.forks)
    loser = next(twin for twin in twins if twin.own.tip == derived.tip)
    fresh, holder = Device("TUKA"), Device("ROSE")
    run = carried(both, fresh, derived.id, derived.base + 1)
    (outcome,) = fresh.log.ingest([run], NOW).outcomes
    assert outcome == (root.id, Gap(1))
    assert fresh.tips() == {}
    send(loser, holder)
    (outcome,) = holder.log.ingest([run], NOW).outcomes
    assert outcome == (root.id, Misfit(derived.base))
    for device in (fresh, holder):
        send(both, device)
        send(both, device)
        assert device.tips() == both.tips()
        check_log(device)


def thinned_clones(rivals: int = 1) -> list[Device]:
    """Clones of which the last wins the fork behind seq 201, where only the last has kept a commit."""
    base = Device("BOXE")
    for n in range(200):
        base.emit(str(n))
    clones = [base.clone(draw=100 + number) for number in range(rivals)]
    for number, clone in enumerate(clones):
        clone.emit(*(f"x{number}" for _ in range(10)))
    bound = min(clone.log.tip_at(clone.own.id, 202) for clone in clones)
    for n in range(1000):
        winner = base.clone(draw=3)
        winner.emit(f"y{n}", *("z" for _ in range(99)))
        if winner.log.tip_at(winner.own.id, 202) < bound:
            return [*clones, winner]
    raise AssertionError("a thousand hashes, none of them smaller")


def test_fork_where_a_thinned_commit_is_missing_asks_for_an_earlier_range() -> None:
    one, two = thinned_clones()
    witness = Device("NOVA")
    send(one, witness)
    before = witness.tips()
    run = carried(two, witness, two.own.id, 202)
    assert run.first == 202
    (outcome,) = witness.log.ingest([run], NOW).outcomes
    assert outcome.placement == Misfit(201)
    assert witness.tips() == before
    send(two, witness)
    assert len(witness.tips()) == 2
    check_log(witness)


def test_run_that_would_take_the_id_does_not_take_that_of_a_branch_that_parts_at_the_same_place() -> None:
    """P4.6, S1, S2: a branch is named by its first event; nothing else may stand there"""
    *rivals, two = thinned_clones(rivals=2)
    witness = Device("NOVA")
    for rival in rivals:
        send(rival, witness)
    assert [state.base for state in witness.log.origins() if state.forks] == [201]
    before = witness.tips()
    (outcome,) = witness.log.ingest([carried(two, witness, two.own.id, 202)], NOW).outcomes
    assert outcome.placement == Misfit(201)
    assert witness.tips() == before
    check_log(witness)
    send(two, witness)
    assert [state.base for state in witness.log.origins() if state.forks] == [201, 201]
    check_log(witness)


def test_fork_that_takes_the_id_marks_as_late_what_sorts_before_the_moved_branch() -> None:
    """T2.2, T6.1"""
    one, two = thinned_clones()
    witness = Device("NOVA")
    send(one, witness)
    send(two, witness)
    moved = next(state for state in witness.log.origins() if state.forks)
    newest = max(event.key for event in witness.log.events() if event.origin == moved.id)
    arrived = [arrival for arrival in witness.log.arrivals(0) if arrival.event.origin != moved.id][-100:]
    assert arrived[0].event.seq == 202
    assert [arrival.late for arrival in arrived] == [arrival.event.key < newest for arrival in arrived]
    assert arrived[0].late
    assert not arrived[-1].late


def test_ingest_with_false_cumulative_bytes_is_refused() -> None:
    device = Device("BOXE")
    device.emit("x" * 50_000)
    liar, witness = device.clone(draw=4), Device("NOVA")
    send(device, witness)
    liar.emit("y")
    run = carried(liar, witness, liar.own.id, 3)
    lie = run._replace(cum=7)
    (outcome,) = witness.log.ingest([lie], NOW).outcomes
    assert outcome.placement == Refused("chain")
    assert witness.tips() == {device.own.id: (2, device.own.tip)}


def test_run_that_does_not_join_a_differing_past_is_a_misfit() -> None:
    """P4.8"""
    _, (one, two) = clones("x", "y")
    witness = Device("NOVA")
    one.emit(*(str(n) for n in range(300)))
    two.emit(*(str(n) for n in range(400)))
    send(one, witness)
    run = carried(two, witness, two.own.id, 290)
    assert run.first > 3
    (outcome,) = witness.log.ingest([run], NOW).outcomes
    assert outcome.placement == Misfit(run.first - 1)
    assert outcome.origin == one.own.id


def test_run_that_goes_on_a_held_branch_is_stored_there_whatever_name_it_bears() -> None:
    """P4.6: its sender has not heard of the fork"""
    _, copies = clones("x" * 40_000, "y" * 40_000)
    witness = Device("NOVA")
    for copy in copies:
        send(copy, witness)
    (branch,) = [state for state in witness.log.origins() if state.forks]
    writer = next(copy for copy in copies if copy.own.tip == branch.tip)
    writer.emit("further" * 6_000, "on")
    run = carried(writer, witness, writer.own.id, branch.seq + 1)
    assert (run.origin, run.first) == (copies[0].own.id, branch.seq + 1)
    report = witness.log.ingest([run], NOW)
    assert [outcome.placement for outcome in report.outcomes] == [New(0)]
    assert [(state.id, state.tip) for state in report.states] == [(branch.id, writer.own.tip)]
    check_log(witness)


def test_ingest_of_hlc_that_does_not_grow_over_runs_is_refused() -> None:
    device = Device("BOXE")
    device.emit("x" * 50_000, now_ms=NOW + 10)  # a commit alone, so that the next one is served by itself
    liar = device.clone(draw=3)
    witness = Device("NOVA")
    send(device, witness)
    _set_back_the_clock(liar)
    liar.log.append([draft("b")], NOW)
    run = carried(liar, witness, liar.own.id, 3)
    assert run.first == 3
    (outcome,) = witness.log.ingest([run], NOW).outcomes
    assert outcome.placement == Refused("order")
    assert witness.log.event(EventId(liar.own.id, 3)) is None
    check_log(witness)


def _set_back_the_clock(liar: Device) -> None:
    """Make a device forget its high water, as no honest one does."""
    with liar.kv.write() as txn:
        write_number(txn, Meta.HIGH_WATER, 0)
