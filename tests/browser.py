"""A real browser for the tests: pages without a network, and a list of all that goes wrong.

A conftest imports both fixtures; a test asks for ``visit``.
"""

import ipaddress
import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    Route,
    expect,
    sync_playwright,
)

__all__ = ["Visit", "browser", "visit"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WAIT_MS = 60_000  # a busy machine is not a mistake of the page
_LOCAL = {"about", "blob", "data", "file"}

expect.set_options(timeout=_WAIT_MS)  # expectations have a limit of their own


class Visit:
    """One page, of which every console error and failed request is remembered.

    Nothing but loopback can be reached: what a page fetches from elsewhere is a problem, too.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.problems: list[str] = []
        """in the order in which they came; a test that causes one on purpose takes it out"""
        context.set_default_timeout(_WAIT_MS)
        context.route("**/*", self._route)
        context.on("page", self._listen)
        self.page: Page = context.new_page()

    def wide(self, width_px: int, height_px: int = 900) -> None:
        """Give the window a size."""
        self.page.set_viewport_size({"width": width_px, "height": height_px})

    def check(self) -> None:
        """Fail if anything went wrong so far."""
        assert self.problems == []

    def _route(self, route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in _LOCAL or _loopback(parts.hostname or ""):
            route.continue_()
            return
        self.problems.append(f"fetches {route.request.url}")
        route.abort()

    def _listen(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self.problems.append(f"console: {message.text} ({where})")

    def _failed(self, request: Request) -> None:
        # A page that is left takes back what it has asked for.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"request failed: {request.url} ({request.failure})")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"answer {response.status}: {response.url}")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _program() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


# Not for the whole session: while it is open an event loop runs, beside which no test could start
# another one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; tests that ask for it are skipped where none is installed."""
    program = _program()
    if program is None:
        pytest.skip(f"no Chromium (looked for {', '.join(_NAMES)})")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program,
            # Its sandbox refuses to run as root; WebGL is drawn by the processor, as of 3-D fronts.
            args=[
                *(["--no-sandbox"] if os.getuid() == 0 else []),
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--disable-dev-shm-usage",
            ],
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page, 1280 px wide; the test fails if anything went wrong on it."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        visit = Visit(context)
        yield visit
        visit.check()
