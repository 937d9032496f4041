"""Views: for any set of events, in any order, repeated and grouped in any way, the same (protocol-v1 section 15)."""

from __future__ import annotations

import random
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcom_replica.core.crdt import agents, shared
from hcom_replica.core.crdt.shared import KIND, Change
from hcom_replica.core.origin import OriginState, fresh_origin
from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import EventId
from hcom_replica.store.kv import Table
from hcom_replica.store.views import catch_up, open_views
from hcom_replica.wire.batch import Descriptor
from hcom_replica.wire.event import Draft, Event
from tests.unit.core.builders import MemoryRows
from tests.unit.store.devices import GROUP, NOW, Device, converge, send

NAMES = st.sampled_from(["k", "team"])
TAGS = [f"{number:04x}" for number in range(12)]


def origin(number: int, generation: int) -> OriginState:
    incarnation = generation.to_bytes(4, "big") + bytes(8)
    return fresh_origin(GROUP, Descriptor(bytes([number]) * 32, incarnation, ()))


ORIGINS = [origin(number, generation) for number in (1, 2) for generation in (1, 2)]

changes = st.builds(
    Change,
    op=st.sampled_from(["set", "add", "remove", "incr"]),
    key=NAMES,
    tag=st.just(""),
    value=st.sampled_from([msgspec.Raw(b"1"), msgspec.Raw(b'"two"')]),
    stamp=st.integers(0, 3),
    item=st.sampled_from(["x", "y"]),
    seen=st.lists(st.sampled_from(TAGS), max_size=3),
    by=st.integers(-2, 2),
)
said = st.fixed_dictionaries(
    {}, optional={"status": st.sampled_from(["active", "inactive"]), "action": st.sampled_from(["ready", "stopped"])}
)

Given = tuple[OriginState, int, Event]


@st.composite
def histories(draw: st.DrawFn) -> list[Given]:
    """Events, each with a tag of its own and a place that no other has."""
    found: list[Given] = []
    for number, (change, body, kind, which) in enumerate(
        draw(
            st.lists(
                st.tuples(changes, said, st.sampled_from(["status", "life", "agent", KIND]), st.sampled_from(ORIGINS)),
                max_size=len(TAGS),
            )
        )
    ):
        tagged = msgspec.structs.replace(change, tag=TAGS[number])
        data = msgspec.json.encode(tagged if kind == KIND else body)
        agent = draw(st.sampled_from(["luna", "nova"]))
        found.append((which, number + 1, Event(1_000 + draw(st.integers(0, 5)), kind, agent, None, data)))
    return found


def folded(events: list[Given], rows: MemoryRows | None = None) -> MemoryRows:
    rows = MemoryRows() if rows is None else rows
    for state, seq, event in events:
        agents.fold(rows, state, seq, event)
        shared.fold(rows, event)
    return rows


