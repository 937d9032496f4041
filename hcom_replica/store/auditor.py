"""The process that walks a log for an audit: what is damaged can take the process with it that reads it.

Writes one JSON array a line: ["total", events], ["step", events, where], ["finding", ...], ["origin", ...], and at last
["done"]. A caller that sees no "done" knows where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hcom_replica.errors import StoreError
from hcom_replica.store.audit import LogAudit
from hcom_replica.store.audit_origin import Finding
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv

MODULE: Final = "hcom_replica.store.auditor"
Say = Callable[[tuple[Any, ...]], None]


def walk(folder: str, group: bytes, say: Say) -> None:
    """Walk the log in an environment's folder."""
    try:
        kv = LmdbKv(folder, readonly=True)
    except StoreError as error:
        say(("finding", Finding("structure", f"the log cannot be opened: {error.message}")))
        say(("done",))
        return
    try:
        with kv.read() as txn:
            say(("total", txn.count(Table.LOG)))
            audit = LogAudit(txn, group, lambda done, where: say(("step", done, where)))
            for finding in audit.findings():
                say(("finding", finding))
            for origin in audit.origins:
                say(("origin", origin))
    except StoreError as error:
        say(("finding", Finding("structure", error.message)))
    finally:
        kv.close()
    say(("done",))


def main(arguments: list[str]) -> None:
    """Run with an environment's folder and a group's id in hexadecimal."""
    encode = msgspec.json.Encoder().encode

    def say(what: tuple[Any, ...]) -> None:
        sys.stdout.buffer.write(encode(what) + b"\n")
        sys.stdout.buffer.flush()

    walk(arguments[0], bytes.fromhex(arguments[1]), say)


if __name__ == "__main__":
    main(sys.argv[1:])
