"""The pictures of the documentation: `python -m tests.picture` takes them anew. Look at them afterwards."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from hcom_replica import Replica
from hcom_replica.api.filters import Query
from hcom_replica.api.page.sources import history_page
from hcom_replica.folder.state import state_kept_in
from tests.harness.browser import browser, window
from tests.harness.histories import two_devices

LATE_MESSAGE: Final = (
    "replica.model.shown.filter((at) => replica.model.late.has(at) && replica.model.kindOf(at) === 'message')"
)
FOLDER: Final = Path(__file__).parents[1] / "docs" / "images"


def main() -> int:
    """Take them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, state_kept_in(Path(name) / "state"), browser() as running:
        folder = Path(name)
        boxe, _ = two_devices(folder, events=900)
        with Replica.open(boxe) as replica:
            (folder / "page.html").write_bytes(history_page(replica, Query()))
        for dark, phone in ((False, False), (True, True)):
            width, height = (390, 760) if phone else (1180, 640)
            with window(running, folder / "page.html", width=width, height=height, dark=dark, phone=phone) as one:
                one.run(f"replica.choose({LATE_MESSAGE}[21])")
                one.settle()
                one.page.screenshot(path=FOLDER / ("history-phone.png" if phone else "history.png"), scale="css")
    return 0


if __name__ == "__main__":
    sys.exit(main())
