"""Work that a thousand simulated devices in one process need not do a thousand times: reading one message.

Opening, checking and decoding a message, verifying a batch and reading a row are functions of bytes. While checks are
shared, what one device has read is given to all that read the same bytes. Never changes what is said: only what held
is remembered, by all that it depends on. What is shared is never changed by anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Final
from unittest.mock import patch

from hcom_replica.core import inbox, intake, origin, peer, peers
from hcom_replica.core.origin import OriginState
from hcom_replica.core.verify import Run
from hcom_replica.store import ingest, meta
from hcom_replica.wire import signing
from hcom_replica.wire.batch import Batch, Descriptor
from hcom_replica.wire.frame import Frame
from hcom_replica.wire.keys import GroupKeys

_KEPT: Final = 1 << 16

_PURE: Final[tuple[tuple[ModuleType, str], ...]] = (
    (signing, "crypto_sign_open"),
    (inbox, "decode_want"),
    (inbox, "decode_fill"),
    (inbox, "unpack"),
    (inbox, "decode_batch"),
    (peers, "read_slot"),
    (peer, "unpack_entries"),
    (peer, "device_id"),
    (origin, "short"),
    (ingest, "fresh_origin"),
    (meta, "decode_state"),
)
"""Functions of their arguments alone, by where they are called."""


@contextmanager
def shared_checks() -> Iterator[None]:
    """While this lasts, what held for one device of this process holds for all."""
    with ExitStack() as stack:
        for module, name in _PURE:
            stack.enter_context(patch.object(module, name, lru_cache(maxsize=_KEPT)(getattr(module, name))))
        stack.enter_context(patch.object(inbox, "open_frame", _frames(vars(inbox)["open_frame"])))
        stack.enter_context(patch.object(intake, "verify_batch", _runs(vars(intake)["verify_batch"])))
        yield


def _frames(opened: Callable[[GroupKeys, str, bytes], Frame]) -> Callable[[GroupKeys, str, bytes], Frame]:
    """Share opened frames among those that have the very same keys: hashing secrets would take longer than a look."""
    groups: dict[int, tuple[GroupKeys, Callable[[str, bytes], Frame]]] = {}

    def shared(keys: GroupKeys, topic: str, payload: bytes) -> Frame:
        group = groups.get(id(keys))
        if group is None:
            group = groups[id(keys)] = (keys, lru_cache(maxsize=_KEPT)(lambda *args: opened(keys, *args)))
        return group[1](topic, payload)

    return shared


def _runs(verified: Callable[..., Run]) -> Callable[[bytes, Batch, OriginState | None], Run]:
    """Share verified batches: of what is known of an origin, verifying asks for nothing but the descriptor."""
    runs: dict[tuple[bytes, int, Descriptor | None], tuple[Batch, Run]] = {}

    def shared(group: bytes, batch: Batch, known: OriginState | None) -> Run:
        key = (group, id(batch), known.descriptor if known is not None else None)
        found = runs.get(key)
        if found is None:
            if len(runs) >= _KEPT:
                runs.clear()
            found = runs[key] = (batch, verified(group, batch, known))  # the batch stays, and so its number is its own
        return found[1]

    return shared
