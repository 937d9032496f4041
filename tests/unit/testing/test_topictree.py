"""Topics, filters and what is kept under them, as MQTT has it."""

from __future__ import annotations

import pytest

from hcom_replica.errors import UsageError
from hcom_replica.testing.topictree import TopicTree, check_filter, matches


@pytest.mark.parametrize(
    ("path", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/b", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+/#", "a", False),
        ("a/+/c", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/#", "a/$x", True),
        ("+", "", True),
        ("a//b", "a//b", True),
        ("a/+/b", "a//b", True),
    ],
)
def test_match_with_a_filter_and_a_topic_follows_mqtt_both_ways(path: str, topic: str, expected: bool) -> None:
    filters: TopicTree[str] = TopicTree()
    filters.put(path, path)
    filters.put("unrelated/+/x/#", "unrelated")
    assert filters.matching_topic(topic) == ([path] if expected else [])
    assert matches(path, topic) is expected


def test_tree_after_removal_keeps_the_other_branches_only() -> None:
    tree: TopicTree[int] = TopicTree()
    for number, path in enumerate(("a", "a/b", "a/b/c", "a/d")):
        tree.put(path, number)
    for gone in ("a/b/c", "a/b/c", "x/y", "a"):
        tree.pop(gone)
    assert sorted(tree.matching_filter("#")) == [1, 3]
    assert tree.get("a/b") == 1
    assert tree.get("a/b/c") is None
    assert tree.get("a") is None
    tree.pop("a/b")
    tree.pop("a/d")
    assert not tree._root.children


@pytest.mark.parametrize("path", ["", "a#", "a/#/b", "a+/b", "$share/g/a"])
def test_check_filter_with_a_bad_one_raises_usage(path: str) -> None:
    with pytest.raises(UsageError):
        check_filter(path)
