"""Topics and filters of MQTT: what is one, what matches what, and values kept under them.

`#` and `+` do not match a first level that begins with `$`; `a/#` matches `a`. Shared subscriptions are not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Generic, TypeVar

from hcom_replica.errors import UsageError

V = TypeVar("V")


@lru_cache(maxsize=1 << 16)
def levels(path: str) -> tuple[str, ...]:
    """The levels of a topic or filter."""
    return tuple(path.split("/"))


def is_wildcard(path: str) -> bool:
    """Whether a filter has + or #."""
    return "+" in path or "#" in path


def check_filter(path: str) -> str:
    """Return `path` if it is a filter that this broker knows.

    Raises:
        UsageError: it is empty, shared, or has a misplaced + or #.
    """
    parts = levels(path)
    misplaced = any(is_wildcard(part) and part not in ("+", "#") for part in parts) or "#" in parts[:-1]
    if not path or misplaced or parts[0] == "$share":
        raise UsageError(f"not a topic filter: {path!r}")
    return path


def matches(path: str, topic: str) -> bool:
    """Whether the filter `path` matches `topic`."""
    tree: TopicTree[bool] = TopicTree()
    tree.put(topic, value=True)
    return bool(tree.matching_filter(path))


class _Node(Generic[V]):
    """A level: the levels below by name, and the value of the path that ends here; None when none does."""

    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Node[V]] = {}
        self.value: V | None = None


class TopicTree(Generic[V]):
    """Values under topics or filters, found by level: topics that match a filter, or filters that match a topic."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()

    def put(self, path: str, value: V) -> None:
        """Store or replace."""
        node = self._root
        for part in levels(path):
            node = node.children.setdefault(part, _Node())
        node.value = value

    def get(self, path: str) -> V | None:
        """The value at exactly `path`."""
        node: _Node[V] | None = self._root
        for part in levels(path):
            node = node.children.get(part) if node is not None else None
        return node.value if node is not None else None

    def pop(self, path: str) -> None:
        """Remove what is at exactly `path`, if anything, and the branches that this leaves empty."""
        trail = [self._root]
        for part in levels(path):
            child = trail[-1].children.get(part)
            if child is None:
                return
            trail.append(child)
        trail[-1].value = None
        for parent, child, part in reversed(list(zip(trail, trail[1:], levels(path), strict=False))):
            if child.value is not None or child.children:
                return
            del parent.children[part]

    def matching_topic(self, topic: str) -> list[V]:
        """Values of the stored filters that match `topic`."""
        found: list[V] = []
        nodes = [self._root]
        for depth, part in enumerate(levels(topic)):
            wild = ("+", "#") if depth or not part.startswith("$") else ()
            if wild:
                found.extend(v for n in nodes if (h := n.children.get("#")) and (v := h.value) is not None)
            nodes = [c for n in nodes for name in (part, *wild[:1]) if (c := n.children.get(name)) is not None]
            if not nodes:
                return found
        found.extend(v for n in nodes if (v := n.value) is not None)
        found.extend(v for n in nodes if (h := n.children.get("#")) and (v := h.value) is not None)
        return found

    def matching_filter(self, path: str) -> list[V]:
        """Values of the stored topics that match the filter `path`, in the order they were first stored per level."""
        nodes = [self._root]
        for depth, part in enumerate(levels(path)):
            if part == "#":
                return [value for node in nodes for value in self._below(node, hide_dollar=not depth)]
            if part == "+":
                nodes = [c for n in nodes for name, c in n.children.items() if depth or not name.startswith("$")]
            else:
                nodes = [c for n in nodes if (c := n.children.get(part)) is not None]
        return [value for node in nodes if (value := node.value) is not None]

    def _below(self, node: _Node[V], *, hide_dollar: bool) -> Iterator[V]:
        stack = [node]
        while stack:
            top = stack.pop()
            if top.value is not None:
                yield top.value
            children = [c for name, c in top.children.items() if not (hide_dollar and name.startswith("$"))]
            stack.extend(reversed(children))
            hide_dollar = False
