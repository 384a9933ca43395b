"""A real JupyterLab and a real Notebook 7, driven by Chromium.

Without Chromium these tests are skipped, and where `CI` is set they fail: there nothing may be left out.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.jupyter import NAMES, Jupyter, find_chromium, launched, running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        missing = f"no Chromium on this machine (looked for {', '.join(NAMES)}); install it to run the browser tests"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with launched(chromium) as browser:
        yield browser


@pytest.fixture
def start_jupyter(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Jupyter]]:
    """Starts "lab" or "notebook" in the "light" or the "dark" theme, with surroundings of its own."""
    with ExitStack() as servers:
        homes = (tmp_path / f"jupyter-{n}" for n in range(99))
        yield lambda app="lab", theme="light": servers.enter_context(running(browser, next(homes), app, theme))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="keep pictures of what the browser tests show, to look at")


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
