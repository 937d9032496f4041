"""Flush: is everything written here safe elsewhere?"""

from __future__ import annotations

import pytest

from hcom_replica.core.settings import Settings
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Presence, decode_ask
from tests.unit.core.builders import WALL, Device, draft, noise
from tests.unit.core.host import Host


def host_of(events: int = 3, settings: Settings | None = None) -> Host:
    device = Device("BOXE")
    device.append(*[draft()] * events)
    return Host(device, settings)


def nova_of(host: Host) -> Device:
    """Another device that has all there is, and is online."""
    nova = Device("NOVA")
    nova.append(draft())
    nova.send_to(host.device)
    host.appended()
    host.device.send_to(nova)
    host.told(nova, Kind.PRESENCE, Presence(nova.counter(), WALL, online=True))
    host.told(nova, Kind.HEAD, nova.head())
    return nova


def test_flush_without_a_link_says_so_and_goes_on_when_there_is_one() -> None:
    host = host_of().run()
    number = host.machine.start_flush(host.now, None)
    result = host.run(1_000).machine.flush_result(number)
    assert (result.done, result.safe_in, result.reason) == (False, None, "not connected to a broker")
    result = host.connect().run(5_000).machine.flush_result(number)
    assert (result.done, result.safe_in) == (True, "broker")


def test_flush_is_done_when_another_device_has_acknowledged_all() -> None:
    host = host_of().connect()
    nova = nova_of(host)
    number = host.machine.start_flush(host.now, None)
    assert not host.run().machine.flush_result(number).done
    assert [decode_ask(payload).what for _, payload in host.take(Kind.ASK)] == [1], "it asks for vectors now"
    host.told(nova, Kind.VECTOR, nova.vector())
    result = host.machine.flush_result(number)
    assert (result.done, result.safe_in, result.reason) == (True, "device", "")


def test_flush_with_an_acknowledgement_of_something_else_is_not_done_by_it() -> None:
    """P6.4, S6"""
    host = host_of().connect()
    nova = nova_of(host)
    number = host.machine.start_flush(host.now, None)
    own = host.device.own
    for ack in (Ack(own.seq, bytes(8)), Ack(own.seq + 1, own.tip[:8])):
        host.told(nova, Kind.VECTOR, nova.vector(entries={own.id: ack}))
        assert not host.machine.flush_result(number).done


def test_flush_with_nobody_there_reads_the_mailbox_back() -> None:
    host = host_of().connect()
    number = host.machine.start_flush(host.now, None)
    result = host.run(1_000).machine.flush_result(number)
    assert (result.done, result.safe_in) == (True, "broker")


def test_flush_of_a_log_with_nothing_but_its_hello_is_done() -> None:
    host = Host(Device("BOXE")).connect()
    number = host.machine.start_flush(host.now, None)
    assert host.run(1_000).machine.flush_result(number).done


def test_flush_for_a_device_is_not_done_by_another_nor_by_the_mailbox() -> None:
    host = host_of().connect()
    nova = nova_of(host)
    host.told(nova, Kind.VECTOR, nova.vector())
    luna, mine = (host.machine.start_flush(host.now, name) for name in ("LUNA", "NOVA"))
    host.run(10_000)
    assert host.machine.flush_result(mine).done
    assert host.machine.flush_result(luna).reason == "no device LUNA is known"


def test_flush_of_an_event_too_large_for_the_mailbox_says_so() -> None:
    """P8.6"""
    host = host_of(settings=Settings(mailbox_slots=4)).connect()
    host.device.append(*noise(1, 400_000))
    host.appended()
    number = host.machine.start_flush(host.now, None)
    result = host.run(10_000).machine.flush_result(number)
    assert not result.done
    assert "too large for the mailbox" in result.reason


def test_flush_with_a_broker_that_refuses_the_mailbox_says_so() -> None:
    host = host_of().connect()
    host.refuse = True
    number = host.machine.start_flush(host.now, None)
    result = host.run(5_000).machine.flush_result(number)
    assert not result.done
    assert "refuses the mailbox" in result.reason


def test_flush_with_a_broker_that_loses_what_it_took_is_done_only_when_it_holds_it() -> None:
    host = host_of().connect()
    host.run(20_000)
    for topic in [topic for topic in host.retained if "/m/" in topic]:
        del host.retained[topic]
    number = host.machine.start_flush(host.now, None)
    assert not host.run(1_000).machine.flush_result(number).done
    assert host.run(20_000).machine.flush_result(number).done
    assert any("/m/" in topic for topic in host.retained)


def test_flush_that_nobody_waits_for_is_forgotten() -> None:
    host = host_of().run()
    number = host.machine.start_flush(host.now, None)
    host.machine.end_flush(number)
    with pytest.raises(KeyError):
        host.machine.flush_result(number)
