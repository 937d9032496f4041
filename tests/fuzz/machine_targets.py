"""The whole machine: whatever an outsider or a member sends it, on whatever topic, it drops, counts and goes on."""

from __future__ import annotations

from typing import Final

from hcom_replica.core.settings import Settings
from hcom_replica.limits import MIB
from hcom_replica.wire.frame import Kind, Packed, close_frame
from hcom_replica.wire.signing import DeviceKey
from tests.fuzz.target import Run, Target
from tests.fuzz.vectors import payloads
from tests.unit.core.builders import KEYS, TOPICS, Device, draft
from tests.unit.core.host import Host

_TICK_EVERY: Final = 16
_GROUPS: Final = "hvispwlabmf"
_UNSIGNED: Final = (Kind.LIVE, Kind.FENCE)


def _member() -> Device:
    device = Device("NOVA")
    device.append(*[draft(b"%d" % number) for number in range(3)])
    return device


_MEMBER: Final = _member()


def _topic(kind: Kind, where: int) -> str:
    """The author's slot of that kind, mostly; else somebody's, or none at all."""
    group = {Kind.LIVE: "l", Kind.WANT: "w", Kind.FILL: "b", Kind.FILL_PART: "b", Kind.SEGMENT: "m",
             Kind.SEGMENT_PART: "m", Kind.ASK: "a", Kind.FENCE: "f"}.get(kind, kind.name[0].lower())  # fmt: skip
    if where > 250:
        group = _GROUPS[where % len(_GROUPS)]
    base = f"{TOPICS.prefix}/{group}"
    if group in "lwa":
        return base
    page = f"/{where % 5}" if group in "vm" else ""
    leaf = TOPICS.leaf(_MEMBER.own.id) if group != "b" else TOPICS.fill(_MEMBER.own.id, 1).rpartition("/")[2]
    return f"{base}/{leaf}{page}"


def _running() -> Run:
    """A machine that is connected, and hears one message after the other."""
    device = Device("BOXE")
    device.append(draft(b"1"))
    host = Host(device, Settings(mailbox_slots=4)).connect()
    heard = 0

    def run(given: bytes) -> None:
        """Kind, where, codec, then the payload; kind 15 is what an outsider sends."""
        nonlocal heard
        head = given[:3].ljust(3, b"\0")
        kind = Kind(1 + (head[0] & 15) % 13)
        topic = _topic(kind, head[1])
        payload = given[3:]
        if head[0] & 15 != 15:
            signer = None if kind in _UNSIGNED else _MEMBER.signer
            payload = close_frame(KEYS, topic, kind, signer, Packed(head[2] & 1, payload), bytes(24))
        host.machine.received(host.now, topic, payload, retain=bool(head[0] & 16))
        heard += 1
        if heard % _TICK_EVERY == 0:
            host.run(1_000, step_ms=500)

    return run


def _seeds() -> tuple[bytes, ...]:
    """What the vectors have of each kind, and true words of the member."""
    found = [bytes((kind - 1, 0, 0)) + payload for kind in Kind for payload in payloads(kind.name)]
    found.append(bytes((Kind.LIVE - 1, 0, 0)) + _MEMBER.batch_bytes())
    found.append(bytes((Kind.SEGMENT - 1, 0, 0)) + _MEMBER.batch_bytes())
    for kind, message in ((Kind.HEAD, _MEMBER.head()), (Kind.VECTOR, _MEMBER.vector())):
        found.append(bytes((kind - 1, 0, 0)) + _encoded(message))
    found += [b"\x0f\x00\x00" + DeviceKey(bytes(32)).public, b"\x1f\x00\x00"]
    return tuple(found)


def _encoded(message: object) -> bytes:
    from hcom_replica.wire.codec import encode

    return encode(message)


TARGETS: Final = (
    Target("machine", _running, _seeds(), (), prefix=3, weight=1, peak_bytes=24 * MIB),
)  # fmt: skip
