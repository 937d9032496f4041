"""Every limit of the protocol and the store, with number, unit and reason.

Units are last in the name. Limits that other devices must agree on are part of protocol-v1 (section 9);
the others may differ from device to device.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- agreed by all devices (protocol-v1) -------------------------------------------------------------------

EVENT_BYTES_MAX: Final = 4 * MIB
"""One encoded event. A larger thing is a file, not an event."""

COMMIT_EVENTS_MAX: Final = 256
"""Events under one signature: what a receiver must take whole, so it bounds what a cut link can waste."""

COMMIT_BYTES_MAX: Final = 48 * KIB
"""Encoded bytes under one signature; one larger event is a commit alone."""

KIND_BYTES_MAX: Final = 64
AGENT_BYTES_MAX: Final = 256
NAME_CHARS_MAX: Final = 16

DRIFT_MS_MAX: Final = 60_000
"""How far ahead of the local wall clock a remote hlc may be and still be merged."""

MESSAGE_BYTES_MAX: Final = 60 * KIB
"""One MQTT payload, sealed. 64 KiB payloads were the fastest measured; every public broker takes 60 KiB."""

INFLATED_BYTES_MAX: Final = 8 * MIB
"""What one message, or one reassembled set of parts, may inflate to: an event of the largest size fits."""

BATCH_COMMITS_MAX: Final = 4096
"""Commits in one batch: bounds the signature checks that one message can cost."""

BATCH_EVENTS_MAX: Final = 1 << 16
"""Events in one batch: bounds the objects that a message of nothing but tiny events becomes. 256 KiB of the smallest
are 17,000."""
BATCH_REDACTED_MAX: Final = 2048
"""Redacted records in one batch, each with a signature to check. No holder packs more: each brings 32 bytes at the
least that do not compress, and what fits no message is one commit."""

VECTOR_PAGE_ENTRIES: Final = 128

EPOCH_BOXES_MAX: Final = 1000
"""Devices that one epoch record tells of a new secret: so many boxes still fit one message."""

BROKER_CHARS_MAX: Final = 300
"""The URL of a broker that another device names: the longest host name, scheme and port."""

MOVES_MAX: Final = (1 << 31) - 1
"""The highest number of a move to another broker: as that of an epoch, it fits every language's integers."""

TOPIC_SLASHES_MAX: Final = 7
CLIENT_ID_CHARS_MAX: Final = 23
SUBSCRIBE_FILTERS_MAX: Final = 8

# --- local choices ---------------------------------------------------------------------------------------

BATCH_RAW_BYTES_AIM: Final = 256 * KIB
"""Encoded event bytes put in one batch before compression: enough for zstd to find what repeats."""

SPOOL_BYTES_MAX: Final = 16 * MIB
"""Parts of oversized events and batches beyond a gap that wait in memory."""

MAILBOX_SLOTS: Final = 32
"""Retained segments a device keeps on the broker; 32 x 60 KiB is below what small brokers allow."""

MAP_BYTES: Final = 1 << 40
"""LMDB map: sparse, so it costs address space only."""
