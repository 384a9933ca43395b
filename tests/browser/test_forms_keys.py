"""The forms by keyboard alone, for screen readers, and in every theme and width."""

import itertools

import pytest
from playwright.sync_api import expect

import tunix_rt as rt

pytestmark = pytest.mark.browser

APP = "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\napp = rt.app(store)\napp"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "traces.duckdb")


def tab_to(page, locator, *, most=40):
    """Tab until the element has the focus."""
    for _ in range(most):
        if locator.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{locator} is not reached by Tab")


@pytest.mark.parametrize("kind", ["lab", "notebook"])
def test_the_whole_story_by_keyboard_alone(start_jupyter, path, kind):
    jupyter = start_jupyter(kind)
    jupyter.write("keys.ipynb", APP.format(path=path), "'the next cell'")
    with jupyter.open("keys.ipynb") as page:
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        expect(app).to_be_visible(timeout=60_000)
        app.get_by_role("searchbox", name="Search in prompt, steps and answer").focus()
        tab_to(page, app.get_by_role("button", name="Add traces"))
        page.keyboard.press("Enter")
        upload = app.get_by_role("region", name="Add traces")
        expect(upload.get_by_role("button", name="Choose files …")).to_be_focused()
        tab_to(page, upload.get_by_role("combobox", name="Example"))
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        tab_to(page, upload.get_by_role("button", name="Load Example"))
        page.keyboard.press("Space")
        send = upload.get_by_role("button", name="Add this trace")
        expect(send).to_be_enabled()
        tab_to(page, send)
        page.keyboard.press("Enter")
        fetch = upload.get_by_role("button", name="Show it")
        expect(fetch).to_be_enabled()
        tab_to(page, fetch)
        page.keyboard.press("Enter")
        expect(app.get_by_role("region", name="The trace").get_by_text("20°C", exact=True)).to_be_visible()
        rt.TraceStore(path).add_many(
            rt.Trace(prompt=f"Question {i}?", steps=["s"], final_answer="a") for i in range(25)
        )
        # A slash leads to the search, an arrow from there into the list; arrows walk on over the ends of pages.
        tab_to(page, app.locator("tr[tabindex='0']"))
        page.keyboard.press("/")
        expect(app.get_by_role("searchbox", name="Search in prompt, steps and answer")).to_be_focused()
        page.keyboard.type("Question")
        page.keyboard.press("Enter")
        expect(app.locator(".trt-list tbody tr")).to_have_count(20)
        page.keyboard.press("ArrowDown")
        expect(app.get_by_role("row", selected=True)).to_contain_text("Question 24?")
        page.keyboard.press("End")
        expect(app.get_by_role("row", selected=True)).to_contain_text("Question 5?")
        page.keyboard.press("ArrowDown")
        expect(app.get_by_role("row", selected=True)).to_contain_text("Question 4?")
        expect(app.locator("tr[tabindex='0']")).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(app.get_by_role("row", selected=True)).to_contain_text("Question 5?")
        page.keyboard.press("PageDown")
        expect(app.get_by_role("row", selected=True)).to_contain_text("Question 4?")
        # The shortcuts of the notebook do not fire in the forms: x would cut the cell, dd delete it, a make a new one.
        for key in ("x", "d", "d", "a", "z", "j", "k", "ArrowLeft"):
            page.keyboard.press(key)
        tab_to(page, app.get_by_role("button", name="Newest traces"))
        page.keyboard.press("x")
        app.locator("summary", has_text="healthy").focus()
        page.keyboard.press("x")
        expect(page.locator(".jp-CodeCell")).to_have_count(2)
        expect(app).to_be_visible()


def test_what_a_screen_reader_is_told(start_jupyter, path):
    rt.TraceStore(path).add(
        rt.Trace(prompt="27 × 19?", steps=["27 × 20 − 27"], final_answer="513", meta={"source": "mine"})
    )
    jupyter = start_jupyter()
    jupyter.write("aria.ipynb", APP.format(path=path))
    with jupyter.open("aria.ipynb") as page:
        jupyter.run_all(page)
        app = page.locator(".trt-app")
        expect(app.get_by_text("1–1 of 1")).to_be_visible(timeout=60_000)
        app.locator(".trt-list tbody tr").click()
        expect(app.get_by_role("button", name="Expand")).to_be_enabled()
        expect(app).to_match_aria_snapshot("""
- 'region "Traces: browse, add and view"':
  - toolbar "Find traces":
    - searchbox "Search in prompt, steps and answer"
    - button "Filters"
    - text: Jump to
    - textbox "Jump to a date"
    - button "Live"
    - button "Add traces"
  - region "Traces":
    - grid "Traces, newest first":
      - rowgroup:
        - row:
          - columnheader "created"
          - columnheader "prompt"
          - columnheader "answer"
          - columnheader "steps"
      - rowgroup:
        - row "Choose just now 27 × 19? 513 1" [selected]:
          - gridcell "Choose":
            - checkbox "Choose"
          - gridcell "just now"
          - gridcell "27 × 19?"
          - gridcell "513"
          - gridcell "1"
    - navigation "Pages":
      - button "Newest traces" [disabled]
      - button "‹ Newer" [disabled]
      - status: 1–1 of 1
      - button "Older ›" [disabled]
      - button "Oldest traces" [disabled]
  - region "Trace":
    - toolbar "This trace":
      - button "Newer trace"
      - button "Older trace"
      - radiogroup "Show as":
        - radio "Plain" [checked]
        - radio "Markdown"
        - radio "JSON"
      - button "Expand"
      - button "Collapse"
      - group: Copy
      - button "Keys"
      - searchbox "Find in this trace"
      - status
      - status
    - region "The trace"
  - region "Store"
""")


def test_it_fits_in_every_width_and_theme(start_jupyter, path, picture):
    rt.TraceStore(path).load(rt.examples.folder())
    jupyter = start_jupyter()
    jupyter.write("look.ipynb", APP.format(path=path))
    with jupyter.open("look.ipynb") as page:
        for theme, width in itertools.product(("light", "dark"), (700, 1200, 1600)):
            jupyter.change_theme(page, theme)
            page.set_viewport_size({"width": width, "height": 1000})
            # The form is made anew in each.
            page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
            app = page.locator(".trt-app")
            expect(app).to_have_count(0)
            jupyter.run_all(page)
            expect(app.get_by_text("1–17 of 17")).to_be_visible(timeout=60_000)
            before = app.bounding_box()
            app.get_by_role("row", name="Three boxes").click()
            expect(app.get_by_role("region", name="The trace").get_by_text("backtrack")).to_be_visible()
            # Nothing jumps when a trace is read, and nothing is wider than its place.
            assert app.bounding_box() == before
            wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.className)"
            assert (
                app.locator(".trt-form, .trt-toolbar, .trt-pager, .trt-scrolled, .trt-trace").evaluate_all(wide) == []
            )
            picture(page, f"forms-{theme}-{width}")
            # The arrow keys go over the columns that a narrow list hides.
            labels = app.locator("th .trt-sort:visible")
            labels.first.focus()
            for _ in range(labels.count() - 1):
                page.keyboard.press("ArrowRight")
            expect(labels.last).to_be_focused()
            app.get_by_role("button", name="Filters").click()
            app.get_by_role("button", name="Add traces").click()
            app.get_by_role("button", name="Load Example").click()
            expect(app.get_by_role("button", name="Add this trace")).to_be_enabled()
            assert app.locator(".trt-form, .trt-toolbar, .trt-filters, .trt-parts").evaluate_all(wide) == []
            picture(page, f"forms-{theme}-{width}-upload")
