"""`Replica` as a Python program uses it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.errors import ConfigError, LimitError, UsageError


def test_first_example_of_the_readme_works(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r", name="BOXE") as replica:
        name = replica.append("status", {"status": "blocked"}, agent="luna")
        (event,) = replica.events(where='data.status == "blocked"')
    assert event.id == name
    assert (event.name, event.data) == ("luna:BOXE", {"status": "blocked"})


def test_open_without_create_where_nothing_is_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no replica"):
        Replica.open(tmp_path / "r", create=False)
    assert not (tmp_path / "r").exists()


def test_open_with_a_name_keeps_it(tmp_path: Path) -> None:
    Replica.open(tmp_path / "r", name="BOXE").close()
    with Replica.open(tmp_path / "r", create=False) as replica:
        assert replica.device == "BOXE"
    with pytest.raises(UsageError):
        Replica.open(tmp_path / "r", name="boxe")


def test_append_many_takes_tuples_dicts_and_keeps_their_order(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        ids = replica.append_many([("a",), ("b", 1, "luna"), {"kind": "c", "time": "2020-01-01"}])
        assert [event.id for event in replica.events()] == ids
        assert [event.kind for event in replica.events()] == ["a", "b", "c"]


@pytest.mark.parametrize("item", [(), ("k", 1, "a", "t", "more"), {"knd": "k"}, {}])
def test_append_many_with_what_is_no_event_is_refused(tmp_path: Path, item: tuple[object, ...]) -> None:
    with Replica.open(tmp_path / "r") as replica:
        with pytest.raises(UsageError, match="not an event"):
            replica.append_many([item])
        assert list(replica.events()) == []


def test_append_of_what_is_over_a_limit_appends_nothing(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        for kind, data, agent in (("k" * 65, None, None), ("k", "x" * (4 << 20), None), ("k", None, "a" * 257)):
            with pytest.raises(LimitError):
                replica.append(kind, data, agent)
        assert list(replica.events(system=True)) == []


def test_events_by_several_kinds_and_agents_takes_any_of_them(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        replica.append_many((kind, None, agent) for kind in "abc" for agent in ("luna", "nova", None))
        assert [event.agent for event in replica.events(kind=["a", "c"], agent=["luna", "nova"])] == [
            "luna",
            "nova",
        ] * 2
        assert [event.kind for event in replica.events(limit=4, order="arrival")] == ["b", "c", "c", "c"]
        assert [event.kind for event in replica.events(limit=4)] == ["b", "c", "c", "c"]


def test_events_newest_by_arrival_reaches_far_back_for_what_passes(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        replica.append_many([("old", 1), ("old", 2)])
        replica.append_many(("new", number) for number in range(2_500))
        assert [event.data for event in replica.events(kind="old", limit=1, order="arrival")] == [2]
        assert [event.data for event in replica.events(kind="old", limit=9, order="arrival")] == [1, 2]


def test_follow_sees_what_another_thread_appends(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        replica.append("before")
        follower = replica.follow(kind="k", timeout_s=30)

        def write() -> None:
            with Replica.open(tmp_path / "r") as other:
                other.append("other")
                other.append("k", 1)

        writer = threading.Thread(target=write)
        writer.start()
        assert next(follower).data == 1
        writer.join()
        follower.close()