@settings(max_examples=300, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_views_do_not_depend_on_order_repetition_or_grouping(events: list[Given], rng: random.Random) -> None:
    """P15.1, P15.2, P15.3, P15.4, P15.5"""
    expected = folded(events)
    shuffled = [*events, *rng.choices(events, k=len(events))] if events else []
    rng.shuffle(shuffled)
    assert folded(shuffled) == expected
    rows, rest = MemoryRows(), list(shuffled)
    while rest:
        size = rng.randint(1, len(rest))
        folded(rest[:size], rows)
        rest = rest[size:]
    assert rows == expected


def change(op: str, key: str = "k", tag: str = "t", **more: object) -> Event:
    body = {"op": op, "key": key, "tag": tag, **more}
    return Event(NOW << 16, KIND, None, None, msgspec.json.encode(body))


def of(*events: Event) -> MemoryRows:
    rows = MemoryRows()
    for event in events:
        shared.fold(rows, event)
    return rows


def test_addition_that_a_removal_did_not_see_stands() -> None:
    """P15.4"""
    first, second = change("add", tag="1", item="x"), change("add", tag="2", item="x")
    assert shared.members(of(first, change("remove", tag="3", item="x", seen=["1"])), "k") == []
    assert shared.members(of(first, second, change("remove", tag="3", item="x", seen=["1"])), "k") == ["x"]


def test_clock_once_ahead_shadows_no_value_for_ever() -> None:
    """P15.3"""
    ahead = change("set", tag="1", value="ahead", stamp=1 << 60)
    after = change("set", tag="2", value="after", stamp=(1 << 60) + 1)
    held = shared.value(of(after, ahead), "k")
    assert held is not None
    assert held.value == b'"after"'


def test_counter_counts_each_event_once() -> None:
    """P15.2, P15.5"""
    assert (
        shared.count(
            of(change("incr", tag="1", by=2), change("incr", tag="1", by=2), change("incr", tag="2", by=-5)), "k"
        )
        == -3
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[",
        b'{"op":"set","key":"","tag":"t"}',
        b'{"op":"set","key":"k","tag":""}',
        b'{"op":"set","key":"a\\u0000b","tag":"t"}',
        b'{"op":"set","key":"k","tag":"t","stamp":4611686018427387904}',
        b'{"op":"incr","key":"k","tag":"t","by":9007199254740993}',
        b'{"op":"incr","key":"' + b"k" * 200 + b'","tag":"t","by":1}',
        b"[" * 5_000,
    ],
)
def test_event_that_says_nothing_sound_is_passed_over(body: bytes) -> None:
    """P15.2"""
    assert of(Event(1, KIND, None, None, body)) == {}


def test_agent_that_stopped_is_gone_until_it_says_something_again() -> None:
    """P15.1: by the writer's own order, whatever its clock says"""
    state = ORIGINS[0]
    stopped = (state, 3, Event(5, "life", "luna", None, b'{"action":"stopped"}'))
    active = (state, 4, Event(2, "status", "luna", None, b'{"status":"active"}'))
    before = (state, 2, Event(9, "status", "luna", None, b'{"status":"active"}'))
    ((_, name, row),) = agents.agents(folded([before, stopped]))
    assert (name, row.is_gone) == ("luna", True)
    ((_, _, row),) = agents.agents(folded([active, stopped, before]))
    assert not row.is_gone


def test_agent_that_the_bridge_says_is_gone_is_gone_until_it_is_told_of_again() -> None:
    """P15.1"""
    state = ORIGINS[0]
    active = (state, 2, Event(1, "status", "luna", None, b'{"status":"active"}'))
    gone = (state, 3, Event(2, "agent", "luna", None, b'{"gone":true}'))
    there = (state, 4, Event(3, "agent", "luna", None, b'{"tool":"codex"}'))
    ((_, _, row),) = agents.agents(folded([gone, active]))
    assert row.is_gone
    ((_, _, row),) = agents.agents(folded([there, gone, active]))
    assert not row.is_gone


def stored(device: Device) -> dict[bytes, bytes]:
    with open_views(device.kv) as rows:
        return dict(rows.scan(b"")) | {b"": b""}


def scratch(device: Device) -> dict[bytes, bytes]:
    """The same from the beginning."""
    with device.kv.write() as txn:
        for key in [key for key, _ in txn.scan(Table.VIEWS)]:
            txn.delete(Table.VIEWS, key)
    return stored(device)


def test_views_kept_by_a_cursor_are_those_from_scratch_and_those_of_other_devices() -> None:
    """T5.5, T6.1: also after forks, which move events, and redactions, which take bodies away (P3.10)"""
    rng = random.Random(5)
    boxe, nova = Device("BOXE"), Device("NOVA")
    devices = [boxe, nova]
    number = 0
    for turn in range(30):
        device = rng.choice(devices)
        drafts = []
        for _ in range(rng.randint(1, 5)):
            number += 1
            op = rng.choice(["set", "add", "incr"])
            body = {"op": op, "key": "k", "tag": f"{number}", "value": number, "item": f"{number % 3}", "by": number}
            drafts.append(Draft(KIND, None, None, msgspec.json.encode(body)))
            drafts.append(Draft("status", "luna", None, msgspec.json.encode({"status": f"s{number}"})))
        ids = device.log.append(drafts, NOW + number)
        if turn == 12:
            devices.append(boxe.clone(77))
            boxe.emit("here")
            devices[-1].emit("there")
        if turn == 20:
            device.redact(EventId(ids[0].origin, ids[0].seq))
        send(device, rng.choice([other for other in devices if other is not device]))
        if rng.random() < 0.5:
            catch_up(rng.choice(devices).kv, page=rng.choice((1, 7, 1_000)))
    converge(devices)
    found = [stored(device) for device in devices]
    for device, kept in zip(devices, found, strict=True):
        fresh = scratch(device)
        assert {key: value for key, value in kept.items() if key[:1] != b"\x00"} == {
            key: value for key, value in fresh.items() if key[:1] != b"\x00"
        }
    plain = [{key: value for key, value in kept.items() if key[:1] in b"vsci"} for kept in found]
    assert plain[0] == plain[1] == plain[2]
    assert any(state.forks for state in boxe.log.origins())


@pytest.mark.parametrize("damaged", [b"\x00", agents.PREFIX])
def test_view_that_cannot_be_read_is_folded_anew(damaged: bytes) -> None:
    """A row of it is no event: it can be made again."""
    device = Device("BOXE")
    device.log.append([Draft("status", "luna", None, b'{"status":"active"}')], NOW)
    catch_up(device.kv)
    with device.kv.write() as txn:
        key = next(key for key, _ in txn.scan(Table.VIEWS, damaged) if key.startswith(damaged))
        txn.put(Table.VIEWS, key, b"\xc1")
    with suppress(StoreCorrupt), open_views(device.kv) as rows:
        list(agents.agents(rows))
    with open_views(device.kv) as rows:
        assert [name for _, name, _ in agents.agents(rows)] == ["luna"]


def test_two_that_fold_at_once_count_each_event_once() -> None:
    """T5.5: whoever comes second looks again"""
    device = Device("BOXE")
    device.log.append(
        [
            Draft(KIND, None, None, msgspec.json.encode({"op": "incr", "key": "k", "tag": f"{n}", "by": 1}))
            for n in range(9)
        ],
        NOW,
    )
    honest = device.kv.write
    raced: list[bool] = []

    def write() -> object:
        if not raced:
            raced.append(True)
            catch_up(device.kv, page=4)
        return honest()

    device.kv.write = write  # type: ignore[assignment, method-assign]
    catch_up(device.kv, page=4)
    with open_views(device.kv) as rows:
        assert shared.count(rows, "k") == 9
