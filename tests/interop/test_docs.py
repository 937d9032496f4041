"""The tutorial for users of hcom, typed as a reader would type it, with the real program."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.console import Command, Console, commands_of
from tests.harness.hcom import RealHcom, hcom_path

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.hcom, pytest.mark.slow, pytest.mark.timeout(180)]


class TwoMachines(Console):
    """A terminal on each of two machines, each with an hcom of its own."""

    def __init__(self, folder: Path, broker: PrivateBroker, program: str) -> None:
        super().__init__(folder, {"mqtt://broker.example.org": broker.url})
        self.hcoms = {name: RealHcom(folder / f"home-{name}", program) for name in ("boxe", "tuka")}

    def _environment(self, prompt: str) -> dict[str, str]:
        own = super()._environment(prompt)
        hcom = self.hcoms.get(prompt or "boxe")
        assert hcom is not None
        path = os.pathsep.join([str(self.folder / "bin"), hcom.env["PATH"]])
        return {**own, "HOME": str(hcom.home), "HCOM_DIR": str(hcom.folder), "PATH": path}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)  # the daemons first: they start hcom's worker when it is gone
        for hcom in self.hcoms.values():
            hcom.stop()


def test_tutorial_of_hcom_typed_on_two_machines_heals(tmp_path: Path, broker: PrivateBroker) -> None:
    program = hcom_path()
    if program is None:
        pytest.skip("hcom is not installed")
    commands = commands_of((ROOT / "docs/tutorial/hcom.md").read_text(encoding="utf-8"))
    install = [command.text for command in commands if command.prompt == ""]
    assert install == ["pip install hcom", "pip install ."]
    with TwoMachines(tmp_path / "c", broker, program) as console:
        for command in commands:
            if command.prompt:
                await_what_is_needed(console, command)
                console.enter(command)
        said = [text for outputs in console.outputs.values() for text in outputs]
        assert any("rose:TUKA [remote]" in text for text in said)
        assert "for when you are back" in console.outputs["hcom listen 40 --name rose"][-1]
        assert "written in the tunnel" in console.outputs["hcom listen 40 --name luna"][-1]
        assert "written in the tunnel" in console.outputs["hcom-replica events --kind message"][-1]


def await_what_is_needed(console: TwoMachines, command: Command) -> None:
    """A reader who types takes the second or two in which the other machine comes to be known."""
    if command.text.startswith("hcom list") and command.prompt == "boxe":
        console.hcoms["boxe"].wait(lambda: console.hcoms["boxe"].knows("rose:TUKA"), "rose is known at BOXE")
    if "@luna:BOXE" in command.text:
        console.hcoms["tuka"].wait(lambda: console.hcoms["tuka"].knows("luna:BOXE"), "luna is known at TUKA")
