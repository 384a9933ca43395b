"""The forms in a real JupyterLab and Notebook 7: the seed's story, pages, filters, files, live mode, what is saved."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

import tunix_rt as rt

pytestmark = pytest.mark.browser

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_forms.ipynb"
APP = "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\napp = rt.app(store)\napp"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "traces.duckdb")


def fill(path, n, **meta):
    rt.TraceStore(path).add_many(
        rt.Trace(prompt=f"Question {i}?", steps=["think"] * (1 + i % 5), final_answer=f"answer {i}", meta=meta or None)
        for i in range(n)
    )


def containing(text):
    return re.compile(re.escape(text))


def show_app(jupyter, page):
    jupyter.run_all(page)
    app = page.locator(".trt-app")
    expect(app).to_be_visible(timeout=60_000)
    return app


@pytest.mark.parametrize("kind", ["lab", "notebook"])
def test_an_example_is_loaded_uploaded_and_fetched(start_jupyter, path, picture, kind):
    jupyter = start_jupyter(kind)
    jupyter.write("forms.ipynb", APP.format(path=path), "app.selected.payload.final_answer")
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        expect(app.get_by_text("No traces yet.")).to_be_visible()
        app.get_by_role("button", name="Add traces").click()
        upload = app.get_by_role("region", name="Add traces")
        # What makes no sense yet cannot be pressed.
        expect(upload.get_by_role("button", name="Add this trace")).to_be_disabled()
        expect(upload.get_by_role("button", name="Show it")).to_be_disabled()
        expect(upload.get_by_role("button", name="Add", exact=True)).to_be_disabled()
        upload.get_by_role("button", name="Load Example").click()
        editor = upload.get_by_role("textbox", name="A trace as JSON")
        expect(editor).to_have_value(containing("Convert 68°F to Celsius"))
        expect(editor).to_have_value(containing("20°C"))
        upload.get_by_role("button", name="Add this trace").click()
        expect(upload.get_by_text("Added:")).to_be_visible()
        record = rt.TraceStore(path).latest()
        expect(upload.get_by_text(str(record.id))).to_be_visible()
        expect(app.get_by_role("row", name="Convert 68°F to Celsius")).to_be_visible()
        upload.get_by_role("button", name="Show it").click()
        reading = app.get_by_role("region", name="The trace")
        expect(reading.locator(".trt-prose").get_by_text("Given: 68 degrees Fahrenheit")).to_be_visible()
        expect(reading.get_by_text("20°C", exact=True)).to_be_visible()
        picture(page, f"forms-story-{kind}")
        # The trace that is shown is there for the next cell.
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:move-cursor-down'); }")
        page.locator(".jp-Notebook .jp-CodeCell").nth(1).click()
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-OutputArea-output").get_by_text("'20°C'")).to_be_visible(timeout=20_000)


def test_pages_turn_within_the_filter_and_back(start_jupyter, path, picture):
    fill(path, 30, source="first")
    fill(path, 45, source="second")
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        place = app.get_by_role("navigation").get_by_role("status").first
        rows = app.locator(".trt-list tbody tr")
        expect(place).to_have_text("1–20 of 75")
        app.get_by_role("button", name="Older ›").click()
        expect(place).to_have_text("21–40 of 75")
        app.get_by_role("button", name="Oldest traces").click()
        expect(place).to_have_text("56–75 of 75")
        expect(rows.last).to_contain_text("Question 0?")
        app.get_by_role("button", name="Filters").click()
        app.get_by_role("combobox", name="Source").fill("first")
        app.get_by_role("combobox", name="Source").press("Enter")
        expect(place).to_have_text("1–20 of 30")
        app.get_by_role("spinbutton", name="At least N steps").fill("2")
        app.get_by_role("spinbutton", name="At least N steps").press("Enter")
        expect(place).to_have_text("1–20 of 24")
        expect(app.get_by_role("button", name="Filters (2)")).to_be_visible()
        app.get_by_role("button", name="Older ›").click()
        expect(place).to_have_text("21–24 of 24")
        expect(app.get_by_role("button", name="Older ›")).to_be_disabled()
        picture(page, "forms-filters")
        app.get_by_role("button", name="‹ Newer").click()
        expect(place).to_have_text("1–20 of 24")
        app.get_by_role("searchbox", name="Search in prompt, steps and answer").fill("answer 12")
        expect(place).to_have_text("1–1 of 1")
        app.get_by_role("searchbox", name="Search in prompt, steps and answer").fill("nowhere")
        expect(app.get_by_text("No trace matches the search and the filters.")).to_be_visible()
        app.get_by_role("button", name="Clear the filters").click()
        expect(place).to_have_text("1–20 of 75")
        # A day to come holds no older page: the newest traces.
        app.get_by_label("Jump to a date").fill("2999-01-01")
        expect(place).to_have_text("1–20 of 75")
        app.get_by_label("Jump to a date").fill("1999-01-01")
        expect(app.get_by_role("alert").get_by_text("no trace is as old as 1999-01-01")).to_be_visible()
        expect(rows).to_have_count(20)


def test_live_mode_counts_what_is_new_and_leaves_the_list_where_it_is(start_jupyter, path):
    fill(path, 5)
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        live = app.get_by_role("button", name="Live")
        live.click()
        expect(live).to_have_attribute("aria-pressed", "true")
        fill(path, 3)
        expect(app.get_by_role("button", name="3 new traces: show")).to_be_visible(timeout=15_000)
        expect(app.locator(".trt-list tbody tr")).to_have_count(5)
        app.get_by_role("button", name="3 new traces: show").click()
        expect(app.locator(".trt-list tbody tr")).to_have_count(8)
        expect(app.get_by_role("button", name="3 new traces: show")).to_be_hidden()


def test_a_file_of_30_mb_arrives_whole_with_its_progress(start_jupyter, path, tmp_path, picture):
    file = tmp_path / "rollouts.jsonl"
    trace = {"prompt": "p", "steps": ["x" * 2_000], "final_answer": "a"}
    with file.open("w") as out:
        for i in range(15_000):
            out.write(json.dumps(trace | {"prompt": f"prompt {i}"}) + "\n")
        out.write('{"prompt": "no steps"}\n')
    assert file.stat().st_size > 30_000_000
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        app.get_by_role("button", name="Add traces").click()
        app.locator("input[type=file]").first.set_input_files(file)
        expect(app.get_by_role("progressbar")).to_be_visible()
        expect(app.get_by_text("Sending rollouts.jsonl")).to_be_visible()
        expect(app.get_by_text("15,000 added · 0 already stored · 1 rejected")).to_be_visible(timeout=60_000)
        expect(app.get_by_role("progressbar")).to_be_hidden()
        expect(app.get_by_text("from rollouts.jsonl · format")).to_be_visible()
        expect(app.get_by_role("navigation").get_by_role("status").first).to_have_text("1–20 of 15,000")
        with page.expect_download() as download:
            app.get_by_role("button", name="Download the rejected rows").click()
        (rejected,) = download.value.path().read_text().splitlines()
        assert json.loads(rejected)["line"] == 15_001
        assert json.loads(rejected)["file"] == "rollouts.jsonl"
        app.get_by_role("button", name=str(rt.TraceStore(path).page(limit=1).records[0].id)[:8]).first.click()
        expect(app.get_by_role("region", name="The trace").get_by_text("prompt 0", exact=True)).to_be_visible()
        picture(page, "forms-upload")
    assert rt.TraceStore(path).count() == 15_000


def test_a_file_of_no_known_format_is_added_by_the_fields_chosen_in_the_form(
    start_jupyter, picture, path, tmp_path, theme, width
):
    file = tmp_path / "unknown.jsonl"
    file.write_text("".join(json.dumps({"question": f"{n} + {n}?", "answer": f"{2 * n}"}) + "\n" for n in range(3)))
    jupyter = start_jupyter(theme=theme)
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb", width=width) as page:
        app = show_app(jupyter, page)
        app.get_by_role("button", name="Add traces").click()
        app.locator("input[type=file]").first.set_input_files(file)
        expect(app.get_by_text("choose below what its fields are")).to_be_visible()
        expect(app.get_by_text("mapping=")).to_have_count(0)
        fields = app.get_by_role("group", name="What the fields are")
        rows = fields.get_by_role("table").locator("tbody tr")
        expect(rows.first).to_contain_text("0 + 0?")
        # By keyboard: the answer is the one to compare with; the preview follows, and the focus stays.
        answer = fields.get_by_role("combobox", name="model's text")
        answer.focus()
        page.keyboard.press("Home")
        expect(fields.get_by_text("all can be read this way")).to_be_visible()
        expect(rows.last).not_to_contain_text("4")
        expect(answer).to_be_focused()
        picture(page, f"forms-fields-{theme}-{width}")
        fields.get_by_role("combobox", name="expected answer").select_option("answer · 0")
        expect(rows.last).to_contain_text("expected answer: 4")
        wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.className)"
        assert app.locator(".trt-form, .trt-parts, .trt-targets, .trt-drop").evaluate_all(wide) == []
        picture(page, f"forms-fields-chosen-{theme}-{width}")
        fields.get_by_role("button", name="Add this file").click()
        expect(app.get_by_text("3 added · 0 already stored · 0 rejected")).to_be_visible()
        expect(fields).to_have_count(0)
    assert rt.TraceStore(path).latest().payload.meta["expected_answer"] == "4"


def test_a_running_upload_is_cancelled(start_jupyter, path, tmp_path):
    file = tmp_path / "rollouts.jsonl"
    row = json.dumps({"prompt": "p", "steps": ["x" * 2_000], "final_answer": "a"}) + "\n"
    file.write_text(row * 40_000)
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        app.get_by_role("button", name="Add traces").click()
        app.locator("input[type=file]").first.set_input_files(file)
        expect(app.get_by_text("Sending rollouts.jsonl")).to_be_visible()
        app.get_by_role("button", name="Cancel").click()
        expect(app.get_by_role("progressbar")).to_be_hidden()
        expect(app.get_by_role("button", name="Choose files …")).to_be_enabled()
    assert rt.TraceStore(path).count() == 0


def test_wrong_json_is_told_as_it_is_typed_with_its_place(start_jupyter, path, picture):
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        app.get_by_role("button", name="Add traces").click()
        upload = app.get_by_role("region", name="Add traces")
        editor = upload.get_by_role("textbox", name="A trace as JSON")
        editor.fill(
            '{"prompt": "😀 27 × 19?",\n "steps": [{"i": 0, "type": "compute", "content": 5}],\n "final_answer": 7}'
        )
        expect(upload.get_by_text("steps.0.content")).to_be_visible()
        expect(upload.get_by_text("must be a string, not a number")).to_have_count(2)
        expect(upload.get_by_role("button", name="Add this trace")).to_be_disabled()
        picture(page, "forms-wrong-json")
        upload.get_by_role("button", name="line 3, column 18").click()
        assert editor.evaluate("area => area.value.slice(area.selectionStart)") == "7}"
        editor.fill('{"prompt": "p",\n "steps": [}')
        expect(upload.get_by_text("invalid JSON at line 2, column 12")).to_be_visible()
        editor.fill('{"prompt": "p", "steps": ["s"], "final_answer": "a"}')
        expect(upload.get_by_role("button", name="Add this trace")).to_be_enabled()


def test_a_failure_is_told_in_the_form_where_it_happened(start_jupyter, path):
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        app.get_by_role("button", name="Add traces").click()
        upload = app.get_by_role("region", name="Add traces")
        upload.get_by_role("textbox", name="File, folder or pattern").fill("nothing/*.jsonl")
        upload.get_by_role("button", name="Add", exact=True).click()
        expect(upload.get_by_role("alert").get_by_text("nothing/*.jsonl: no file matches this pattern")).to_be_visible()
        upload.get_by_role("button", name="Dismiss").click()
        expect(upload.get_by_role("alert")).to_have_count(0)


WATCH = """import tunix_rt as rt
store = rt.TraceStore({path!r})
form = rt.FolderWatch(store, "runs", every=0.2)
form"""


def test_a_watched_folder_shows_what_comes_and_the_saved_notebook_what_came(start_jupyter, path, picture, theme, width):
    jupyter = start_jupyter("lab", theme)
    jupyter.write("watch.ipynb", WATCH.format(path=path))
    runs = jupyter.folder / "runs"
    with jupyter.open("watch.ipynb", width=width) as page:
        jupyter.run_all(page)
        form = page.get_by_role("region", name="Watched folder")
        expect(form.get_by_text("runs: no such file or folder")).to_be_visible(timeout=60_000)
        picture(page, f"forms-watch-waits-{theme}-{width}")
        runs.mkdir()
        (runs / "half.json").write_text("[")
        (runs / "config.json").write_text('{"learning_rate": 0.1, "batch_size": 8}')
        (runs / "a.jsonl").write_text('{"question": "What is 2 + 2?", "answer": "It is 4.\\n#### 4"}\n' + "{broken\n")
        expect(form.get_by_text("1 added · 0 already stored · 2 rejected")).to_be_visible()
        expect(form.get_by_text("not complete yet: half.json")).to_be_visible()
        rows = [{"question": f"What is {n} + {n}?", "answer": f"It is {n + n}.\n#### {n + n}"} for n in range(40)]
        (runs / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        expect(form.get_by_text("41 added · 0 already stored · 2 rejected")).to_be_visible()
        expect(form.locator(".trt-list tbody tr")).to_have_count(5)
        form.get_by_role("row", name="What is 39 + 39?").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(form.get_by_text("It is 76.")).to_be_visible()
        form.get_by_role("button", name="Stop").click()
        expect(form.get_by_text("stopped")).to_be_visible()
        expect(form.get_by_role("button", name="Start again")).to_be_visible()
        wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.className)"
        assert page.locator(".trt-form, .trt-toolbar, .trt-scrolled, .trt-watch-report").evaluate_all(wide) == []
        picture(page, f"forms-watch-{theme}-{width}")
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    saved = json.dumps(json.loads((jupyter.folder / "watch.ipynb").read_text()))
    assert "41 added" in saved
    assert "What is 39 + 39?" in saved


def test_a_lost_kernel_is_told_and_the_saved_notebook_shows_the_page(start_jupyter, path, picture, tmp_path):
    fill(path, 3)
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        expect(page.locator(".trt-saved")).to_be_hidden()
        # What is saved is what was seen last.
        fill(path, 1, source="later")
        app.get_by_role("searchbox", name="Search in prompt, steps and answer").fill("answer 0")
        expect(app.locator(".trt-list tbody tr")).to_have_count(2)
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
        page.evaluate(
            "() => { window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart(); }"
        )
        expect(app.get_by_text("The kernel that made this form is gone.").first).to_be_visible(timeout=20_000)
        picture(page, "forms-lost-kernel")
    with jupyter.open("forms.ipynb") as page:
        saved = page.locator(".trt-saved")
        expect(saved).to_be_visible()
        expect(saved.get_by_text("filters: text=answer 0")).to_be_visible()
        expect(saved.locator("tbody tr")).to_have_count(2)
        expect(page.get_by_text("model not found")).to_be_hidden()
        picture(page, "forms-reopened")
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "html",
        "--output-dir",
        tmp_path,
        jupyter.folder / "forms.ipynb",
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert "filters: text=answer 0" in (tmp_path / "forms.html").read_text()


def test_the_notebook_of_the_forms_runs_and_shows_them(start_jupyter, picture, theme, width):
    jupyter = start_jupyter("lab", theme)
    shutil.copy(NOTEBOOK, jupyter.folder)
    with jupyter.open(NOTEBOOK.name, width=width) as page:
        # What was saved is shown before anything has run.
        expect(page.locator(".trt-saved").first).to_be_visible()
        expect(page.get_by_text("model not found").first).to_be_hidden()
        jupyter.run_all(page)
        expect(page.locator(".trt-form:not(.trt-app .trt-form)")).to_have_count(5, timeout=60_000)
        expect(page.get_by_text("healthy", exact=True).first).to_be_visible()
        expect(page.locator(".trt-saved:visible")).to_have_count(0)
        wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.className)"
        assert page.locator(".trt-form, .trt-toolbar, .trt-scrolled").evaluate_all(wide) == []
        own = (jupyter.url, jupyter.url.replace("http", "ws"), "data:", "blob:")
        assert [url for url in page.requests if not url.startswith(own)] == []
        picture(page, f"forms-notebook-{theme}-{width}")


def test_a_click_on_a_heading_sorts_the_list(start_jupyter, path, picture):
    fill(path, 25)
    jupyter = start_jupyter()
    jupyter.write("forms.ipynb", APP.format(path=path))
    with jupyter.open("forms.ipynb") as page:
        app = show_app(jupyter, page)
        first = app.locator(".trt-list tbody tr").first
        steps = app.get_by_role("columnheader", name="steps")
        expect(app.get_by_role("columnheader", name="created")).to_have_attribute("aria-sort", "descending")
        steps.get_by_role("button").click()
        expect(app.get_by_role("grid", name="Traces by n_steps, ascending")).to_be_visible()
        expect(first).to_contain_text("Question 20?")
        app.get_by_role("button", name="Next ›").click()
        expect(first).to_contain_text("Question 24?")
        picture(page, "forms-sorted")
        # By keyboard, from the heading that has the focus.
        steps.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(steps).to_have_attribute("aria-sort", "descending")
        expect(first).to_contain_text("Question 24?")
        # Past the answers, by which nothing is sorted; their heading has the focus, too, to be widened.
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        expect(app.get_by_role("columnheader", name="prompt")).to_have_attribute("aria-sort", "ascending")
        expect(first).to_contain_text("Question 0?")
        prompt = app.get_by_role("columnheader", name="prompt")
        prompt.get_by_role("button").click()
        expect(prompt).to_have_attribute("aria-sort", "descending")
        prompt.get_by_role("button").click()
        expect(app.get_by_role("grid", name="Traces, newest first")).to_be_visible()
        expect(first).to_contain_text("Question 24?")
        # The mouse: a column is widened by its handle, and gets its usual width by a double click; another one moves.
        handle = steps.locator(".trt-handle")
        box, width = handle.bounding_box(), steps.bounding_box()["width"]
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 20, box["y"] + 5)
        page.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + 5)
        page.mouse.up()
        widened = "([one, least]) => Math.abs(one.offsetWidth - least) <= 2"
        page.wait_for_function(widened, arg=[steps.element_handle(), width + 40])
        # A drag is no click, which would sort.
        expect(app.get_by_role("grid", name="Traces, newest first")).to_be_visible()
        handle.dblclick()
        page.wait_for_function(widened, arg=[steps.element_handle(), width])
        app.get_by_role("button", name="Columns").click()
        # All that can be chosen is there.
        expect(app.get_by_role("checkbox", name="trace_version")).to_be_visible()
        app.get_by_role("button", name="Move n_steps to the left").click()
        headings = app.get_by_role("columnheader")
        expect(headings.nth(3)).to_contain_text("steps")
        app.get_by_role("checkbox", name="answer").uncheck()
        expect(app.get_by_role("columnheader", name="answer")).to_have_count(0)
