"""Topic names (section 6): short, plain, and telling nothing."""

from __future__ import annotations

import re

import pytest

from hcom_replica.ids import OriginId
from hcom_replica.limits import TOPIC_SLASHES_MAX
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.topics import Topics

KEYS = GroupKeys(b"group-of-16bytes", b"a secret of thirty-two bytes....")
ORIGIN = OriginId(b"origin--")


def names(topics: Topics) -> list[str]:
    return [
        topics.head(ORIGIN), topics.vector(ORIGIN, 9_999), topics.index(ORIGIN), topics.standing(ORIGIN),
        topics.presence(ORIGIN), topics.segment(ORIGIN, 65_535), topics.fill(ORIGIN, 1 << 52),
        topics.fence(bytes(16)), topics.live, topics.want, topics.ask,
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["", "team", "eu/team/hcom"])
def test_topics_are_of_plain_characters_and_few_levels(path: str) -> None:
    """NATS gateways take nothing else; some brokers allow seven slashes."""
    for name in [*names(Topics(KEYS, path)), *Topics(KEYS, path).shared()]:
        assert re.fullmatch(r"[A-Za-z0-9_-]+(/([A-Za-z0-9_-]+|\+))*", name)
        assert name.count("/") <= TOPIC_SLASHES_MAX


def test_topics_tell_neither_group_nor_origin() -> None:
    for name in names(Topics(KEYS)):
        assert KEYS.group.hex() not in name
        assert ORIGIN.hex() not in name


def test_topics_of_another_epoch_or_group_share_nothing() -> None:
    """Section 7: whoever was left behind sees nothing newer"""
    for other in (GroupKeys(KEYS.group, KEYS.secret, 2), GroupKeys(bytes(16), KEYS.secret)):
        assert not set(names(Topics(KEYS))) & set(names(Topics(other)))
        assert Topics(KEYS).leaf(ORIGIN) != Topics(other).leaf(ORIGIN)


def test_topic_is_split_into_class_and_leaves() -> None:
    topics = Topics(KEYS, "team")
    assert topics.parse(topics.segment(ORIGIN, 3)) == ("m", [topics.leaf(ORIGIN), "3"])
    assert topics.parse(topics.live) == ("l", [])
    for foreign in ("", topics.prefix, f"{topics.prefix}x/l", "elsewhere/l"):
        assert topics.parse(foreign) == ("", [])


def test_secrets_are_in_no_repr() -> None:
    assert KEYS.secret.hex() not in repr(KEYS)
    assert repr(KEYS.secret) not in repr(KEYS)


def test_fill_topic_is_of_an_origin_and_the_seq_that_is_asked_for() -> None:
    """P6.6"""
    topics = Topics(KEYS)
    assert topics.fill(ORIGIN, 1).split("/")[1:] == ["b", topics.leaf(ORIGIN + (1).to_bytes(8, "big"))]
    assert topics.fill(ORIGIN, 1) != topics.fill(ORIGIN, 2)
