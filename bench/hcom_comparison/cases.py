"""The cases: each is played on one side and tells what came of it, in a few words and in numbers."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from bench.hcom_comparison.sides import FAKETIME, Computer, Side, arrivals
from hcom_replica.testing.real.hcom import send_and_see


class Scale(NamedTuple):
    """How much: events in the large cases, seconds to wait for what may never come, latencies, idle seconds."""

    many: int
    few: int
    patience_s: float
    sends: int
    idle_s: float


FULL: Final = Scale(5_000, 200, 180.0, 200, 120.0)
QUICK: Final = Scale(300, 60, 20.0, 20, 15.0)


class Outcome(NamedTuple):
    """What came of a case: for people, and in numbers."""

    text: str
    numbers: dict[str, Any]


Case = Callable[[Side, Scale], Outcome]


def away(side: Side, scale: Scale) -> Outcome:
    """B is away, A writes many, B comes back."""
    a, b = side.pair()
    b.off()
    texts = _texts(scale.many)
    a.write(texts)
    time.sleep(2)
    b.on()
    return _came(*arrivals(b, texts, scale.patience_s), len(texts))


def relayed(side: Side, scale: Scale) -> Outcome:
    """A writes while B is away, and goes; B comes back before A."""
    a, b = side.pair()
    b.off()
    texts = _texts(scale.many)
    a.write(texts)
    time.sleep(6)
    a.off()
    b.on()
    return _came(*arrivals(b, texts, min(scale.patience_s, 30)), len(texts))


def joins(side: Side, scale: Scale) -> Outcome:
    """A new device joins after many; how much of the history, and how much of it as new mail?"""
    a, _ = side.pair()
    texts = _texts(scale.many)
    a.write(texts)
    time.sleep(3)
    c = side.add("nobo")
    got, breaks, last_s = arrivals(c, texts, min(scale.patience_s, 30))
    mail = 0
    while new := c.hcom.listen(c.agent):
        mail += len(new)
    came = _came(got, breaks, last_s, len(texts))
    return Outcome(f"{came.text}; {mail:,} of them as new mail", {**came.numbers, "mail": mail})


def skewed(side: Side, scale: Scale) -> Outcome:
    """A's clock is two hours ahead, B is away, A writes a few."""
    if not FAKETIME:
        return Outcome("not measured: libfaketime is not installed", {})
    a, b = side.pair(clock_off_s=7_200)
    b.off()
    texts = _texts(scale.few)
    a.write(texts, timedelta(hours=2))
    time.sleep(2)
    b.on()
    return _came(*arrivals(b, texts, min(scale.patience_s, 60)), len(texts))


