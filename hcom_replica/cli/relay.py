"""`relay`: making, joining and leaving a group, and whether this device syncs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, facts, json_line, line, note, table
from hcom_replica.cli.session import Session
from hcom_replica.cli.write import read_stdin
from hcom_replica.errors import UsageError
from hcom_replica.limits import KIB

if TYPE_CHECKING:
    from hcom_replica.api.hcom_bridge import BridgeStatus
    from hcom_replica.api.keyepochs import NewKey
    from hcom_replica.api.replacing import Namesake

Broker = Annotated[
    str | None, Opt("--broker", metavar="URL", help="mqtt://host[:port], mqtts://host[:port]; host:port is TLS")
]
Username = Annotated[str | None, Opt("--username", metavar="U", help="user name at the broker")]
PasswordFile = Annotated[str | None, Opt("--password-file", metavar="F", help="its first line is the password")]
PasswordKeyring = Annotated[
    str | None, Opt("--password-keyring", metavar="SERVICE", help="the system's keyring has the password under it")
]
CaFile = Annotated[str | None, Opt("--ca-file", metavar="F", help="PEM file of the authorities trusted for TLS")]
Name = Annotated[str | None, Opt("--name", metavar="N", help="name of this device, 2 to 16 of A-Z 0-9 -")]
Hcom = Annotated[bool, Opt("--hcom", help="connect this machine's hcom as well, as bridge hcom --setup does")]
Json = Annotated[bool, Opt("--json", help="print JSON")]
_TOKEN_BYTES_MAX: Final = 64 * KIB
"""Some two hundred times what a token has."""


def new(
    session: Session,
    broker: Broker = None,
    username: Username = None,
    password_file: PasswordFile = None,
    password_keyring: PasswordKeyring = None,
    ca_file: CaFile = None,
    name: Name = None,
    hcom: Hcom = False,
    json: Json = False,
) -> int | None:
    """Make a group, start syncing, and print the token with which other devices join."""
    from hcom_replica.api.access import Access
    from hcom_replica.api.relay import new_group

    file = password_file or _prompted(session, username, password_keyring)
    access = Access(broker, username, file, ca_file, name, password_keyring)
    made = new_group(session.folder, access, tried=lambda why: note(escape(why)))
    bridge = _bridged(session, wanted=hcom)
    device = made.device if bridge is None else bridge.device
    session.warn_access()
    if json:
        told = {} if bridge is None else {"hcom": bridge}
        json_line({"token": made.token, "group": made.group, "device": device, "broker": made.broker, **told})
        return 0
    facts(
        [
            ("device", device),
            ("group", made.group[:8]),
            ("broker", made.broker),
            ("daemon", f"running, pid {made.pid}"),
            *_told(bridge),
        ]
    )
    line()
    line("on the other devices, with this token (treat it like a private key):")
    line()
    line(f"  hcom-replica relay connect {made.token}")
    return 0


def connect(
    session: Session,
    token: Annotated[str, Arg("TOKEN|-", help="what relay new or relay token printed; - reads it from stdin")],
    broker: Broker = None,
    username: Username = None,
    password_file: PasswordFile = None,
    password_keyring: PasswordKeyring = None,
    ca_file: CaFile = None,
    name: Name = None,
    timeout: Annotated[float, Opt("--timeout", metavar="S", help="how long to wait for a member to answer")] = 5.0,
    replace: Annotated[bool, Opt("--replace", help="take over --name from a device that is gone")] = False,
    hcom: Hcom = False,
    json: Json = False,
) -> int | None:
    """Join a group and start syncing."""
    from hcom_replica.api.access import Access
    from hcom_replica.api.relay import connect_group
    from hcom_replica.api.replacing import ask_to_replace

    if replace and name is None:
        raise UsageError("--replace takes over a name", hint="say which: --name BOXE --replace")
    text = read_stdin(_TOKEN_BYTES_MAX, "a join token").decode(errors="replace") if token == "-" else token
    file = password_file or _prompted(session, username, password_keyring)
    access = Access(broker, username, file, ca_file, name, password_keyring)
    joined = connect_group(session.folder, text, access, timeout_s=timeout)
    found = ask_to_replace(session.folder, timeout_s=timeout) if replace else []
    bridge = _bridged(session, wanted=hcom)
    device = joined.device if bridge is None else bridge.device
    session.warn_access()
    if json:
        asked = {"replaces": found[0].device if len(found) == 1 else None} if replace else {}
        told = {} if bridge is None else {"hcom": msgspec.to_builtins(bridge)}
        json_line({**msgspec.to_builtins(joined), "device": device, **asked, **told})
        return 0
    facts(
        [
            ("device", device),
            ("group", joined.group[:8]),
            ("broker", joined.broker),
            ("daemon", f"running, pid {joined.pid}"),
            *_told(bridge),
        ]
    )
    line()
    if joined.reappended_events:
        line(f"{joined.reappended_events:,} events written here before were appended to the group")
    if joined.answered:
        line(f"joined: {joined.peers} other device{' is' if joined.peers == 1 else 's are'} known")
    else:
        line("joined, nobody has answered yet; if this group has members, the token may be old")
    if replace:
        _show_replacing(device, found)
    return 0


def _bridged(session: Session, *, wanted: bool) -> BridgeStatus | None:
    """Connect hcom, if that is wanted; else tell of it where there is one."""
    from hcom_replica.api.hcom_bridge import found_unbridged, set_up

    if wanted:
        return set_up(session.folder, None)
    if found_unbridged(session.folder):
        note("hint: hcom is here, too; hcom-replica bridge hcom --setup connects its agents with those of the group")
    return None


def _told(bridge: BridgeStatus | None) -> list[tuple[str, object]]:
    if bridge is None:
        return []
    return [("hcom", f"connected, {bridge.hcom_dir}" if bridge.worker else "not connected yet (bridge hcom)")]


def _show_replacing(name: str, found: list[Namesake]) -> None:
    if not found:
        line(f"no other device of that name is known here: {escape(name)} is this device's")
    elif len(found) == 1:
        line(f"asked to take the place of {escape(found[0].device)}; confirm it on another member:")
        line(f"  {found[0].confirm}")
    else:
        line(f"{len(found)} other devices claim that name; retire the one that is gone on another member:")
        for one in found:
            line(f"  {one.confirm}")


def _prompted(session: Session, username: str | None, keyring: str | None) -> str | None:
    """Ask for a password on a terminal and keep it in the folder; a password is never an argument."""
    import sys
    from getpass import getpass

    if username is None or keyring is not None or not sys.stdin.isatty():
        return None
    password = getpass(f"password of {escape(username)} (empty: none): ")
    if not password:
        return None
    from hcom_replica.folder.files import replace

    session.folder.make()
    path = session.folder.root / "broker.password"
    replace(path, (password + "\n").encode())
    return path.name


def status(session: Session, json: Json = False) -> int | None:
    """Show whether this device syncs, and with whom."""
    from hcom_replica.api.relay import relay_status

    now = relay_status(session.folder)
    if json:
        json_line(now)
        return 0
    if now.broker is None or now.broker.url is None:
        line("not set up: this folder syncs with nobody")
        note("hint: hcom-replica relay new makes a group, relay connect TOKEN joins one")
        return 0
    connected = f"connected since {now.broker.since}" if now.broker.connected else "not connected"
    facts(
        [
            ("enabled", now.enabled),
            ("broker", f"{now.broker.url}, {connected}"),
            ("device", now.device),
            ("group", None if now.group is None else now.group[:8]),
            ("daemon", f"running, pid {now.daemon.pid}" if now.daemon.running else "not running"),
        ]
    )
    line()
    if now.peers:
        table(("peer", "online", "last seen"), [(peer.device, peer.online, peer.last_seen) for peer in now.peers])
    else:
        line("no other device is known yet (hcom-replica relay token shows the token to join with)")
    return 0


def on(session: Session, json: Json = False) -> int | None:
    """Sync from now on."""
    from hcom_replica.api.relay import turn_on

    pid = turn_on(session.folder)
    if json:
        json_line({"enabled": True, "pid": pid})
    else:
        line(f"syncing, daemon pid {pid}")
    return 0


def off(
    session: Session,
    everyone: Annotated[bool, Opt("--all", help="ask every device of the group to stop syncing, too")] = False,
    json: Json = False,
) -> int | None:
    """Stop syncing. Everything is kept, and writing goes on."""
    from hcom_replica.api.relay import turn_off

    turn_off(session.folder, everyone=everyone)
    if json:
        json_line({"enabled": False, "asked_all": everyone})
    else:
        line("asked every device to stop; stopped syncing here" if everyone else "stopped syncing; everything is kept")
    return 0


def forget(
    session: Session,
    force: Annotated[bool, Opt("--force", help="also when the broker cannot be told")] = False,
    json: Json = False,
) -> int | None:
    """Leave the group: clear what the broker keeps of this device, and put the log aside."""
    from hcom_replica.api.relay import forget_group

    kept = forget_group(session.folder, force=force)
    if json:
        json_line({"kept_log": None if kept is None else str(kept)})
    else:
        line("left the group" + ("" if kept is None else f"; its log is kept in {escape(str(kept))}"))
    return 0


def token(session: Session, json: Json = False) -> int | None:
    """Print the join token of the present key epoch. Treat it like a private key."""
    import sys

    from hcom_replica.api.relay import join_token

    shown = join_token(session.folder)
    if json:
        json_line({"token": shown})
    else:
        line(shown)
        if sys.stdout.isatty():
            note("treat it like a private key: whoever has it can read everything, and write as a new device")
    return 0


def move(
    session: Session,
    url: Annotated[str, Arg("URL", help="the new broker: mqtt://host[:port], mqtts://host[:port]; host:port is TLS")],
    username: Username = None,
    password_file: PasswordFile = None,
    password_keyring: PasswordKeyring = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> int | None:
    """Move the whole group to another broker. Members that are away follow when they come back to the old one."""
    from hcom_replica.api.access import Access
    from hcom_replica.api.moving import move_group

    file = password_file or _prompted(session, username, password_keyring)
    moved = move_group(session.folder, url, Access(None, username, file, ca_file, None, password_keyring))
    if json:
        json_line(moved)
        return 0
    if not moved.moved:
        line(f"the group meets at {moved.broker} already")
        return 0
    line(f"moved to {moved.broker}")
    if moved.told:
        note("the others follow as they read it; the tokens printed before name the old broker: relay token")
    else:
        line("the broker before does not answer, so the others cannot be told there. On each of them:")
        line()
        line(f"  hcom-replica relay connect {moved.token}")
    return 0


def revoke(
    session: Session,
    device: Annotated[str, Arg("DEVICE", help="name or id of the device, as `devices` shows it")],
    json: Json = False,
) -> int | None:
    """Shut a device out: change the group's key, and tell the new one to all others."""
    from hcom_replica.api.relay import change_group_key

    changed = change_group_key(session.folder, device)
    if json:
        json_line(changed)
        return 0
    line(f"revoked {escape(changed.revoked[0])}: it reads and writes nothing newer; what it has read, it has read")
    _show_key(changed)
    return 0


def rotate(session: Session, json: Json = False) -> int | None:
    """Change the group's key: tokens handed out before are good for nothing any more."""
    from hcom_replica.api.relay import change_group_key

    changed = change_group_key(session.folder)
    if json:
        json_line(changed)
    else:
        _show_key(changed)
    return 0


def _show_key(changed: NewKey) -> None:
    facts([("key epoch", changed.epoch), ("given to", ", ".join(changed.devices))])
    note("devices that are away take the new key when they come back; `status` names them")
    note("a device in the list that you do not know? revoke it, too")
