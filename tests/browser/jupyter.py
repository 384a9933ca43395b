"""A real Jupyter server for Lab and Notebook 7, with surroundings of its own, and pages on it in Chromium."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import nbformat
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.jupyter_server import started
from tests.processes import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Where each shows a notebook.
PATHS = {"lab": "lab/tree", "notebook": "notebooks"}
# The toolbar's "idle" is shown while there is still no kernel; only the application knows.
READY = """() => {
    const context = window.jupyterapp?.shell?.currentWidget?.context;
    const kernel = context?.sessionContext?.session?.kernel;
    return context?.isReady && context.sessionContext.isReady
        && kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
# The front end asks a new kernel for its widgets, and may lose those that are made meanwhile. Requests are answered in
# their order, so after this one that is done.
ASKED = """async () => {
    const context = window.jupyterapp.shell.currentWidget.context;
    await context.sessionContext.session.kernel.requestCommInfo({target_name: "jupyter.widget"});
}"""
# A notebook in a JupyterLab that is open already, where no other is open.
OPEN = """async path => {
    const app = window.jupyterapp;
    await app.restored;
    await app.commands.execute("docmanager:open", {path, factory: "Notebook"});
}"""
# What is open follows it, as when somebody chooses it in the menu.
CHANGE_THEME = """async theme => {
    const app = window.jupyterapp;
    await app.restored;
    await app.commands.execute("apputils:change-theme", {theme});
}"""
# What to look at when a notebook does not become ready.
STATE = """() => {
    const shown = window.jupyterapp?.shell?.currentWidget, session = shown?.context?.sessionContext;
    const kernel = session?.session?.kernel;
    return {
        url: location.href, shown: shown?.id, title: shown?.title?.label, read: shown?.context?.isReady,
        session: session?.isReady, connection: kernel?.connectionStatus, kernel: kernel?.status,
        dialog: document.querySelector(".jp-Dialog")?.innerText,
    };
}"""
# Everything but a launcher: where nothing is open, JupyterLab shows one some time later, in front of the next notebook.
CLOSE = """async () => {
    const {commands, shell} = window.jupyterapp;
    const launcher = await commands.execute("launcher:create");
    [...shell.widgets("main")].filter(one => one !== launcher).forEach(one => one.dispose());
}"""
START_SECONDS = 60
FAILURES = Path(__file__).parents[2] / "failures"


def find_chromium() -> str | None:
    """Where a Chromium is, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(chromium: str) -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox to give; the pages are our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Jupyter:
    """Lab or Notebook on a running server, with a folder of notebooks, and pages on them."""

    def __init__(
        self, browser: BrowserContext, app: str, theme: str, url: str, token: str, folder: Path, idle: list[Page]
    ) -> None:
        self.app, self.theme, self.folder = app, theme, folder
        self.url = url
        self._browser, self._token, self._idle = browser, token, idle

    def write(self, name: str, *cells: str) -> None:
        """A notebook with these cells of code."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)

    @contextmanager
    def open(self, name: str, width: int = 1200, height: int = 1000) -> Iterator[Page]:
        """The notebook, its kernel ready; `page.requests` are the addresses that it asked for.

        Most of the time of a test goes into loading JupyterLab, so its page is used again where the test went well.
        """
        path = f"{self.folder.name}/{name}"
        page = self._idle.pop() if self._idle else self._new_page()
        page.requests = []
        page.set_viewport_size({"width": width, "height": height})
        try:
            if page.url.startswith(self.url):
                self.change_theme(page, self.theme)
                awaited(page, OPEN, path)
            else:
                query = f"token={self._token}" + ("&reset" if self.app == "lab" else "")
                page.goto(f"{self.url}/{PATHS[self.app]}/{path}?{query}")
            page.wait_for_function(READY, timeout=START_SECONDS * 1_000)
            awaited(page, ASKED)
            if self.app == "lab":
                page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
            yield page
            # A page closed beside another may later show a launcher in front of the next test's notebook.
            if self.app == "lab" and page.context.pages == [page]:
                awaited(page, CLOSE)
                self._idle.append(page)
                return
        except BaseException:
            keep_failure(page)
            print("the server:", (self.folder.parents[1] / "log").read_text()[-4_000:])  # noqa: T201 - likewise
            page.close()
            raise
        page.close()

    def _new_page(self) -> Page:
        page = self._browser.new_page()
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: print("page error:", error))  # noqa: T201 - pytest shows it with a failure
        page.on("console", lambda said: said.type == "error" and print("console:", said.text))  # noqa: T201
        return page

    @staticmethod
    def change_theme(page: Page, theme: str) -> None:
        """Shows the page, and what is open in it, in the "light" or the "dark" theme, without a load."""
        name = f"JupyterLab {theme.title()}"
        awaited(page, CHANGE_THEME, name)
        # It is named when its colours are there.
        page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")

    @staticmethod
    def run_all(page: Page) -> None:
        """Runs all cells; returns at once."""
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")


