"""Groups of samples in a real JupyterLab, by keyboard: narrowed, read, compared, and prompts × policies."""

import pytest
from playwright.sync_api import expect

import tunix_rt as rt

pytestmark = pytest.mark.browser

CELL = "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\nrt.GroupBrowser(store, limit=5)"
HOSTILE = "<img src=x onerror=\"document.title='acted'\">"


def test_groups_are_narrowed_read_and_compared_by_keyboard(start_jupyter, tmp_path, picture):
    with rt.TraceStore(tmp_path / "traces.duckdb") as store:
        store.add_many(
            {
                "prompt": f"{right} × 27? {HOSTILE}",
                "steps": [f"sample {n} of {model}"],
                "final_answer": HOSTILE if n < right else "540",
                "meta": {"model": model, "correct": n < right},
            }
            for model in ("toy-1b", "toy-7b")
            for right in range(5)
            for n in range(4)
        )
    jupyter = start_jupyter("lab", "dark")
    jupyter.write("groups.ipynb", CELL.format(path=str(store.path)), "'the next cell'")
    with jupyter.open("groups.ipynb", width=1300) as page:
        jupyter.run_all(page)
        form = page.locator(".trt-groups")
        table = form.get_by_role("grid", name="Groups of samples")
        trace = form.get_by_role("region", name="The trace")
        pager = form.get_by_role("navigation", name="Pages")
        press = page.keyboard.press
        expect(pager).to_contain_text("1–5 of 10", timeout=60_000)
        # Through the pages with the arrows, and to the hardest of the informative ones.
        table.get_by_role("button", name="Sample 1: wrong").first.focus()
        for _ in range(5):
            press("ArrowDown")
        expect(pager).to_contain_text("6–10 of 10")
        form.get_by_role("button", name="informative 6").focus()
        press("Enter")
        expect(pager).to_contain_text("1–5 of 6")
        table.get_by_role("button", name="Sample 4: right").first.focus()
        press("Enter")
        expect(trace).to_contain_text("sample 0 of toy-1b")
        press("ArrowLeft")
        press("c")
        compared = form.get_by_role("region", name="The comparison")
        expect(compared).to_contain_text("sample 1 of toy-1b")
        expect(compared).to_contain_text("✗ wrong")
        picture(page, "groups-dark-1300")
        compared.focus()
        press("Escape")
        expect(trace).to_contain_text("sample 0 of toy-1b")
        # No key was the notebook's: x cuts a cell, dd deletes it, a makes a new one.
        table.get_by_role("button", name="Sample 1: wrong").first.focus()
        for key in ("x", "d", "d", "a", "z"):
            press(key)
        expect(page.locator(".jp-CodeCell")).to_have_count(2)
        form.get_by_text("Matrix", exact=True).click()
        matrix = form.get_by_role("grid", name="Prompts and policies")
        matrix.get_by_role("button", name="toy-7b: 1 of 4 correct").focus()
        press("Enter")
        expect(trace).to_contain_text("sample 3 of toy-7b")
        samples = form.get_by_role("toolbar", name="Samples of the open group")
        samples.get_by_role("button", name="Sample 1").focus()
        press("ArrowRight")
        press("Enter")
        expect(trace).to_contain_text("sample 2 of toy-7b")
        picture(page, "matrix-dark-1300")
        assert page.title() != "acted"
