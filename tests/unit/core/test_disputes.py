"""Claims that contradict what is held: looked into once each (P4.9)."""

from __future__ import annotations

import pytest

from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Fill, Want, decode_want
from tests.unit.core.builders import TOPICS, Device, draft
from tests.unit.core.host import Host


@pytest.fixture
def nova() -> Device:
    device = Device("NOVA")
    device.append(draft(b"1"))
    return device


@pytest.fixture
def host(nova: Device) -> Host:
    """BOXE, who holds one branch of NOVA's log, two events long."""
    boxe, branch = Device("BOXE"), nova.clone()
    boxe.append(draft(b"own"))
    branch.append(draft(b"this"))
    branch.send_to(boxe)
    return Host(boxe).connect().run(3_000)


def wants(host: Host, nova: Device) -> list[tuple[Want, int]]:
    """Wants that ask for NOVA's log, and from which seq."""
    asked = [decode_want(payload) for _, payload in host.take(Kind.WANT)]
    return [(want, item.first) for want in asked for item in want.items if item.hash == nova.own.hash]


def test_claim_of_other_bytes_at_the_same_length_is_asked_for_from_before(host: Host, nova: Device) -> None:
    """P4.9: nobody lacks anything by number."""
    nova.append(draft(b"that"))
    host.told(nova, Kind.VECTOR, nova.vector())
    host.told(nova, Kind.HEAD, nova.head())
    host.run(3_000)
    asked = wants(host, nova)
    assert asked
    assert min(first for _, first in asked) <= nova.own.seq


def test_claim_of_the_same_bytes_is_not_asked_for(host: Host, nova: Device) -> None:
    """P4.9"""
    held = host.device.log.origin_state(nova.own.id)
    assert held is not None
    host.told(nova, Kind.VECTOR, nova.vector(entries={nova.own.id: Ack(held.seq, held.tip[:8])}))
    host.run(3_000)
    assert not wants(host, nova)


def test_false_claim_whose_author_has_nothing_else_is_not_asked_for_again(host: Host, nova: Device) -> None:
    """P4.9: an answer of nothing but what is held ends the search, until the author claims something else."""
    luna = Device("LUNA", draw=5)
    luna.append(draft(b"x"))
    held = host.device.log.origin_state(nova.own.id)
    assert held is not None
    lie = {nova.own.id: Ack(held.seq, bytes(8)), luna.own.id: Ack(luna.own.seq, luna.own.tip[:8])}
    host.told(luna, Kind.HEAD, luna.head())
    host.told(luna, Kind.VECTOR, luna.vector(entries=lie))
    host.run(1_500)
    want, first = wants(host, nova)[-1]
    topic = TOPICS.fill(nova.own.id, first)
    answer = encode(Fill(want.id, True, 0, host.device.batch_bytes(nova.own.id)))
    host.hear(topic, luna.sealed(Kind.FILL, topic, answer))
    host.told(luna, Kind.VECTOR, luna.vector(entries=lie))
    host.run(60_000)
    assert not wants(host, nova)
