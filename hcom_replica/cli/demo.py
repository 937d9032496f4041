"""`demo`: two real daemons on an embedded broker, a disconnect, writes on both sides, convergence."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Final

from hcom_replica.api.replica import Replica
from hcom_replica.cli.print import facts, flush, line, paint
from hcom_replica.cli.session import Session
from hcom_replica.cli.status import show_rows
from hcom_replica.errors import DaemonError
from hcom_replica.folder.paths import Folder
from hcom_replica.folder.state import state_kept_in

_WAIT_S: Final = 30.0
_POLL_S: Final = 0.05
_TOGETHER: Final = 40
_APART: Final = 25


def demo(session: Session) -> int | None:  # noqa: ARG001 - every command is given one; this one has folders of its own
    """Show two devices that lose sight of each other and end with the same log. Leaves nothing behind."""
    from hcom_replica.transport.broker import EmbeddedBroker

    with (
        tempfile.TemporaryDirectory(prefix="hcom-replica-demo-") as root,
        state_kept_in(Path(root, "state")),
        EmbeddedBroker() as broker,
        ExitStack() as stack,
    ):
        _step(f"an embedded broker listens on {broker.address.url}")
        box, tuk = _meet(Path(root), broker.address.url, stack)
        _write(box, "luna", _TOGETHER)
        _write(tuk, "nova", _TOGETHER)
        _until(lambda: _same(box, tuk), "both have everything")
        _step(f"both wrote {_TOGETHER} events, and both have all {box.log.event_count()}")
        _part(box, tuk)
        return _converge(box, tuk)


def _meet(root: Path, url: str, stack: ExitStack) -> tuple[Replica, Replica]:
    """Make a group and join it; the daemons end with the stack."""
    from hcom_replica.api.access import Access
    from hcom_replica.api.relay import connect_group, new_group

    folders = [Folder(root / name) for name in ("BOXE", "TUKA")]
    for folder in folders:
        stack.callback(_stop, folder)
    made = new_group(folders[0], Access(broker=url, name="BOXE"), tried=lambda *_: None)
    _step(f"BOXE made a group; its daemon has pid {made.pid}")
    joined = connect_group(folders[1], made.token, Access(name="TUKA"), timeout_s=_WAIT_S)
    _step(f"TUKA joined with the token; its daemon has pid {joined.pid}")
    box, tuk = (stack.enter_context(Replica.in_folder(folder)) for folder in folders)
    return box, tuk


def _stop(folder: Folder) -> None:
    from hcom_replica.daemon.process import stop

    if folder.root.exists():
        stop(folder)


def _write(replica: Replica, agent: str, count: int) -> None:
    replica.append_many(("status", {"status": "working", "step": number}, agent) for number in range(count))


def _part(box: Replica, tuk: Replica) -> None:
    """TUKA goes away; both write on."""
    tuk.stop_sync()
    _step("TUKA is cut off: its daemon is stopped")
    _write(box, "luna", _APART)
    _write(tuk, "nova", _APART)
    _until(lambda: box.status().outbound.behind_events == _APART, "BOXE knows what TUKA lacks")
    _step(f"both write {_APART} events more; BOXE's status --lag:")
    _lag(box)


def _converge(box: Replica, tuk: Replica) -> int:
    """TUKA comes back; both end with the same bytes."""
    started = time.monotonic()
    tuk.start_sync()
    _until(lambda: _same(box, tuk), "both have everything again")
    _step(f"TUKA is back; both had everything {time.monotonic() - started:.1f} s later")
    _until(lambda: not box.status().outbound.behind_events, "BOXE has heard so")
    _step("BOXE's status --lag:")
    _lag(box)
    prints = [_print_of(replica) for replica in (box, tuk)]
    for replica, (events, digest) in zip((box, tuk), prints, strict=True):
        line(f"  {replica.device}  {events} events  {digest}")
    same = prints[0] == prints[1] and _same(box, tuk)
    line(paint("identical", "green") if same else paint("different", "red"))
    return 0 if same else 1


def _print_of(replica: Replica) -> tuple[int, str]:
    """How many events the canonical output has, and the hash of its bytes."""
    digest, count = blake2b(digest_size=16), 0
    for event in replica.events(system=True):
        digest.update(event.json() + b"\n")
        count += 1
    return count, digest.hexdigest()


def _same(one: Replica, other: Replica) -> bool:
    """Equal (origin, seq, chain hash) everywhere: proof of equal history."""
    tips = [{(state.id, state.seq, state.tip) for state in replica.log.origins()} for replica in (one, other)]
    return tips[0] == tips[1]


def _lag(replica: Replica) -> None:
    now = replica.status()
    facts(
        [("  inbound", f"{now.inbound.behind_events} events"), ("  outbound", f"{now.outbound.behind_events} events")]
    )
    show_rows(now.devices)
    flush()


def _step(text: str) -> None:
    line(f"{paint('*', 'bold')} {text}")
    flush()


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise DaemonError(f"not within {_WAIT_S:.0f} s: {what}", hint="hcom-replica doctor looks for the cause")
        time.sleep(_POLL_S)
