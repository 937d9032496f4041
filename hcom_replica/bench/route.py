"""A way to a broker that counts bytes, and can be made slow or long."""

from __future__ import annotations

from typing import Self

from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.transport.url import BrokerAddress


class CountingRoute:
    """A way to a broker that counts the bytes; made before the broker's port is known. A context manager."""

    def __init__(self) -> None:
        self._proxy: ChaosProxy | None = None

    def to(self, broker: PrivateBroker) -> str:
        """Open the way; give the URL at which clients connect."""
        self._proxy = ChaosProxy(broker.port).start()
        return self._proxy.url

    @property
    def address(self) -> BrokerAddress:
        """Where clients connect."""
        return self._way.address

    @property
    def _way(self) -> ChaosProxy:
        assert self._proxy is not None, "the way is not open yet"
        return self._proxy

    def limit(self, bytes_s: int | None) -> None:
        """Carry no more than so many bytes a second each way; None is no limit."""
        self._way.limit(up_bytes_s=bytes_s, down_bytes_s=bytes_s)

    def delay(self, one_way_s: float) -> None:
        """Take so long each way."""
        self._way.delay(one_way_s)

    def down_up(self) -> tuple[int, int]:
        """Bytes passed so far to the client and from it."""
        return self._way.bytes_down, self._way.bytes_up

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._proxy is not None:
            self._proxy.stop()
