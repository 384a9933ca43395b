"""Reading a trace in the forms: its three views, finding and copying; hostile text stays text in all of them."""

import pytest
from playwright.sync_api import expect

import tunix_rt as rt

pytestmark = pytest.mark.browser

APP = "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\napp = rt.app(store)\napp"
EVIL = [
    "<img src=x onerror='window.__ran=1'>",
    "<script>window.__ran=1</script></style></details></textarea>",
    "[click](javascript:window.__ran=1) <a href='javascript:window.__ran=1'>x</a>",
    "[ref]: javascript:window.__ran=1\n[ref] <javascript:window.__ran=1> ![pixel](https://example.invalid/pixel.png)",
    "$\\href{javascript:window.__ran=1}{x}$ \\(\\href{javascript:window.__ran=1}{y}\\)",
    "<svg onload='window.__ran=1'><iframe srcdoc='<script>parent.__ran=1</script>'>",
    "\x1b[2J\u202etxt.exe\u2028",
]
ACTING = "script, img, iframe, svg, object, [onerror], [onload], a[href^='javascript' i]"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "traces.duckdb")


def test_hostile_text_stays_text_in_every_form_and_view(start_jupyter, path, tmp_path, picture):
    text = "\n\n".join(EVIL)
    record = rt.TraceStore(path).add(
        rt.Trace(
            prompt=text,
            steps=[rt.Step(i=i, type=one[:64], content=one) for i, one in enumerate(EVIL)],
            final_answer=text,
            meta={"source": EVIL[0], EVIL[1]: {EVIL[2]: EVIL[0]}},
        )
    )
    file = tmp_path / "rows'><img src=x onerror=window.__ran=1>.jsonl"
    file.write_text('{"prompt": "' + EVIL[0] + '"}\n' + record.payload.to_json() + "\n")
    jupyter = start_jupyter("lab", "dark")
    where = "prompt <> '{}'".format(EVIL[0].replace("'", "''"))
    jupyter.write("evil.ipynb", APP.format(path=path).replace("(store)", f"(store, where={where!r})"))
    with jupyter.open("evil.ipynb") as page:
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        expect(app).to_be_visible(timeout=60_000)
        app.locator(".trt-list tbody tr").first.click()
        reading = app.get_by_role("region", name="The trace")
        for view in ("Plain", "JSON", "Markdown"):
            app.get_by_role("radio", name=view).check(force=True)
            expect(reading.get_by_text("window.__ran=1").first).to_be_visible()
            reading.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
            assert app.locator(ACTING).count() == 0, view
            picture(page, f"forms-hostile-{view.lower()}")
        for link in reading.get_by_role("link").all():
            assert link.get_attribute("href").startswith(("http:", "https:", "mailto:"))
        app.get_by_role("searchbox", name="Find in this trace").fill(EVIL[0])
        expect(app.get_by_role("toolbar", name="This trace").get_by_text("1 of 7")).to_be_visible()
        app.get_by_role("button", name="Filters").click()
        app.get_by_role("button", name="Add traces").click()
        upload = app.get_by_role("region", name="Add traces")
        upload.get_by_role("textbox", name="A trace as JSON").fill(
            '{"prompt": "p", "steps": [], "final_answer": "a", "' + EVIL[5].replace("'", "") + '": 1}'
        )
        expect(upload.get_by_text("unknown field")).to_be_visible()
        app.locator("input[type=file]").first.set_input_files(file)
        expect(upload.get_by_text("0 added · 1 already stored · 1 rejected")).to_be_visible(timeout=30_000)
        upload.get_by_role("textbox", name="File, folder or pattern").fill(EVIL[0])
        upload.get_by_role("button", name="Add", exact=True).click()
        expect(upload.get_by_role("alert").get_by_text("no such file or folder")).to_be_visible()
        app.locator(".trt-status > summary").click()
        assert app.locator(ACTING).count() == 0
        picture(page, "forms-hostile-upload")
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()")
        assert page.evaluate("() => window.__ran") is None
        assert [url for url in page.requests if "example.invalid" in url] == []
    with jupyter.open("evil.ipynb") as page:
        expect(page.locator(".trt-saved")).to_be_visible()
        assert page.locator(".trt-saved").locator(ACTING).count() == 0
        assert page.evaluate("() => window.__ran") is None


