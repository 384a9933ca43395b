"""A real JupyterLab and a real Notebook 7, driven by Chromium.

Without Chromium these tests are skipped, and where `CI` is set they fail: there nothing may be left out.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.jupyter import NAMES, Jupyter, Server, find_chromium, launched, running

# A slow machine takes longer than five seconds to load a file, or to draw a long trace.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        missing = f"no Chromium on this machine (looked for {', '.join(NAMES)}); install it to run the browser tests"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with launched(chromium) as browser:
        yield browser


@pytest.fixture(scope="session")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: a server takes seconds to start, a folder and a kernel do not."""
    with running(browser, tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def start_jupyter(server: Server) -> Iterator[Callable[..., Jupyter]]:
    """Opens "lab" or "notebook" in the "light" or the "dark" theme, with a folder and kernels of its own."""
    with ExitStack() as opened:
        yield lambda app="lab", theme="light": opened.enter_context(server.opened(app, theme))


# Where a test does the same in each theme and width, so that somebody looks at the pictures.
_LOOKS = [("dark", 700), ("light", 1300)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a `theme` and a `width` runs once; once in each look where --screenshots asks for pictures."""
    own = any("theme" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if {"theme", "width"} <= {*metafunc.fixturenames} and not own:
        metafunc.parametrize(("theme", "width"), _LOOKS if metafunc.config.getoption("--screenshots") else _LOOKS[:1])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="keep pictures of what the browser tests show, to look at")
    parser.addoption("--traces", type=int, default=5_000, metavar="N", help="traces of the five jobs, such as 200000")


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps a picture of the whole notebook under a name, where --screenshots asks for it."""

    def keep(page: Page, name: str) -> None:
        folder = request.config.getoption("--screenshots")
        if folder:
            # As tall as all the cells: what scrolls out of sight is in no picture.
            parts = page.locator(".jp-Notebook, .jp-WindowedPanel-outer, .jp-WindowedPanel-inner")
            tall = parts.evaluate_all("all => Math.max(...all.map(one => one.scrollHeight))") + 200
            page.set_viewport_size({"width": page.viewport_size["width"], "height": min(tall, 12_000)})
            parts.evaluate_all("all => all.forEach(one => one.scrollTo(0, 0))")
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png")

    return keep
