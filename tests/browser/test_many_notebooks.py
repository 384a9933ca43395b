"""The notebook on sharing a store: run in a real JupyterLab, and looked at."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_many_notebooks.ipynb"


def test_runs_record_while_the_notebook_reads(start_jupyter, picture, theme, width):
    jupyter = start_jupyter("lab", theme)
    shutil.copy(NOTEBOOK, jupyter.folder)
    with jupyter.open(NOTEBOOK.name, width=width) as page:
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        jupyter.run_all(page)
        output = page.locator(".jp-OutputArea-output")
        expect(output.get_by_text("never fewer than before: True")).to_be_visible(timeout=60_000)
        expect(output.get_by_text("all runs ended well: True")).to_be_visible()
        expect(output.get_by_text("traces can still be added")).to_be_visible(timeout=30_000)
        expect(page.locator(".trt")).to_have_count(3, timeout=30_000)
        shown = page.locator(".trt")
        assert shown.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length") == 0
        picture(page, f"many-notebooks-{theme}-{width}")
