"""A queue labelled in a real JupyterLab, by keyboard alone."""

import pytest
from playwright.sync_api import expect

import tunix_rt as rt

pytestmark = pytest.mark.browser

CELL = "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\nrt.LabelForm(store, 'all of them', annotator='ada')"
RESTART = "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()"
HOSTILE = "<img src=x onerror=\"document.title='acted'\">"


def said(store):
    """What ada says, by prompt and step."""
    prompts = {str(one.id): one.preview for one in store.page()}
    rows = store.scores("label:ada").arrow().to_pylist()
    return {
        (prompts[str(row["trace_id"])], row["step"]): (row["label"], row["explanation"]) for row in rows if row["label"]
    }


def test_a_queue_is_labelled_by_keyboard_alone_and_goes_on_after_a_restart(start_jupyter, tmp_path, picture):
    store = rt.TraceStore(tmp_path / "traces.duckdb")
    store.add_many(rt.Trace(prompt=f"Question {n}", steps=["so", "thus"], final_answer="a") for n in range(5))
    # A selection, whose order is not random.
    store.select("all of them", where="true")
    jupyter = start_jupyter("lab", "dark")
    jupyter.write("label.ipynb", CELL.format(path=str(store.path)), "'the next cell'")
    with jupyter.open("label.ipynb", width=700) as page:
        jupyter.run_all(page)
        form = page.locator(".trt-labelling")
        trace = form.get_by_role("region", name="The trace")
        queue = form.get_by_role("toolbar", name="The queue")
        press = page.keyboard.press
        expect(trace).to_contain_text("Question 4", timeout=60_000)
        trace.focus()
        press("1")
        expect(trace).to_contain_text("Question 3")
        # A note is stored with the verdict; in it the keys are letters.
        press("w")
        page.keyboard.type(f"jj{HOSTILE}")
        press("Enter")
        press("b")
        expect(trace).to_contain_text("Question 2")
        press("n")
        press("n")
        press("e")
        expect(trace.locator(".trt-step").nth(1)).to_contain_text("first error")
        press("Shift+Digit3")
        expect(trace.locator(".trt-step").nth(1)).to_contain_text("unsure")
        press("3")
        expect(trace).to_contain_text("Question 1")
        press("1")
        expect(queue).to_contain_text("all of them · 5 of 5 · 4 labelled by ada")
        press("Control+z")
        expect(trace).to_contain_text("Question 1")
        press("k")
        press("k")
        expect(form.get_by_role("textbox", name="Note")).to_have_value(f"jj{HOSTILE}")
        expect(form.get_by_role("button", name="bad")).to_have_attribute("aria-pressed", "true")
        expect(form.get_by_role("button", name="good")).to_have_attribute("aria-pressed", "false")
        picture(page, "label-dark-700")
        # No key was the notebook's: x cuts a cell, dd deletes it, a makes a new one.
        for key in ("x", "d", "d", "a", "z"):
            press(key)
        expect(page.locator(".jp-CodeCell")).to_have_count(2)
        assert said(store) == {
            ("Question 4", None): ("good", None),
            ("Question 3", None): ("bad", f"jj{HOSTILE}"),
            ("Question 2", None): ("unsure", None),
            ("Question 2", 1): ("unsure", None),
        }
        page.evaluate(RESTART)
        expect(form.get_by_text("The kernel that made this form is gone")).to_be_visible()
        jupyter.run_all(page)
        expect(trace).to_contain_text("Question 1")
        expect(queue).to_contain_text("4 of 5 · 3 labelled")
        assert page.title() != "acted"
