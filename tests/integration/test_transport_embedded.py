"""Where amqtt needs help: an orderly end is one, and nobody is sent what others asked for."""

from __future__ import annotations

from pathlib import Path

from hcom_replica.ports import Delivered, Will
from hcom_replica.testing.real.brokers import EmbeddedTestBroker
from hcom_replica.testing.real.proxy import ChaosProxy
from tests.harness.links import LinkOwner


def test_close_with_answers_on_their_way_leaves_no_will(tmp_path: Path) -> None:
    """A socket closed with unread bytes in it is reset, and amqtt takes that for a death."""
    with EmbeddedTestBroker(tmp_path) as broker, LinkOwner(broker.address) as watching:
        watching.subscribed("will/+", "end")
        for number in range(5):
            leaving = LinkOwner(broker.address, will=Will(f"will/{number}", b"died")).up()
            for token in range(30):
                leaving.link.publish(f"x/{token}", b"", retain=True, token=token)
            leaving.close()
        watching.published("end", b"")
        watching.wait_for(Delivered, lambda message: message.topic == "end")
        assert [message.topic for message in watching.of(Delivered)] == ["end"]


def test_new_connection_is_sent_nothing_that_it_did_not_subscribe_to(tmp_path: Path) -> None:
    with (
        EmbeddedTestBroker(tmp_path) as broker,
        LinkOwner(broker.address) as first,
        ChaosProxy(broker.port) as watched,
    ):
        first.subscribed("big/+")
        for number in range(20):
            first.published(f"big/{number}", bytes(10_000), retain=True)
        with LinkOwner(watched.address) as second:
            second.subscribed("small")
            assert watched.bytes_down < 1_000
            second.subscribed("big/3")
            second.wait_for(Delivered, lambda message: message.topic == "big/3" and message.retain)
