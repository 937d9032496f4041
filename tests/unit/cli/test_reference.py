"""The reference pages name every command, parameter, setting, kind of error and key: none is forgotten there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hcom_replica.api.bundles import BundleTaken, Exported
from hcom_replica.api.checkup import Finding
from hcom_replica.api.devices import DeviceRow
from hcom_replica.api.event import Arrival, Event
from hcom_replica.api.exports.driver import RowsExported
from hcom_replica.api.relay import Joined, PeerRow, RelayStatus
from hcom_replica.cli.commands import COMMANDS, load
from hcom_replica.cli.options import Arg, params_of
from hcom_replica.core.status import BrokerStatus, DaemonStatus, Inbound, Outbound, Status
from hcom_replica.core.statusrows import OriginRow
from hcom_replica.errors import ReplicaError
from hcom_replica.folder.config import KEYS
from hcom_replica.ids import EventId, OriginId
from hcom_replica.testing.simulation import Report
from hcom_replica.wire import event as wire

PAGES = Path(__file__).parents[3] / "docs" / "reference"


def page(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8").replace("\\|", "|")


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_cli_page_has_every_command_with_its_parameters(words: tuple[str, ...]) -> None:
    command = load(words)
    params = params_of(command)
    metavars = [param.spec.metavar for param in params if isinstance(param.spec, Arg)]
    title = "### " + " ".join([*words, *metavars]) + "\n"
    assert title in page("cli.md")
    section = page("cli.md").split(title)[1].split("\n##")[0]
    for param in params:
        spellings = [param.spec.metavar] if isinstance(param.spec, Arg) else param.spec.flags
        for spelling in spellings:
            assert f"`{spelling}" in section
        assert param.spec.help in section


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_config_page_has_every_key(key: object) -> None:
    assert f"| `{key.name}` |" in page("config.md")  # type: ignore[attr-defined]
    assert key.meaning in page("config.md")  # type: ignore[attr-defined]


def kinds() -> list[tuple[str, int]]:
    found: list[type[ReplicaError]] = [ReplicaError]
    for known in found:
        found += known.__subclasses__()
    return [(known.kind, known.exit_code) for known in found if known.kind not in ("error", "protocol")]


@pytest.mark.parametrize(("kind", "code"), kinds())
def test_exit_codes_page_has_every_kind(kind: str, code: int) -> None:
    assert f"| `{kind}` | {code} |" in page("exit-codes.md")


@pytest.mark.parametrize(
    "shape",
    [
        Status,
        OriginRow,
        Inbound,
        Outbound,
        DaemonStatus,
        BrokerStatus,
        DeviceRow,
        Joined,
        RelayStatus,
        PeerRow,
        Finding,
        Report,
        Exported,
        BundleTaken,
        RowsExported,
    ],
)
def test_json_page_has_every_key_of(shape: type[msgspec.Struct]) -> None:
    for field in shape.__struct_fields__:
        assert f"`{field}`" in page("json.md")


def test_json_page_has_every_key_of_an_event() -> None:
    event = Event(
        EventId(OriginId(bytes(8)), 1), wire.Event(0, "k", None, None, b"1"), "BOXE", Arrival(1, 0, late=False)
    )
    assert event.arrival is not None
    for key in [*event.fields, "data", "data_b64", *event.arrival.fields]:
        assert f"| `{key}` |" in page("json.md")
