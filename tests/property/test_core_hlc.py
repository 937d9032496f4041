"""Laws of hybrid logical clocks and of appending (P3.2 to P3.5, P4.1 to P4.3)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hcom_replica.core.append import Writer, WriterState, append
from hcom_replica.core.hlc import drift_ms, following, merge, millis, pack
from hcom_replica.core.verify import verify_batch
from hcom_replica.ids import OriginId, order_key
from hcom_replica.limits import DRIFT_MS_MAX
from hcom_replica.wire.batch import Batch, Commit, decode_batch, encode_batch
from hcom_replica.wire.event import Draft
from hcom_replica.wire.signing import DeviceKey
from tests.unit.core.builders import KEYS

HLCS = st.integers(0, (1 << 64) - 1)
MS = st.integers(0, (1 << 47) - 1)
WRITER = Writer(DeviceKey(bytes(32)), KEYS.group, "BOXE")


@given(HLCS, MS)
def test_next_hlc_is_above_all_seen_and_not_below_the_wall(high: int, now_ms: int) -> None:
    hlc = following(high, now_ms)
    assert hlc > high
    assert hlc >= pack(now_ms)
    assert hlc == high + 1 or hlc == pack(now_ms)


@given(HLCS, HLCS, MS)
def test_merging_never_goes_back_nor_beyond_the_bound(high: int, remote: int, now_ms: int) -> None:
    merged = merge(high, remote, now_ms)
    assert merged >= high
    assert merged in (high, remote)
    if merged != high:
        assert millis(merged) <= now_ms + DRIFT_MS_MAX
    if drift_ms(remote, now_ms):
        assert merged == high


@given(HLCS, st.lists(HLCS, max_size=5), MS)
def test_merging_is_the_same_in_any_order(high: int, remotes: list[int], now_ms: int) -> None:
    def fold(values: list[int]) -> int:
        result = high
        for value in values:
            result = merge(result, value, now_ms)
        return result

    assert fold(remotes) == fold(remotes[::-1]) == fold(remotes + remotes)


@given(st.lists(st.tuples(HLCS, st.binary(min_size=8, max_size=8)), max_size=20))
def test_keys_sort_as_events_do(events: list[tuple[int, bytes]]) -> None:
    """P3.2, T2.1"""
    by_key = sorted(events, key=lambda event: order_key(event[0], OriginId(event[1])))
    assert by_key == sorted(events)


DRAFTS = st.builds(
    Draft,
    st.text(min_size=1, max_size=16).filter(lambda kind: not kind.startswith("_")),
    st.one_of(st.none(), st.text(min_size=1, max_size=64)),
    st.one_of(st.none(), st.integers(1 - (1 << 63), (1 << 63) - 1)),
    st.one_of(st.binary(max_size=50), st.integers(0, 60_000).map(bytes)),
)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(DRAFTS, min_size=1, max_size=300), st.integers(-200_000, 200_000)), min_size=1, max_size=4
    )
)
def test_whatever_is_appended_verifies_and_keeps_its_bytes(appends: list[tuple[list[Draft], int]]) -> None:
    """P3.1, P3.5, P4.1 to P4.4: with a clock that jumps"""
    state, now_ms = WriterState(None, 0), 1_800_000_000_000
    for number, (drafts, jump) in enumerate(appends):
        now_ms += jump
        done = append(WRITER, state, drafts, now_ms, number.to_bytes(8, "big"))
        assert not drift_ms(done.hlcs[0], now_ms)
        fresh = state.origin is None or done.origin.id != state.origin.id
        before = state.origin if not fresh else None
        batch = Batch(
            done.origin.id,
            done.first,
            before.tip if before is not None else done.origin.hash,
            before.cum if before is not None else 0,
            done.records,
            [Commit(row.seq, row.signature) for row in done.commits],
            None if before is not None else done.origin.descriptor,
        )
        run = verify_batch(KEYS.group, decode_batch(encode_batch(batch)), before)
        assert run.records == done.records
        assert (run.tips[-1], run.commits) == (done.origin.tip, done.commits)
        assert run.hlcs == done.hlcs == sorted(set(done.hlcs))
        state = WriterState(done.origin, done.high_water)
