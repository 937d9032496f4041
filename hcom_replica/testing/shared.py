"""Work that a thousand simulated devices in one process need not do a thousand times: checking one signature.

Never changes what a check says: only signatures that held are remembered, by all that was checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final
from unittest.mock import patch

from nacl.bindings import crypto_sign_open

from hcom_replica.wire import signing

_KEPT: Final = 1 << 15


@contextmanager
def shared_checks() -> Iterator[None]:
    """While this lasts, a signature that held for one device of this process holds for all."""
    with patch.object(signing, "crypto_sign_open", lru_cache(maxsize=_KEPT)(crypto_sign_open)):
        yield
