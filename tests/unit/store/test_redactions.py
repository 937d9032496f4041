"""Bodies are taken away in the transaction that learns of it, and never come back (P3.8 to P3.10, T2.6, T5.9)."""

from __future__ import annotations

from itertools import permutations

import pytest

from hcom_replica.core.origin import OriginState
from hcom_replica.core.verify import Run
from hcom_replica.errors import StoreError, StoreFull, UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.kv import Table
from hcom_replica.store.log import Log
from hcom_replica.store.memory_kv import MemoryKv, Moment
from hcom_replica.store.redactions import Redactions
from hcom_replica.wire.event import REDACTED, Draft, Event, RedactedEvent, decode_event
from hcom_replica.wire.redaction import REDACT, Redaction, sign_redaction, statement
from tests.unit.store.devices import GROUP, NOW, Device, carried, check_log, converge, send

LARGE = "x" * 100_000


def event(device: Device, name: EventId) -> Event:
    """An event as a device holds it."""
    row = device.log.event(name)
    assert row is not None
    return decode_event(row.record)


def is_gone(device: Device, name: EventId) -> bool:
    """Whether a device holds an event without its body."""
    return isinstance(event(device, name), RedactedEvent)


def runs_of(source: Device, target: Device, origin: OriginId, raw_bytes: int = 1) -> list[Run]:
    """All of an origin as the source holds it now, a commit each; the target need not hold what is before."""
    state = source.log.origin_state(origin)
    assert state is not None
    runs, first = [], 1
    while first <= state.seq:
        run = carried(source, target, origin, first, raw_bytes)
        runs.append(run)
        first = run.last + 1
    return runs


@pytest.mark.parametrize("body", ["", "secret", "\n" * 300, LARGE])
def test_redacted_event_has_no_body_and_all_else(body: str) -> None:
    """P3.9, P4.1, P4.2"""
    boxe = Device("BOXE")
    first, name, last = boxe.emit("before", body, "behind")
    before, state = event(boxe, name), boxe.own
    said = boxe.redact(name)
    after = event(boxe, name)
    assert isinstance(after, RedactedEvent)
    assert (after.hlc, after.kind, after.agent, after.time) == (before.hlc, before.kind, before.agent, before.time)
    assert (after.body, after.length) == (b"", len(body))
    assert boxe.log.tip_at(state.id, state.seq) == state.tip
    assert said == EventId(state.id, state.seq + 1)
    assert event(boxe, said).kind == REDACT
    assert [is_gone(boxe, other) for other in (first, last, said)] == [False] * 3
    assert b"secret" not in b"".join(row.record for row in boxe.log.events())
    check_log(boxe)


def test_event_redacted_again_changes_nothing() -> None:
    boxe = Device("BOXE")
    (name,) = boxe.emit("secret")
    assert boxe.log.is_to_redact(name)
    boxe.redact(name)
    before = list(boxe.log.events())
    assert boxe.redact(name) is None
    assert not boxe.log.is_to_redact(name)
    assert list(boxe.log.events()) == before


def test_event_of_another_device_a_system_event_and_an_unknown_one_are_refused() -> None:
    """P3.8: only the key that wrote an event, and no system event."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    (name,) = boxe.emit("secret")
    nova.emit("own")
    send(boxe, nova)
    before = list(nova.log.events())
    for refused in (name, EventId(nova.own.id, 1), EventId(nova.own.id, 99), EventId(OriginId(bytes(8)), 1)):
        with pytest.raises(UsageError):
            nova.redact(refused)
    with pytest.raises(StoreError):
        Log(nova.kv, GROUP).redact(name, NOW)
    assert list(nova.log.events()) == before


def test_event_of_an_earlier_incarnation_is_redacted_by_the_later_one() -> None:
    """P3.8"""
    boxe, nova = Device("BOXE"), Device("NOVA")
    (name,) = boxe.emit("secret")
    send(boxe, nova)
    boxe.log.open_incarnation("test", NOW)
    said = boxe.redact(name)
    assert said is not None
    assert said.origin != name.origin
    send(boxe, nova)
    assert is_gone(nova, name)
    check_log(nova)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_body_is_gone_whichever_copy_and_word_come_first(order: tuple[int, ...]) -> None:
    """P3.10, T5.9: the event with its body, without it, the word in another log, and a duplicate of the body."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    (name,) = boxe.emit("secret")
    with_body = carried(boxe, nova, name.origin, 1)
    boxe.log.open_incarnation("test", NOW)
    boxe.redact(name)
    without_body = carried(boxe, nova, name.origin, 1)
    word = carried(boxe, nova, boxe.own.id, 1)
    runs = [with_body, without_body, word, with_body]
    for count, which in enumerate(order, 1):
        nova.log.ingest([runs[which]], NOW)
        check_log(nova)
        heard = {*order[:count]}
        if heard & {1, 2} and heard & {0, 1, 3}:
            assert is_gone(nova, name)
    at_once = Device("LUNA")
    at_once.log.ingest([runs[which] for which in order], NOW)
    check_log(at_once)
    assert list(at_once.log.events()) == list(nova.log.events()) == list(boxe.log.events())


