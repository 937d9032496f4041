"""Who is a member, in which key epoch; shutting a device out, and changing the key (protocol-v1 section 12).

What is decided here is appended to this device's log and takes effect from there: a daemon, now or later, tells the
others. Nothing waits for them.
"""

from __future__ import annotations

import os

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.control import wake
from hcom_replica.api.opening import Parts
from hcom_replica.api.replica import Replica
from hcom_replica.core.membership import Membership, read_membership
from hcom_replica.core.newepoch import epoch_drafts
from hcom_replica.errors import ConfigError, UsageError
from hcom_replica.wire.signing import device_id
from hcom_replica.wire.token import JoinToken


class NewKey(msgspec.Struct, frozen=True):
    """A key epoch that was begun.

    Attributes:
        epoch: its number.
        revoked: names of the devices shut out by it.
        devices: names of those that get the new key, this one included.
    """

    epoch: int
    revoked: list[str]
    devices: list[str]


def membership_of(parts: Parts) -> Membership:
    """Who is a member, in which epoch, by the log of an open folder."""
    return read_membership(parts.log, parts.viewer)


def current_token(parts: Parts) -> JoinToken:
    """The token with which others join now: that of the newest epoch.

    Raises:
        ConfigError: this device has no part in the group any more.
    """
    membership = membership_of(parts)
    if membership.shut_out:
        raise ConfigError(f"this device has no valid key: {membership.shut_out}", hint="ask on another device")
    return JoinToken(membership.current, parts.token.brokers, parts.token.founder)


def change_key(replica: Replica, revoked: str | None = None) -> NewKey:
    """Begin a new key epoch, without the device called `revoked` if one is named.

    Raises:
        UsageError: no device, or more than one, is called so; it is this one; or this device may not. Nothing was
            appended.
        LimitError: the group has too many devices; nothing was appended.
    """
    replica.introduce()
    membership = membership_of(replica.parts)
    gone = [] if revoked is None else [_key_of(replica, membership, revoked)]
    drafts = epoch_drafts(membership, replica.log.origins(), gone, os.urandom)
    replica.log.append(drafts, wall_ms())
    wake(replica.folder)
    after, names = membership_of(replica.parts), replica.names.all()
    return NewKey(
        after.current.epoch,
        [names[device_id(key)] for key in gone],
        sorted(names[device_id(key)] for key in after.members),
    )


def _key_of(replica: Replica, membership: Membership, name: str) -> bytes:
    """The key of the device that a person means.

    Raises:
        UsageError: see `change_key`.
    """
    names = replica.names.all()
    found = [key for key in membership.present if name in (names[device_id(key)], device_id(key).hex(), key.hex())]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(device_id(key).hex() for key in found)
        raise UsageError(f"{len(found)} devices are called {name}", hint=f"name one by its id: {listed}")
    raise UsageError(f"no device {name} is known here", hint="hcom-replica devices lists them")
