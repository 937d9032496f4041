"""Every device keeps the whole history of its group, works offline, and converges when links come back.

The public Python API is `Replica`. It is imported on first use, so that importing one small module of this
package (an error, an id) does not load the store and the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hcom_replica.api import Replica

__all__ = ["Replica", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Replica":
        from hcom_replica.api import Replica  # noqa: PLC0415  (lazy on purpose, see above)

        return Replica
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
