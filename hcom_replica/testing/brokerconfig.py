"""What a simulated broker can and will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class BrokerConfig:
    """What this broker can and will do. May be changed while it runs.

    Attributes:
        version: 5 or 4 (MQTT 3.1.1, where nothing can be refused in a PUBACK and nothing is announced).
        retain: "keep"; "ignore": delivered live, never stored; "refuse": the publisher is disconnected.
        retain_wildcard: False gives no retained messages to filters with + or #, as RabbitMQ.
        retained_lag_ms: how much later than a live message a stored one may come; above 0, an older stored
            value can arrive after a newer live one, as clusters do.
        retained_count_max, retained_bytes_max: quota; a value beyond it is delivered live but not stored.
        quota_refuses: the quota is told in the PUBACK instead of silently (MQTT 5).
        packet_bytes_max: limit of one packet; None is none.
        oversize: a packet over the limit "disconnect"s its sender, or is acknowledged and lost ("drop").
        deny_publish, deny_subscribe: the access list: publishes to topics that match, and subscriptions of exactly
            these filters, are refused.
        refuse_clients: reason to refuse every CONNECT with; empty accepts.
        inflight_max, queued_max: a session's unacknowledged and waiting messages; beyond both they are lost.
        session_bytes_per_s: pace of each session's deliveries; None is unlimited.
    """

    version: Literal[4, 5] = 5
    retain: Literal["keep", "ignore", "refuse"] = "keep"
    retain_wildcard: bool = True
    retained_lag_ms: tuple[int, int] = (0, 0)
    retained_count_max: int | None = None
    retained_bytes_max: int | None = None
    quota_refuses: bool = False
    packet_bytes_max: int | None = None
    oversize: Literal["disconnect", "drop"] = "disconnect"
    deny_publish: tuple[str, ...] = ()
    deny_subscribe: tuple[str, ...] = ()
    refuse_clients: str = ""
    inflight_max: int = 20
    queued_max: int = 1_000
    session_bytes_per_s: int | None = None

    def packet_bytes(self, topic: str, payload: bytes) -> int:
        """Size of a QoS 1 PUBLISH packet of this version: fixed header, topic, packet id, (no) properties, payload."""
        body = 4 + len(topic) + len(payload) + (self.version == 5)
        return 2 + (body > 127) + (body > 16_383) + (body > 2_097_151) + body