def test_commits_with_redacted_events_are_served_thinned_and_joined_as_before() -> None:
    """T2.4, P4.2, P4.3: sizes are those of the events as they were written."""
    boxe, nova, luna = Device("BOXE"), Device("NOVA"), Device("LUNA")
    names = [name for number in range(40) for name in boxe.emit(*(f"{number}.{n}" + "y" * 400 for n in range(7)))]
    for name in names[::3]:
        boxe.redact(name)
    for raw_bytes in (1, 10_000):
        for run in runs_of(boxe, nova, boxe.own.id, raw_bytes):
            nova.log.ingest([run], NOW)
    send(nova, luna)
    for device in (boxe, nova, luna):
        check_log(device)
        assert list(device.log.events()) == list(boxe.log.events())


def test_redacted_event_stays_so_when_a_fork_moves_it() -> None:
    """P4.6, P3.10"""
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.emit("shared")
    twin = boxe.clone(9)
    boxe.redact(boxe.emit("secret of one")[0])
    twin.redact(twin.emit("secret of the other")[0])
    for source in (boxe, twin, boxe):
        send(source, nova)
        check_log(nova)
    assert [body for body in nova.bodies() if "secret" in body] == []
    converge([boxe, twin, nova])
    assert list(boxe.log.events()) == list(twin.log.events()) == list(nova.log.events())


def test_event_that_a_fork_has_moved_is_redacted_under_its_new_name() -> None:
    """P3.8, P4.6: the word names the origin that is not derived, and c finds the branch."""
    boxe, nova, luna = Device("BOXE"), Device("NOVA"), Device("LUNA")
    boxe.emit("shared")
    twin = boxe.clone(9)
    boxe.emit("here 1", "here 2")
    twin.emit("there 1", "there 2")
    converge([boxe, twin, nova])
    send(nova, luna)
    moved = next(state for state in boxe.log.origins() if state.forks)
    kept = next(state for state in boxe.log.origins() if state.hash == moved.root(GROUP))
    for origin, seq in ((moved.id, 4), (kept.id, 3)):
        assert boxe.redact(EventId(origin, seq)) is not None
    luna.log.ingest([carried(boxe, luna, boxe.own.id, 1)], NOW)
    for device in (boxe, luna):
        gone = {EventId(row.origin, row.seq) for row in device.log.events() if row.record[:1] == REDACTED}
        assert gone == {EventId(moved.id, 4), EventId(kept.id, 3)}
        check_log(device)


@pytest.mark.parametrize("draw", range(6))
def test_word_and_fork_of_one_transaction_find_each_other(draw: int) -> None:
    """P4.6, T5.9: a word for what is not held, a fork that may move what is, and words for events of both branches."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.emit("shared")
    twin = boxe.clone(9 + draw)
    ours, theirs = boxe.emit(f"here {draw}"), twin.emit(f"there {draw}", "there too")
    runs = [carried(device, nova, ours[0].origin, 1) for device in (boxe, twin)]
    words = []
    for device, name in ((twin, theirs[0]), (boxe, ours[0]), (twin, theirs[1])):
        device.log.open_incarnation("test", NOW)
        device.redact(name)
        words.append(carried(device, nova, device.own.id, 1))
    nova.log.ingest([runs[0], words[0], runs[1], *words[1:]], NOW)
    check_log(nova)
    assert nova.bodies() == ["shared", "", "", ""]


def test_word_that_proves_nothing_is_kept_and_ignored() -> None:
    """P3.8: signed by whoever says it, of a system event, or no JSON at all."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    (name,) = boxe.emit("body")
    send(boxe, nova)
    state = boxe.own
    nova_word = Draft(REDACT, None, None, statement(_signed(nova, state, name.seq), state.key, state.incarnation))
    hello_word = Draft(REDACT, None, None, statement(_signed(boxe, state, 1), state.key, state.incarnation))
    nova.log.append([nova_word, hello_word, Draft(REDACT, None, None, b"null")], NOW)
    send(nova, boxe)
    for device in (boxe, nova):
        assert event(device, name).body == b"body"
        assert not isinstance(event(device, EventId(name.origin, 1)), RedactedEvent)
        assert [event.kind for _, _, event in device.log.system_events()].count(REDACT) == 3


def _signed(device: Device, state: OriginState, seq: int) -> Redaction:
    return sign_redaction(device.writer.device, state.hash, seq, device.log.tip_at(state.id, seq))


@pytest.mark.parametrize("moment", list(Moment))
def test_crash_leaves_word_and_body_or_neither(moment: Moment) -> None:
    """T5.9"""
    kv = MemoryKv()
    boxe = Device("BOXE", kv)
    (name,) = boxe.emit("secret")

    def strike(now: Moment) -> None:
        if now is moment:
            raise StoreFull("no room")

    kv.fault = strike
    with pytest.raises(StoreFull):
        boxe.redact(name)
    kv.fault = None
    assert is_gone(boxe, name) == (boxe.log.redaction_count() == 1) == (moment is Moment.AFTER_COMMIT)
    check_log(boxe)


def test_redactions_of_many_events_cost_no_lookup_for_others() -> None:
    """What nothing is known to be redacted of is stored as it came: the very same list."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.emit("a")
    run = carried(boxe, nova, boxe.own.id, 1)
    with nova.kv.write() as txn:
        assert Redactions(txn, GROUP).without_bodies(boxe.own, 1, run.records, run.tips) is run.records
        assert txn.count(Table.REDACTIONS) == 0


def test_places_of_redactions_are_told_by_the_origin_that_is_not_derived() -> None:
    boxe = Device("BOXE")
    names = boxe.emit("a", "b", "c")
    boxe.redact(names[0])
    boxe.redact(names[2])
    assert boxe.log.redacted_places() == {(boxe.own.id, 2), (boxe.own.id, 4)}
    assert boxe.log.redaction_count() == 2
