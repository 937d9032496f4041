"""A real browser without a window, for the pages that this program makes: Chromium, driven with Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path() -> str | None:
    """Where a Chromium is; None when there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A running Chromium; there must be one."""
    with sync_playwright() as playwright:
        # Without the sandbox, because containers run as root; the pages are our own.
        started = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


class Window:
    """A page of ours, opened from a file.

    Attributes:
        page: Playwright's.
        requests: everything that it has asked for.
        complaints: errors of its script, and dialogs that it opened.
    """

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._refuse)
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        self.settle()

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def run(self, script: str) -> Any:
        """What an expression of JavaScript gives."""
        return self.page.evaluate(script)

    def settle(self) -> None:
        """Wait until what was asked for is drawn: two frames."""
        self.run("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def text(self, selector: str) -> str:
        """The text of an element."""
        return self.page.inner_text(selector)

    def place(self, index: int) -> tuple[float, float]:
        """Where an event of the timeline is, in the window."""
        self.settle()
        box, at = self.page.locator("#marks").bounding_box(), self.run(f"replica.where({index})")
        assert box is not None
        assert at is not None, f"event {index} is not in sight"
        return box["x"] + at["x"], box["y"] + at["y"]

    def colour(self, x: float, y: float) -> tuple[int, int, int]:
        """The colour that is drawn at a place of the timeline's canvas, in its own pixels."""
        self.settle()
        pen = "document.getElementById('marks').getContext('2d')"
        script = f"[...{pen}.getImageData({x} * devicePixelRatio, {y} * devicePixelRatio, 1, 1).data]"
        red, green, blue, _ = self.run(script)
        return red, green, blue


@contextmanager
def window(
    running: Browser, path: Path, *, width: int = 1280, height: int = 800, dark: bool = False, phone: bool = False
) -> Iterator[Window]:
    """Open a page of ours; it must not complain until it is closed, nor ask for anything but itself."""
    context = running.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=2 if phone else 1,
    )
    context.set_default_timeout(20_000)
    opened = Window(context.new_page(), path)
    yield opened
    context.close()
    assert opened.complaints == []
    assert opened.requests == [path.as_uri()]