def awaited(page: Page, script: str, value: object = None) -> Any:
    """What the promise of a script gives; the page keeps it, as one that only a test waits for may be collected."""
    return page.evaluate(f"value => window.awaited = ({script})(value)", value)


def keep_failure(page: Page) -> None:
    """What the browser showed when a test failed, under the test's name, for CI to keep; its state is printed."""
    test = re.sub(r"\W+", "-", os.environ.get("PYTEST_CURRENT_TEST", "unknown").rpartition("/")[2]).strip("-")
    # A page that is gone shows nothing.
    with suppress(Error):
        print("the page:", page.evaluate(STATE))  # noqa: T201 - pytest shows it with a failure
        page.screenshot(path=FAILURES / f"{test}.png")


class Server:
    """A running server of Lab and Notebook, whose notebooks lie in the folder `home / "notebooks"`."""

    def __init__(self, browser: BrowserContext, home: Path, url: str, token: str) -> None:
        self._browser, self._home, self._url, self._token = browser, home, url, token
        # Pages of JupyterLab without a notebook.
        self._idle: list[Page] = []

    @contextmanager
    def opened(self, app: str = "lab", theme: str = "light") -> Iterator[Jupyter]:
        """ "lab" or "notebook", "light" or "dark", with a folder of its own; its kernels end with it."""
        # A page that is loaded reads it.
        self._set("apputils-extension/themes", theme=f"JupyterLab {theme.title()}")
        folder = Path(tempfile.mkdtemp(prefix="test-", dir=self._home / "notebooks"))
        idle = self._idle if app == "lab" else []
        yield Jupyter(self._browser, app, theme, self._url, self._token, folder, idle)
        headers = {"Authorization": f"token {self._token}"}
        with httpx.Client(base_url=f"{self._url}/api", headers=headers, trust_env=False, timeout=PATIENCE) as client:
            for session in client.get("sessions").raise_for_status().json():
                client.delete(f"sessions/{session['id']}").raise_for_status()

    def _set(self, name: str, **values: object) -> None:
        file = self._home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))


@contextmanager
def running(browser: Browser, home: Path) -> Iterator[Server]:
    """A server of Lab and Notebook; all that it keeps lies in the folder `home`."""
    folder = home / "notebooks"
    folder.mkdir(parents=True)
    own = {
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        # In the folder of each notebook.
        "TUNIX_RT_DATABASE": "default.duckdb",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUNIX_RT_")}
    exposed = [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
    with (
        started(home, "jupyterlab", *exposed, folder=folder, environment=inherited | own) as server,
        # One for all pages: they share what was fetched and compiled.
        browser.new_context() as context,
    ):
        both = Server(context, home, server.url, server.token)
        both._set("apputils-extension/notification", fetchNews="false", checkForUpdates=False)
        # All cells are drawn, also those out of sight.
        both._set("notebook-extension/tracker", windowingMode="none")
        yield both