def resets(side: Side, scale: Scale) -> Outcome:
    """`hcom reset` on A; A's database restored from a backup; A's folder cloned to another machine: what B loses."""
    a, b = side.pair()
    old, new = _texts(scale.few), _texts(scale.few // 4, scale.few)
    a.write(old)
    arrivals(b, old, 60)
    a.off()
    with a.hcom.database() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = (a.hcom.folder / "hcom.db").read_bytes()
    a.on()
    a.write(new)
    arrivals(b, new, 60)
    kept = [b.hcom.count_imported()]
    a.off()
    for path in a.hcom.folder.glob("hcom.db*"):
        path.unlink()
    (a.hcom.folder / "hcom.db").write_bytes(backup)
    a.on()
    a.write(_texts(5, 10_000))
    time.sleep(8)
    kept.append(b.hcom.count_imported() - 5)
    a.hcom.ok("reset")
    a.hcom.start(a.agent)
    a.write(_texts(5, 20_000))
    time.sleep(8)
    kept.append(b.hcom.count_imported() - 10)
    lost = kept[0] - min(kept)
    text = f"B has {kept[0]}, after the restore {max(0, kept[1])}, after the reset {max(0, kept[2])}"
    return Outcome(text, {"before": kept[0], "restored": kept[1], "reset": kept[2], "deleted": lost})


def cloned(side: Side, scale: Scale) -> Outcome:
    """A's disk is copied to another machine; both go on: what B has of A's history, looked at for twenty seconds."""
    a, b = side.pair()
    old = _texts(scale.few)
    a.write(old)
    arrivals(b, old, 60)
    a.off()
    copy = side.clone(a)
    a.on()
    least = scale.few
    for number in range(20):
        a.write([f"here {number}"])
        copy.write([f"there {number}"])
        time.sleep(1)
        least = min(least, len([text for text in b.hcom.imported() if text in set(old)]))
    time.sleep(5)
    new = sum(text.startswith(("here", "there")) for text in b.hcom.imported())
    text = f"B had {least} of {scale.few} at the least; {new} of the 40 written since"
    return Outcome(text, {"least": least, "of_old": scale.few, "new": new, "deleted": scale.few - least})


def broker_killed(side: Side, scale: Scale) -> Outcome:
    """The broker is killed and restarted three times while 650 are written."""
    a, b = side.pair()
    count = 650 if scale.many > 1_000 else 150
    texts = _texts(count)
    for number in range(3):
        share = texts[number * count // 3 : (number + 1) * count // 3]
        half = len(share) // 2
        a.write(share[:half])
        side.broker.kill()
        a.write(share[half:])
        time.sleep(1)
        side.broker.start()
        time.sleep(3)
    return _came(*arrivals(b, texts, scale.patience_s), len(texts))


def large(side: Side, scale: Scale) -> Outcome:
    """One message of 1.04 MB."""
    a, b = side.pair()
    a.write(["x" * 1_040_000])
    b.hcom.wait_for_imported(1, min(scale.patience_s, 60))
    chars = len(b.hcom.imported()[0])
    whole = 0
    machine = getattr(b, "machine", None)
    if machine is not None:
        whole = max(len(event["data"]["text"]) for event in machine.events("--kind", "message"))
    text = f"cut to {chars:,} characters" + (f"; whole in the log ({whole:,})" if whole else "")
    return Outcome(text, {"chars": chars, "whole_chars": whole})


def to_away(side: Side, scale: Scale) -> Outcome:
    """`hcom send` to an agent of a device that is offline."""
    del scale
    a, b = side.pair()
    b.off()
    target = f"{b.agent}:{b.short}"
    time.sleep(6)
    done = a.hcom.run("send", f"@{target}", "--name", a.agent, "--quiet", "--", "for when you are back")
    if done.returncode != 0:
        return Outcome("refused", {"delivered": False})
    time.sleep(2)
    b.on()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if "for when you are back" in b.hcom.listen(b.agent):
            return Outcome("delivered on return", {"delivered": True})
    return Outcome("accepted, not delivered", {"delivered": False})


def subscription(side: Side, scale: Scale) -> Outcome:
    """`hcom events sub` on an event of an agent elsewhere."""
    del scale
    a, b = side.pair()
    b.hcom.ok("events", "sub", "--file", "*.py", "--name", b.agent)
    with a.hcom.database() as db:
        status = {"status": "active", "context": "tool:Edit", "detail": "main.py", "position": 0}
        row = ("2026-11-27T00:00:00+00:00", a.agent, json.dumps(status))
        db.execute("INSERT INTO events (timestamp, type, instance, data) VALUES (?, 'status', ?, ?)", row)
    a.push()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if b.hcom.query("SELECT 1 FROM events WHERE instance = 'sys_[hcom-events]'"):
            return Outcome("fires", {"fires": True})
        time.sleep(0.1)
    return Outcome("does not fire", {"fires": False})


def idle(side: Side, scale: Scale) -> Outcome:
    """Two devices and nothing to say: bytes on the real broker, both ways, an hour."""
    a, b = side.pair()
    a.write(_texts(50))
    arrivals(b, _texts(50), 30)
    time.sleep(35)  # what is said for a while after activity
    before = _passed(a, b)
    time.sleep(scale.idle_s)
    up, down = (now - then for now, then in zip(_passed(a, b), before, strict=True))
    hour = 3_600 / scale.idle_s
    text = f"{_size(up * hour)} an hour to the broker, {_size(down * hour)} from it"
    return Outcome(text, {"up_bytes_h": round(up * hour), "down_bytes_h": round(down * hour)})


def latency(side: Side, scale: Scale) -> Outcome:
    """From the row in A's database to the row in B's, one `hcom send` after the other."""
    a, b = side.pair()
    took_ms = sorted(taken * 1_000 for taken in send_and_see(a.hcom, a.agent, b.hcom, scale.sends))
    p50, p99 = statistics.median(took_ms), took_ms[min(len(took_ms) - 1, len(took_ms) * 99 // 100)]
    return Outcome(f"{p50:.0f} / {p99:.0f} ms", {"p50_ms": round(p50, 1), "p99_ms": round(p99, 1)})


CASES: Final[dict[str, tuple[str, Case]]] = {
    "away": ("B away, {many:,} events on A, B back", away),
    "relayed": ("A writes and goes away, B comes back before A", relayed),
    "joins": ("a new device joins after {many:,}", joins),
    "skewed": ("A's clock two hours off, B away, {few}", skewed),
    "resets": ("A's database restored from a backup, then `hcom reset` on A", resets),
    "cloned": ("A's folder cloned to another machine, both go on", cloned),
    "broker": ("broker killed and restarted three times while 650 are written", broker_killed),
    "large": ("message of 1.04 MB", large),
    "offline": ("`hcom send` to an agent of an offline device", to_away),
    "subscription": ("`hcom events sub` on a remote agent's event", subscription),
    "idle": ("idle, two devices", idle),
    "latency": ("row in A's hcom to row in B's, p50 / p99", latency),
}


def _texts(count: int, first: int = 0) -> list[str]:
    return [f"message {number}" for number in range(first, first + count)]


def _came(got: int, breaks: int, last_s: float, of: int) -> Outcome:
    order = "in order" if not breaks else f"{breaks:,} out of order"
    text = f"{got:,} of {of:,}" + (f", {order}, {last_s:.1f} s" if got else "")
    return Outcome(text, {"got": got, "of": of, "order_breaks": breaks, "seconds": round(last_s, 2)})


def _passed(a: Computer, b: Computer) -> tuple[int, int]:
    return a.network.bytes_up + b.network.bytes_up, a.network.bytes_down + b.network.bytes_down


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"
