"""What comes under the topics of earlier epochs, and what of it is dropped (protocol-v1 P12.13, P12.14)."""

from __future__ import annotations

import random

import pytest

from hcom_replica.core.context import Context
from hcom_replica.core.inbox import Inbox
from hcom_replica.core.membership import Viewer
from hcom_replica.core.settings import Settings
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.epoch import Notice, encode_notice, make_record
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import ASK_OFF, Ask, Rekey, Want
from tests.unit.core.builders import KEYS, TOPICS, WALL, Device, at

SOMEBODY = OriginId(b"somebody")
SECOND = GroupKeys(KEYS.group, bytes(32), 2)


def made(name: str) -> Device:
    device = Device(name)
    device.append()
    return device


def hearing(device: Device, boot: int = 1) -> tuple[Context, Inbox]:
    """A founder in its second epoch."""
    viewer = Viewer(device.key, SECOND, device.key.public, (KEYS,))
    context = Context(viewer, device.log, Settings(), random.Random(3), boot)
    return context, Inbox(context, lambda: None)


@pytest.mark.parametrize(
    ("kind", "topic"),
    [
        (Kind.LIVE, TOPICS.live),
        (Kind.SEGMENT, TOPICS.segment(SOMEBODY, 0)),
        (Kind.HEAD, TOPICS.head(SOMEBODY)),
        (Kind.REKEY, TOPICS.rekeyed(SOMEBODY)),
        (Kind.GONE, TOPICS.gone(SOMEBODY)),
        (Kind.WANT, TOPICS.want),
        (Kind.ASK, TOPICS.ask),
    ],
)
def test_word_under_earlier_topics_that_is_no_slot_of_its_author_is_dropped(kind: Kind, topic: str) -> None:
    """P6.1, P12.13: no live batch is read there either, no want and no question"""
    boxe, nova = made("BOXE"), made("NOVA")
    context, inbox = hearing(boxe)
    said = {Kind.HEAD: encode(nova.head()), Kind.WANT: encode(Want(1, boxe.own.id, 1 << 18, [])),
            Kind.ASK: encode(Ask(1, None, ASK_OFF))}  # fmt: skip
    payload = nova.sealed(kind, topic, said.get(kind, nova.batch_bytes()))
    with pytest.raises(ProtocolError) as error:
        inbox.receive(at(0), topic, payload, retain=False)
    assert error.value.reason == "topic"
    assert (list(context.peers), context.intake.staged_bytes, inbox.off_requested) == ([], 0, False)


@pytest.mark.parametrize(("boot", "reopens"), [(1, True), (2, False)], ids=["clone", "process before"])
def test_notice_in_our_name_that_no_process_before_this_one_wrote_opens_an_incarnation(
    boot: int, reopens: bool
) -> None:
    """P7.2, P12.13"""
    boxe = made("BOXE")
    context, inbox = hearing(boxe, boot)
    record = make_record(SECOND, boxe.key, [boxe.key.public], [], boxe.rng.randbytes)
    message = Rekey(boxe.counter(boot=1), WALL, encode_notice(Notice((record,), ())))
    topic = TOPICS.rekeyed(boxe.own.id)
    inbox.receive(at(0), topic, boxe.sealed(Kind.REKEY, topic, encode(message)), retain=True)
    assert context.reopening is reopens
