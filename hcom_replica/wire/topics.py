"""Topic names (protocol-v1 section 6), derived from the group key: a broker learns no group, device or origin."""

from __future__ import annotations

from collections.abc import Iterable

from hcom_replica.ids import OriginId
from hcom_replica.wire.hashing import blake2b
from hcom_replica.wire.keys import GroupKeys


class Topics:
    """All topic names of one group at one epoch; and, at hand, those of its earlier epochs.

    Args:
        keys: the group's keys.
        path: extra levels before the prefix, for brokers whose rules ask for them; empty for none.

    Attributes:
        keys: the epoch's.
        prefix: what all of its topics begin with.
        earlier: prefix -> topics of an earlier epoch.
    """

    def __init__(self, keys: GroupKeys, path: str = "") -> None:
        self._path = path
        self.rekey(keys, ())

    def rekey(self, keys: GroupKeys, earlier: Iterable[GroupKeys]) -> None:
        """Name the topics of another epoch from now on."""
        self.keys = keys
        self.prefix = f"{self._path}/{keys.prefix}" if self._path else keys.prefix
        self._leaves: dict[bytes, str] = {}
        made = [Topics(old, self._path) for old in earlier]
        self.earlier = {topics.prefix: topics for topics in made}

    def at(self, prefix: str) -> Topics:
        """The topics of an earlier epoch; these for an empty prefix, or one that is not known."""
        return self.earlier.get(prefix, self)

    def of(self, topic: str) -> Topics:
        """The topics among which one is; these when it is none of the group's."""
        for prefix, topics in self.earlier.items():
            if topic.startswith(prefix + "/"):
                return topics
        return self

    def leaf(self, data: bytes) -> str:
        """16 hex digits that stand for `data`."""
        found = self._leaves.get(data)
        if found is None:
            found = self._leaf(data)
            if len(self._leaves) < 1 << 16:
                self._leaves[data] = found
        return found

    def _leaf(self, data: bytes) -> str:
        return blake2b(data, key=self.keys.leaf, digest_size=8).hexdigest()

    def head(self, origin: OriginId) -> str:
        """An origin's head slot."""
        return f"{self.prefix}/h/{self.leaf(origin)}"

    def vector(self, origin: OriginId, page: int) -> str:
        """One page of a device's version vector."""
        return f"{self.prefix}/v/{self.leaf(origin)}/{page}"

    def index(self, origin: OriginId) -> str:
        """What a device's mailbox ring holds."""
        return f"{self.prefix}/i/{self.leaf(origin)}"

    def standing(self, origin: OriginId) -> str:
        """A device's request to nobody in particular."""
        return f"{self.prefix}/s/{self.leaf(origin)}"

    def presence(self, origin: OriginId) -> str:
        """Online or not; also the will."""
        return f"{self.prefix}/p/{self.leaf(origin)}"

    def segment(self, origin: OriginId, slot: int) -> str:
        """One slot of a device's mailbox ring."""
        return f"{self.prefix}/m/{self.leaf(origin)}/{slot}"

    def fill(self, origin: OriginId, first: int) -> str:
        """Answers to all wants for an origin's events from `first` on (P6.6); one of very many, so it is not kept."""
        return f"{self.prefix}/b/{self._leaf(origin + first.to_bytes(8, 'big'))}"

    def rekeyed(self, origin: OriginId) -> str:
        """What a device says of later epochs to those who are in this one."""
        return f"{self.prefix}/r/{self.leaf(origin)}"

    def gone(self, origin: OriginId) -> str:
        """Where the group has gone to, as a device says it that leaves a broker (P16.4)."""
        return f"{self.prefix}/g/{self.leaf(origin)}"

    def fence(self, nonce: bytes) -> str:
        """An own topic for one connection."""
        return f"{self.prefix}/f/{nonce.hex()}"

    @property
    def heads(self) -> str:
        """The filter for the heads of all."""
        return f"{self.prefix}/h/+"

    @property
    def live(self) -> str:
        """New commits, as they are made."""
        return f"{self.prefix}/l"

    @property
    def want(self) -> str:
        """Requests for ranges."""
        return f"{self.prefix}/w"

    @property
    def ask(self) -> str:
        """Requests for something else than ranges."""
        return f"{self.prefix}/a"

    def shared(self) -> list[str]:
        """The filters that every device holds while it is connected."""
        others = ("v/+/+", "i/+", "s/+", "p/+", "r/+", "g/+", "l", "w", "a")
        return [self.heads, *(f"{self.prefix}/{tail}" for tail in others)]

    def watched(self, own: Iterable[OriginId]) -> list[str]:
        """The filters that a device holds under these topics when they are of an earlier epoch (P12.13 to P12.15).

        Args:
            own: the origins of the device, whose mailboxes it may have to clear.
        """
        shared = [f"{self.prefix}/{tail}" for tail in ("r/+", "g/+", "h/+", "v/+/+", "i/+", "s/+", "p/+")]
        return [*shared, *(f"{self.prefix}/m/{self.leaf(origin)}/+" for origin in own)]

    def slot_page(self, topic: str, group: str, origin: OriginId) -> int | None:
        """The page that a topic names, when it is an origin's slot of a class; else None (P6.1).

        Args:
            topic: from anyone.
            group: h, v, i, s, p, r or g.
            origin: whose slot it is to be.
        """
        found, leaves = self.parse(topic)
        if found != group or leaves[:1] != [self.leaf(origin)]:
            return None
        if group != "v":
            return 0 if len(leaves) == 1 else None
        page = leaves[1] if len(leaves) == 2 else ""
        return int(page) if page.isascii() and page.isdigit() and len(page) < 5 else None

    def parse(self, topic: str) -> tuple[str, list[str]]:
        """Split a topic of this group into class and leaves; ("", []) when it is not one."""
        if not topic.startswith(self.prefix + "/"):
            return "", []
        kind, *leaves = topic[len(self.prefix) + 1 :].split("/")
        return kind, leaves
