"""What goes over the control socket."""

from __future__ import annotations

import pytest

from hcom_replica.daemon.messages import (
    MESSAGE_BYTES_MAX,
    Fault,
    FlushAnswer,
    Inbox,
    Request,
    Response,
    error_of,
    fault_of,
    pack,
    read,
    unpack,
)
from hcom_replica.errors import BrokerError, ConfigError, DaemonError, ReplicaError, StoreFull, TokenError


def test_messages_cut_anywhere_come_out_whole_and_in_order() -> None:
    data = pack(Request("one", {"a": 1})) + pack(Request("two"))
    inbox = Inbox()
    out = [message for byte in data for message in inbox.feed(bytes([byte]))]
    assert [unpack(message, Request) for message in out] == [Request("one", {"a": 1}), Request("two")]


def test_message_over_the_limit_is_refused() -> None:
    with pytest.raises(DaemonError):
        list(Inbox().feed((MESSAGE_BYTES_MAX + 1).to_bytes(4, "big")))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93", b"\x81\xa2op\x01"])
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    with pytest.raises(DaemonError):
        unpack(data, Request)


@pytest.mark.parametrize("error", [BrokerError("a", hint="b"), ConfigError("c"), TokenError("t"), StoreFull("d")])
def test_error_that_crosses_keeps_its_class_and_words(error: ReplicaError) -> None:
    crossed = error_of(unpack(pack(Response(fault=fault_of(error)))[4:], Response).fault or Fault("", ""))
    assert type(crossed) is type(error)
    assert (crossed.message, crossed.hint) == (error.message, error.hint)


def test_error_of_an_unknown_kind_is_a_daemon_error() -> None:
    assert type(error_of(Fault("of-tomorrow", "m"))) is DaemonError


def test_result_of_another_shape_is_refused_with_a_hint() -> None:
    with pytest.raises(DaemonError) as caught:
        read({"done": "perhaps"}, FlushAnswer)
    assert "restart" in caught.value.hint
