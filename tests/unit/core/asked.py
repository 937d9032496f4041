"""A device that is asked for its status: what it has heard of others is as its daemon has noted it."""

from __future__ import annotations

from hcom_replica.core.info import LiveInfo
from hcom_replica.core.membership import Viewer
from hcom_replica.core.status import DaemonStatus, Status, StatusInput, build_status
from hcom_replica.core.statusrows import OriginRow
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Payload
from tests.unit.core.builders import KEYS, WALL, Device, Parts, at, draft


class Asking:
    """A device that has heard others, and no daemon."""

    def __init__(self) -> None:
        self.device = Device("BOXE")
        self.device.append(*[draft()] * 4)
        self.parts = Parts(self.device)
        self.founder = b""

    def hear(self, peer: Device, kind: Kind, message: Payload) -> None:
        self.parts.peers.accept(kind, peer.author, 0, encode(message), live=True, now=at(0))
        self.device.log.note_peers(self.parts.peers.take_notes())

    def status(
        self, now_ms: int = WALL, live: LiveInfo | None = None, place: tuple[str, ...] = (), trouble: str = ""
    ) -> Status:
        log = self.device.log
        return build_status(
            log,
            StatusInput(
                Viewer(self.device.key, KEYS, self.founder), "BOXE", [*log.peers()], now_ms, log.event_count(),
                DaemonStatus(running=live is not None, pid=None), None, live, str, place, trouble=trouble,
            ),
        )  # fmt: skip

    def row(self, of: Device) -> OriginRow:
        (row,) = [row for row in self.status().devices if row.origin == of.own.id.hex()]
        return row
