"""`broker`: the embedded broker, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import flush, line, warn
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError


def broker(
    session: Session,  # noqa: ARG001 - every command is given one
    port: Annotated[int, Opt("--port", metavar="P", help="0 takes a free one")] = 1883,
    host: Annotated[str, Opt("--host", metavar="H", help="where to listen")] = "127.0.0.1",
    data: Annotated[str | None, Opt("--data", metavar="DIR", help="keep retained messages there over restarts")] = None,
) -> int | None:
    """Run the embedded MQTT broker until Ctrl-C. It is open to everyone who reaches its port."""
    from hcom_replica.transport.broker import serve
    from hcom_replica.transport.url import BrokerAddress

    if not 0 <= port <= 65_535:
        raise UsageError(f"no port {port}", hint="--port takes 0 to 65535")
    if host not in ("127.0.0.1", "::1", "localhost"):
        warn(f"everyone who reaches {host} can connect, and fill or clear what is retained; events stay sealed")

    def ready(address: BrokerAddress) -> None:
        line(f"listening on {address.url}")
        flush()

    serve(host, port, data_dir=None if data is None else Path(data), on_ready=ready)
    return 0