def test_a_trace_is_read_as_markdown_with_mathematics_searched_and_copied(start_jupyter, path, picture):
    store = rt.TraceStore(path)
    store.load(rt.examples.folder())
    store.add(
        rt.Trace(
            prompt="Solve $x^2 - 5x + 6 = 0$ and **tell how**.",
            steps=[
                "The roots add up to 5:\n\n- $x_1 + x_2 = 5$\n- $x_1 x_2 = 6$\n\n```python\nassert 2 * 3 == 6\n```",
                "| root | value |\n|---|---:|\n| first | 2 |\n| second | 3 |\n\nIt costs $5 and $6.",
            ],
            final_answer="$$x \\in \\{2, 3\\}$$",
        )
    )
    jupyter = start_jupyter()
    jupyter.write("read.ipynb", APP.format(path=path))
    with jupyter.open("read.ipynb") as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        expect(app).to_be_visible(timeout=60_000)
        app.locator(".trt-list tbody tr").first.click()
        reading = app.get_by_role("region", name="The trace")
        expect(reading.get_by_text("and **tell how**")).to_be_visible()
        expect(reading.locator("mjx-container")).to_have_count(0)
        app.get_by_text("Markdown", exact=True).click()
        expect(reading.locator("strong").get_by_text("tell how")).to_be_visible()
        expect(reading.locator("mjx-container")).to_have_count(4)
        expect(reading.get_by_role("cell", name="first")).to_be_visible()
        expect(reading.get_by_text("It costs $5 and $6.", exact=True)).to_be_visible()
        picture(page, "forms-markdown")
        app.get_by_role("button", name="Collapse").click()
        expect(reading.get_by_role("cell", name="first")).to_be_hidden()
        # What is found opens where it is.
        find = app.get_by_role("searchbox", name="Find in this trace")
        find.fill("FIRST")
        expect(app.locator(".trt-finding [role=status]")).to_have_text("1 of 1")
        expect(reading.get_by_role("cell", name="first")).to_be_visible()
        find.fill("not in it")
        expect(app.get_by_text("not found")).to_be_visible()
        find.fill("")
        app.get_by_role("button", name="Expand").click()
        reading.locator(".trt-step").nth(1).hover()
        reading.get_by_role("button", name="Copy this step").click()
        second = store.latest().payload.steps[1].content
        expect(app.get_by_text(f"Copied {len(second)} characters")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == second
        app.locator("summary", has_text="Copy").click()
        app.get_by_role("button", name="JSON", exact=True).click()
        whole = rt.TraceViewer(store, store.latest()).text_of("json")["text"]
        expect(app.get_by_text(f"Copied {len(whole)} characters")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == whole
        app.get_by_text("JSON", exact=True).first.click()
        expect(reading.get_by_text('"final_answer": "$$x')).to_be_visible()
        # Through the list from here, in the same view.
        app.get_by_role("button", name="Older trace").click()
        expect(reading.get_by_text("zeros does 1000! end in")).to_be_visible()
        app.get_by_role("button", name="Newer trace").click()
        expect(reading.get_by_text('"final_answer": "$$x')).to_be_visible()


def test_a_trace_of_a_thousand_steps_and_one_of_a_megabyte_stay_usable(start_jupyter, path):
    store = rt.TraceStore(path)
    steps = [f"This is what step {i} has to say." for i in range(1_000)]
    store.add(rt.Trace(prompt="many", steps=steps, final_answer="so many"))
    long = ["word " * 7_000 + f"end of {i}" for i in range(29)]
    store.add(rt.Trace(trace_version="1.1", prompt="long", steps=long, final_answer="so long"))
    jupyter = start_jupyter()
    jupyter.write("large.ipynb", APP.format(path=path))
    with jupyter.open("large.ipynb") as page:
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        expect(app).to_be_visible(timeout=60_000)
        reading = app.get_by_role("region", name="The trace")
        find = app.get_by_role("searchbox", name="Find in this trace")
        app.get_by_role("row", name="many").click()
        # Before it is there, what is expanded is the trace before it.
        expect(reading.locator("details.trt-step")).to_have_count(1_000)
        app.get_by_role("button", name="Expand").click()
        expect(reading.locator("details.trt-step:not([open])")).to_have_count(0)
        find.fill("step 987 has")
        # An expectation that is not met at once describes the page, and to describe this one takes seconds.
        found = app.locator(".trt-finding [role=status]", has_text="1 of 1")
        found.wait_for()
        expect(found).to_have_text("1 of 1")
        expect(reading.locator(".trt-prose", has_text="This is what step 987 has to say.")).to_be_in_viewport()
        app.get_by_role("row", name="long").click()
        find.fill("end of 28")
        expect(reading.get_by_text("end of 28")).to_be_visible()
        expect(found).to_have_text("1 of 1")
        app.get_by_text("JSON", exact=True).first.click()
        expect(found).to_have_text("1 of 1")


def test_a_trace_is_read_by_keys_and_what_the_list_looks_for_is_marked_in_it(start_jupyter, path, picture):
    store = rt.TraceStore(path)
    steps = [f"Thought {n} about candles.\n\nThen more of it.\n\n\n" for n in range(60)]
    store.add(rt.Trace(prompt="Many candles?", steps=steps, final_answer="59"))
    jupyter = start_jupyter()
    jupyter.write("keys.ipynb", APP.format(path=path))
    with jupyter.open("keys.ipynb") as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        expect(app).to_be_visible(timeout=60_000)
        app.get_by_role("searchbox", name="Search in prompt").fill("candles")
        app.get_by_role("searchbox", name="Search in prompt").press("Enter")
        app.get_by_role("row", name="Many candles").click()
        reading = app.get_by_role("region", name="The trace")
        expect(app.locator(".trt-finding [role=status]")).to_have_text("1 of 61")
        assert page.evaluate("CSS.highlights.get('trt-found').size") == 61
        # No blank lines at the end of a step.
        assert reading.locator(".trt-step .trt-prose").first.inner_text().endswith("more of it.")
        reading.focus()
        reading.press("s")
        closed = reading.locator(".trt-step").first
        expect(closed.locator("summary")).to_contain_text("Thought 0 about candles. Then more of it.")
        page.keyboard.press("n")
        page.keyboard.press("n")
        focused = page.locator("summary:focus")
        expect(focused).to_contain_text("Thought 1")
        page.keyboard.press("Enter")
        expect(reading.locator(".trt-step").nth(1).locator(".trt-prose")).to_be_visible()
        page.keyboard.press("c")
        expect(app.get_by_text(f"Copied {len(steps[1])} characters")).to_be_visible()
        # A step is one stop, also with the button that copies it.
        page.keyboard.press("Tab")
        expect(focused).to_contain_text("Thought 2")
        page.keyboard.press("p")
        expect(focused).to_contain_text("Thought 1")
        page.keyboard.press("?")
        expect(app.get_by_text("previous step")).to_be_visible()
        picture(page, "forms-reading-keys")
        page.keyboard.press("?")
        expect(app.get_by_text("previous step")).to_be_hidden()
        page.keyboard.press("o")
        expect(reading.locator("details.trt-step:not([open])")).to_have_count(0)
        page.keyboard.press("v")
        expect(app.get_by_role("radio", name="Markdown")).to_be_checked()
        # None of these keys reached the notebook.
        assert page.locator(".jp-Notebook .jp-Cell").count() == 1
