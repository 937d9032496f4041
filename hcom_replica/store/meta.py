"""The table `meta`, and whether a folder is ours to read at all (storage-v1 section 4, T4.1)."""

from __future__ import annotations

from hcom_replica.core.origin import OriginState, decode_state, encode_state
from hcom_replica.errors import ProtocolError, StoreCorrupt, StoreFormat
from hcom_replica.ids import OriginId
from hcom_replica.store.kv import Kv, ReadTxn, Table, WriteTxn
from hcom_replica.store.schema import FORMAT, Meta, number, u64


def adopt(kv: Kv, group: bytes) -> None:
    """Check that the tables are of this format and group; set them up when they are empty.

    Raises:
        StoreFormat: they are of a newer format, or of another group; nothing was changed.
    """
    with kv.read() as txn:
        if _is_ours(txn, group):
            return
    with kv.write() as writing:
        if not _is_ours(writing, group):  # another process may have been faster
            writing.put(Table.META, Meta.FORMAT, FORMAT.to_bytes(4, "big"))
            writing.put(Table.META, Meta.GROUP, group)


def _is_ours(txn: ReadTxn, group: bytes) -> bool:
    """Return whether the tables are set up for the group; False when nothing is."""
    stored = txn.get(Table.META, Meta.FORMAT)
    if stored is None:
        return False
    version = number(stored)
    if version > FORMAT:
        raise StoreFormat(
            f"this log has format {version}, newer than this program's {FORMAT}", hint="update hcom-replica"
        )
    held = txn.get(Table.META, Meta.GROUP)
    if held != group:
        raise StoreFormat(
            f"this log belongs to group {_hex(held)}, not to {group.hex()}",
            hint="each group needs a folder of its own: choose another with --dir",
        )
    return True


def _hex(data: bytes | None) -> str:
    return data.hex() if data is not None else "(none)"


def read_number(txn: ReadTxn, name: Meta) -> int:
    """Return a number of `meta`; 0 when it was never set."""
    value = txn.get(Table.META, name)
    return 0 if value is None else number(value)


def write_number(txn: WriteTxn, name: Meta, value: int) -> None:
    """Set a u64 of `meta`."""
    txn.put(Table.META, name, u64(value))


def next_boot(txn: WriteTxn) -> int:
    """Count a start of the program; return its number, from 1."""
    boot = read_number(txn, Meta.BOOT) + 1
    txn.put(Table.META, Meta.BOOT, boot.to_bytes(4, "big"))
    return boot


def own_origin(txn: ReadTxn) -> OriginState | None:
    """Return the origin this device appends to now; None before its first append."""
    origin = txn.get(Table.META, Meta.ORIGIN)
    return None if origin is None else read_state(txn, OriginId(origin))


def read_state(txn: ReadTxn, origin: OriginId) -> OriginState | None:
    """Return what is held of an origin.

    Raises:
        StoreCorrupt: its row cannot be read.
    """
    value = txn.get(Table.ORIGINS, origin)
    return None if value is None else state_of(value)


def read_states(txn: ReadTxn) -> list[OriginState]:
    """Return all origins of which something is held, by id."""
    return [state_of(value) for _, value in txn.scan(Table.ORIGINS)]


def write_state(txn: WriteTxn, state: OriginState) -> None:
    """Store an origin's state."""
    txn.put(Table.ORIGINS, state.id, encode_state(state))


def state_of(value: bytes) -> OriginState:
    """A row of `origins`.

    Raises:
        StoreCorrupt: it cannot be read.
    """
    try:
        return decode_state(value)
    except ProtocolError as error:
        raise StoreCorrupt(f"the state of an origin cannot be read: {error.message}") from error
