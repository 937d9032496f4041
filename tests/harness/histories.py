"""Two devices that write side by side, lose each other for hours, and meet again: in made-up time, in real folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hcom_replica import Replica
from hcom_replica.core.packer import as_batch
from hcom_replica.core.verify import verify_batch
from hcom_replica.folder import keys
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.event import Draft
from hcom_replica.wire.token import JoinToken
from tests.harness.corpus import ATUIN, AUTOMERGE, history_lines
from tests.harness.folders import device_folder, new_token

START_MS: Final = 1_769_760_000_000
"""2026-01-30T08:00:00Z."""

MINUTE_MS: Final = 60_000
AWAY: Final = range(150, 420)
"""Minutes, from START_MS, in which nothing passes between the two."""


def two_devices(folder: Path, *, events: int = 600, minutes: int = 720) -> tuple[Path, Path]:
    """Make the folders of BOXE, the founder, and TUKA, which have met again at the end.

    Args:
        folder: to make them in.
        events: of each.
        minutes: of the whole history.
    """
    token = new_token("mqtt://127.0.0.1:1")
    boxe, tuka = (device_folder(folder / name, token) for name in ("boxe", "tuka"))
    token = JoinToken(token.keys, token.brokers, keys.device_key(boxe).public)
    for made in (boxe, tuka):
        keys.set_group(made, token)
    drafts = [list(map(_draft, history_lines(name)[:events])) for name in (ATUIN, AUTOMERGE)]
    with Replica.open(boxe.root) as one, Replica.open(tuka.root) as other:
        for minute in range(minutes):
            now_ms = START_MS + minute * MINUTE_MS
            for number, (replica, texts) in enumerate(zip((one, other), drafts, strict=True)):
                upto, done = (events * count // minutes for count in (minute + 1, minute))
                if texts[done:upto]:
                    replica.log.append(texts[done:upto], now_ms + number * 20_000)
            if minute not in AWAY:
                carry(one, other, now_ms + 25_000)
                carry(other, one, now_ms + 25_000)
        carry(one, other, START_MS + minutes * MINUTE_MS)
        carry(other, one, START_MS + minutes * MINUTE_MS)
    return boxe.root, tuka.root


def carry(source: Replica, target: Replica, now_ms: int) -> None:
    """Bring what one device lacks of what the other holds, as the network does, at a given time."""
    group = source.parts.token.keys.group
    for state in source.log.origins():
        known = target.log.origin_state(state.id)
        seq = known.seq if known is not None else state.base
        while seq < state.seq:
            run = source.log.read_run(state.id, seq + 1, 1 << 20)
            assert run is not None
            verified = verify_batch(group, decode_batch(as_batch(state, run)), target.log.origin_state(state.id))
            target.log.ingest([verified], now_ms)
            seq = run.last


def _draft(line: bytes) -> Draft:
    event = json.loads(line)
    body = json.dumps(event["data"], ensure_ascii=False, separators=(",", ":")).encode()
    return Draft(event["kind"], event["agent"], None, body)
