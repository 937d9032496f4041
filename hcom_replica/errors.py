"""Every error that this package raises on purpose.

Owns the one exception tree. Each class has a `kind`, a stable string that scripts may match on (kinds are
only ever added), the exit code that the command line returns for it, and whether trying again later can help.
Exceptions of lmdb, paho and sqlite3 are translated into these at the edge that imports them; nothing above
an edge catches a library's own exception.
"""

from __future__ import annotations


class ReplicaError(Exception):
    """Root of all errors raised on purpose.

    Args:
        message: what happened, one clause, no trailing period.
        hint: what the person can do about it; empty when there is nothing useful to say.
    """

    kind = "error"
    exit_code = 70
    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ReplicaError):
    """A wrong argument, body, filter or value given by the caller. Nothing was changed."""

    kind = "usage"
    exit_code = 2


class ConfigError(ReplicaError):
    """config.toml, the folder's layout, or a token is not usable. Nothing was changed."""

    kind = "config"
    exit_code = 2


class TokenError(ConfigError):
    """A join token is cut, mistyped, or of another program."""

    kind = "token"


class LimitError(UsageError):
    """A value is over a limit of the protocol (see limits.py). Nothing was changed."""

    kind = "limit"


class StoreError(ReplicaError):
    """The store refused or failed. The transaction was rolled back: all earlier acknowledged data stands."""

    kind = "store"
    exit_code = 3


class StoreFull(StoreError):
    """Disk or map is full. The transaction was rolled back; writing works again once there is room."""

    kind = "store-full"
    retryable = True


class StoreFormat(StoreError):
    """The folder has another format version or belongs to another group. Nothing was read or written."""

    kind = "store-format"


class StoreCorrupt(StoreError):
    """Stored bytes fail their own checks. Nothing was changed."""

    kind = "store-corrupt"

    def __init__(self, message: str, *, hint: str = "hcom-replica audit says what is damaged, and where") -> None:
        super().__init__(message, hint=hint)


class DaemonError(ReplicaError):
    """A daemon already runs, does not run, or does not answer."""

    kind = "daemon"
    exit_code = 2


class BundleError(ReplicaError):
    """A bundle is cut, forged, of another group, or of a key epoch that is not known here. Nothing of it was stored."""

    kind = "bundle"
    exit_code = 2


class OutputError(ReplicaError):
    """A file that was asked for cannot be written. What was there before stands."""

    kind = "output"
    exit_code = 2


class BrokerError(ReplicaError):
    """The broker cannot be reached or refused us. Nothing is lost: syncing goes on when it answers."""

    kind = "broker"
    exit_code = 4
    retryable = True


class BridgeError(ReplicaError):
    """hcom, its database or the endpoint for it is not usable. Nothing is lost: bridging goes on when it is."""

    kind = "hcom"
    exit_code = 5
    retryable = True


class ProtocolError(ReplicaError):
    """Bytes from the wire break the protocol. The message is dropped and counted; nothing was stored.

    Args:
        reason: a short fixed word for the counters, from the list in protocol-v1 section 9.
        message: detail for the log.
    """

    kind = "protocol"

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason
