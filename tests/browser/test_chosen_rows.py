"""Rows that are chosen and acted on, by keyboard alone and by mouse, in a real JupyterLab."""

import pytest
from playwright.sync_api import expect

import tunix_rt as rt

pytestmark = pytest.mark.browser

APP = "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\napp = rt.app(store)\napp"


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "traces.duckdb")
    with rt.TraceStore(path) as store:
        store.add_many(rt.Trace(prompt=f"Question {n}?", steps=["s"], final_answer="a") for n in range(25))
        store.score("length", progress=False)
    return path


def test_three_are_chosen_deleted_and_put_back_by_keyboard_alone(start_jupyter, path):
    jupyter = start_jupyter()
    jupyter.write("rows.ipynb", APP.format(path=path))
    store = rt.TraceStore(path)
    before = store.sql("from scores order by all").rows
    with jupyter.open("rows.ipynb") as page:
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        rows, place = app.locator(".trt-list tbody tr"), app.locator(".trt-pager .trt-place")
        expect(place).to_have_text("1–20 of 25", timeout=60_000)
        app.get_by_role("searchbox", name="Search in prompt, steps and answer").press("ArrowDown")
        # The last two of the page and the first of the next one: a range goes past its end.
        page.keyboard.press("End")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Shift+ArrowDown")
        expect(app.get_by_text("2 chosen", exact=True)).to_be_visible()
        page.keyboard.press("Shift+ArrowDown")
        expect(app.get_by_text("3 chosen, 2 of them not on this page", exact=True)).to_be_visible()
        expect(rows.first.get_by_role("checkbox")).to_be_checked()
        expect(place).to_have_text("21–25 of 25")
        page.keyboard.press("Delete")
        expect(app.get_by_text("Deleted 3 traces and 3 scores.")).to_be_visible()
        expect(place).to_have_text("21–22 of 22")
        assert store.count() == 22
        # The focus is in the list again.
        expect(app.locator("tr[tabindex='0']")).to_be_focused()
        page.keyboard.press("Control+z")
        expect(app.get_by_text("Put back 3 traces.")).to_be_visible()
        expect(place).to_have_text("21–25 of 25")
        assert store.sql("from scores order by all").rows == before
        # With the mouse: a range, and one of it taken out again; then none.
        rows.first.click()
        rows.nth(3).click(modifiers=["Shift"])
        rows.nth(1).click(modifiers=["ControlOrMeta"])
        expect(app.get_by_text("5 chosen, 2 of them not on this page", exact=True)).to_be_visible()
        page.keyboard.press("ControlOrMeta+a")
        expect(app.get_by_text("7 chosen, 2 of them not on this page", exact=True)).to_be_visible()
        page.keyboard.press("Escape")
        expect(app.get_by_text("7 chosen")).to_be_hidden()
