"""Comparing with a device that answers: what is waited for, and when nothing is waited for any more."""

from __future__ import annotations

from hcom_replica.core.comparing import Comparison
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Presence, decode_ask
from tests.unit.core.builders import WALL, Device, draft, noise
from tests.unit.core.host import Host


def hosts() -> tuple[Host, Device]:
    """BOXE, which holds all that NOVA does, and NOVA, which is online and lacks what BOXE wrote."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.append(*noise(3, 100))
    nova.append(draft())
    nova.send_to(boxe)
    host = Host(boxe).connect()
    host.told(nova, Kind.PRESENCE, Presence(nova.counter(), WALL, online=True))
    host.told(nova, Kind.HEAD, nova.head())
    return host, nova


def test_device_is_asked_until_it_answers_and_what_it_said_before_is_no_answer() -> None:
    host, nova = hosts()
    host.device.send_to(nova)
    host.told(nova, Kind.VECTOR, nova.vector())
    host.take(Kind.ASK)
    number = host.machine.start_comparison(host.now, nova.own.device)
    assert host.run(1_000).machine.comparison(number) == Comparison()
    asked = [decode_ask(payload) for _, payload in host.take(Kind.ASK)]
    assert {(one.to, one.what) for one in asked} == {(nova.own.id, 1)}
    assert len(asked) > 1
    host.told(nova, Kind.VECTOR, nova.vector())
    found = host.run().machine.comparison(number)
    assert (found.answered, found.settled) == (True, True)
    host.take(Kind.ASK)
    host.run(2_000)
    assert host.take(Kind.ASK) == []


def test_comparison_waits_for_a_device_that_lacks_something_of_ours() -> None:
    host, nova = hosts()
    number = host.machine.start_comparison(host.now, nova.own.device)
    host.told(nova, Kind.VECTOR, nova.vector())
    found = host.run().machine.comparison(number)
    assert (found.answered, found.settled) == (True, False)
    host.device.send_to(nova)
    host.told(nova, Kind.VECTOR, nova.vector())
    assert host.run().machine.comparison(number).settled


def test_comparison_waits_while_what_contradicts_is_looked_for_and_counts_the_questions() -> None:
    """P4.9"""
    host, nova = hosts()
    own = host.device.own
    host.told(nova, Kind.VECTOR, nova.vector(entries={own.id: Ack(own.seq, b"another!")}))
    number = host.machine.start_comparison(host.now, nova.own.device)
    entries = {own.id: Ack(own.seq, b"another!"), nova.own.id: Ack(nova.own.seq, nova.own.tip[:8])}
    host.told(nova, Kind.VECTOR, nova.vector(entries=entries))
    found = host.run(1_000).machine.comparison(number)
    assert (found.answered, found.settled) == (True, False)
    assert found.questions == {own.id: 1}


def test_comparison_without_a_link_asks_nobody_and_one_that_was_dropped_asks_no_more() -> None:
    host, nova = hosts()
    number = host.machine.start_comparison(host.now, nova.own.device)
    host.run(1_000).take(Kind.ASK)
    host.machine.end_comparison(number)
    host.run(3_000)
    assert host.take(Kind.ASK) == []
    away = Host(Device("TUKA"))
    waiting = away.machine.start_comparison(away.now, nova.own.device)
    assert away.run(2_000).machine.comparison(waiting) == Comparison()
    assert away.published == []
