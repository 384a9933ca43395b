"""The quickstart as a newcomer sees it: in JupyterLab and Notebook 7, light and dark, wide and narrow."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"


@pytest.mark.parametrize(
    ("app", "theme", "width"),
    [("lab", "dark", 1200), ("notebook", "light", 700)],
)
def test_the_quickstart_runs_and_shows_what_it_tells(start_jupyter, picture, app, theme, width):
    jupyter = start_jupyter(app, theme)
    shutil.copy(QUICKSTART, jupyter.folder)
    with jupyter.open(QUICKSTART.name, width=width) as page:
        shown = page.locator(".trt")
        # What was saved is shown before anything has run.
        expect(shown.get_by_text("17 added · 0 already stored · 0 rejected")).to_be_visible()
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        expect(shown).to_have_count(0)
        jupyter.run_all(page)
        expect(shown).to_have_count(11, timeout=60_000)
        expect(shown.get_by_text("17 added · 0 already stored · 0 rejected")).to_be_visible()
        expect(shown.get_by_text("1 added · 0 already stored · 3 rejected")).to_be_visible()
        expect(shown.get_by_text("must have at least one step")).to_be_visible()
        # Mathematics is set; a price stays a price.
        expect(shown.locator("mjx-container").first).to_be_visible()
        expect(shown.get_by_text("4 × $12 = $48")).to_be_visible()
        # A step folds and unfolds.
        step = page.locator(".trt .trt-prose", has_text="The formula is C = (F − 32) × 5/9.")
        head = shown.locator("details", has_text="The formula is C = (F − 32) × 5/9.").locator("> summary")
        expect(step).to_be_visible()
        head.click()
        expect(step).to_be_hidden()
        head.click()
        expect(step).to_be_visible()
        # Nothing is wider than its cell, and nothing is fetched from elsewhere.
        assert shown.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length") == 0
        own = (jupyter.url, jupyter.url.replace("http", "ws"), "data:", "blob:")
        assert [url for url in page.requests if not url.startswith(own)] == []
        picture(page, f"quickstart-{app}-{theme}-{width}")
