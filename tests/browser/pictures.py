"""`python -m tests.browser.pictures`: takes the README's pictures of the forms, in a real JupyterLab with Chromium."""

import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.jupyter import find_chromium, launched, running

FOLDER = Path(__file__).parents[2] / "notebooks" / "pictures"
_CELL = """import tunix_rt as rt
store = rt.TraceStore("runs.duckdb")
store.load(rt.examples.folder())
rt.app(store)"""


def main() -> None:
    """One picture of the whole panel for each theme."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium on this machine; install it")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        launched(chromium) as browser,
        running(browser, Path(folder)) as server,
    ):
        for theme in ("light", "dark"):
            with server.opened(theme=theme) as jupyter:
                jupyter.write("forms.ipynb", _CELL)
                with jupyter.open("forms.ipynb", width=1300, height=1000) as page:
                    jupyter.run_all(page)
                    app = page.locator(".trt-app")
                    app.get_by_role("row", name="Solve $x^2").click(timeout=60_000)
                    app.get_by_text("Markdown", exact=True).click()
                    expect(app.locator("mjx-container").first).to_be_visible()
                    page.mouse.move(0, 0)
                    app.screenshot(path=FOLDER / f"forms-{theme}.png")


if __name__ == "__main__":
    main()
