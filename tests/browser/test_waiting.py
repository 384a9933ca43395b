"""A click that waits for a store which another notebook holds: it says so, cells run, and Cancel works."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

import tunix_rt as rt
from tests.browser.jupyter import awaited
from tests.browser.test_forms import APP, fill, show_app
from tests.browser.test_forms_access import AXE, LOOK
from tests.test_waiting import ENDLESS, held

pytestmark = pytest.mark.browser


def run_cell(page, n):
    page.locator(".jp-Notebook .jp-CodeCell").nth(n).locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")


def test_a_click_that_waits_blocks_no_cell_and_is_cancelled(start_jupyter, tmp_path, picture, theme, width):
    path = str(tmp_path / "traces.duckdb")
    fill(path, 30)
    jupyter = start_jupyter("lab", theme)
    jupyter.write(
        "forms.ipynb",
        APP.format(path=path),
        "import time; print(6 * 7)",
        "try:\n    print('asleep')\n    time.sleep(600)\nfinally:\n    print('woken')",
    )
    with jupyter.open("forms.ipynb", width=width) as page:
        run_cell(page, 0)
        app = page.locator(".trt-app")
        place = app.get_by_role("navigation").get_by_role("status")
        expect(place).to_have_text("1–20 of 30", timeout=60_000)
        with held(rt.TraceStore(path)) as holder:
            app.get_by_role("button", name="Older ›").click()
            said = app.locator(".trt-left").get_by_text(f"Waiting for process {holder.pid} (")
            expect(said).to_be_visible()
            expect(app.locator(".trt-health")).to_have_text("… busy")
            run_cell(page, 1)
            expect(page.locator(".jp-OutputArea-output").get_by_text("42", exact=True)).to_be_visible()
            # An interrupt of the kernel ends a cell, and not what the form waits for.
            run_cell(page, 2)
            expect(page.locator(".jp-OutputArea-output").get_by_text("asleep")).to_be_visible()
            page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
            expect(page.locator(".jp-OutputArea-output").get_by_text("woken").first).to_be_visible()
            expect(said).to_be_visible()
            picture(page, f"waiting-{theme}")
            page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
            assert "\n".join(awaited(page, LOOK)) == ""
            app.get_by_role("button", name="Cancel").click()
            expect(said).to_have_count(0)
            expect(app.get_by_role("alert").get_by_text("cancelled")).to_be_visible()
            picture(page, f"cancelled-{theme}")
            # And a click that has the store in the end.
            app.get_by_role("button", name="Older ›").click()
            expect(said).to_be_visible()
            Path("free").touch()
            expect(place).to_have_text("21–30 of 30")
        expect(app.get_by_role("alert").filter(visible=True)).to_have_count(0)
        expect(app.locator(".trt-health")).to_have_text("✓ healthy")


def test_a_long_search_is_cancelled_in_the_form(start_jupyter, tmp_path, picture):
    path = str(tmp_path / "traces.duckdb")
    fill(path, 30)
    jupyter = start_jupyter()
    jupyter.write(
        "forms.ipynb",
        APP.format(path=path),
        f"app.browser._answer(None, {{'do': 'find', 'id': 'x', 'args': {{'filters': {{'where': {ENDLESS!r}}}}}}}, [])",
    )
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        said = app.get_by_text("Still searching …")
        expect(said).to_be_visible()
        picture(page, "searching")
        app.get_by_role("button", name="Cancel").focus()
        page.keyboard.press("Enter")
        expect(said).to_have_count(0)
        app.get_by_role("button", name="Older ›").click()
        expect(app.get_by_role("navigation").get_by_role("status")).to_have_text("21–30 of 30")


def test_keys_and_values_are_offered_and_what_is_deleted_goes(start_jupyter, tmp_path, picture, theme, width):
    path = str(tmp_path / "traces.duckdb")
    fill(path, 5, reward=0.5, model="toy-1b")
    fill(path, 3, model="toy-7b")
    jupyter = start_jupyter("lab", theme)
    jupyter.write("forms.ipynb", APP.format(path=path), "_ = store.delete(app.browser.page[0].id)")
    with jupyter.open("forms.ipynb", width=width) as page:
        run_cell(page, 0)
        app = page.locator(".trt-app")
        place = app.get_by_role("navigation").get_by_role("status").first
        expect(place).to_have_text("1–8 of 8", timeout=60_000)
        app.get_by_role("button", name="Filters").click()
        meta = app.get_by_role("combobox", name="Meta")
        meta.focus()
        offered = app.locator("datalist[id*='trt-meta'] option")
        expect(offered).to_have_count(2)
        meta.press_sequentially("model=")
        expect(offered.first).to_have_attribute("value", "model=toy-1b")
        expect(offered.first).to_have_attribute("label", "5 of the newest 1,000")
        # Half a term is not searched for.
        expect(place).to_have_text("1–8 of 8")
        meta.press_sequentially("toy-7b")
        meta.press("Enter")
        expect(place).to_have_text("1–3 of 3")
        meta.fill("rewrad<1")
        meta.press("Enter")
        expect(app.get_by_text("the filters: no trace has meta.rewrad.")).to_be_visible()
        picture(page, f"terms-{theme}")
        meta.fill("reward<1")
        meta.press("Enter")
        expect(place).to_have_text("1–5 of 5")
        app.get_by_role("row", name="Question 4?").click()
        reading = app.get_by_role("region", name="The trace")
        expect(reading.get_by_text("answer 4")).to_be_visible()
        run_cell(page, 1)
        app.get_by_role("button", name="Refresh").click()
        expect(app.get_by_text("1 trace was deleted.")).to_be_visible()
        expect(app.get_by_role("row", name="Question 4?")).to_have_count(0)
        expect(reading.get_by_text("Choose a trace")).to_be_visible()
        expect(place).to_have_text("1–4 of 4")
        picture(page, f"deleted-{theme}")
