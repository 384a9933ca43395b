"""The forms and what objects show, as axe-core sees them: names, roles, structure, and contrast in both themes.

`axe/axe.min.js` is axe-core 4.11.0 (https://github.com/dequelabs/axe-core), unchanged, under the licence beside it.
"""

from pathlib import Path

import pytest
from playwright.sync_api import expect

import tunix_rt as rt
from tests.browser.jupyter import awaited

pytestmark = pytest.mark.browser

AXE = Path(__file__).with_name("axe") / "axe.min.js"
CELLS = (
    "import tunix_rt as rt\nstore = rt.TraceStore({path!r})\nrt.app(store)",
    "rt.TraceBrowser(store, limit=5)",
    "rt.TraceViewer(store, store.page(score='!answer')[0].id)",
    "rt.TraceViewer(store, store.latest())",
    "rt.UploadForm(store)",
    "rt.StoreStatus(store)",
    "rt.FolderWatch(store, 'runs')",
    "rt.LabelForm(store)",
    "rt.GroupBrowser(store)",
    "rt.GroupBrowser(store)",
    "from IPython.display import display\ndisplay(store.page(limit=5), store.latest(), store.flags(), store.info())",
)
# Everything of ours, and nothing of the notebook's. Forms of a kind have the same name, and here all are on one page.
LOOK = """async () => {
    const found = await axe.run({include: [[".trt-form"], [".trt"]]}, {rules: {"landmark-unique": {enabled: false}}});
    return found.violations.flatMap(({id, nodes}) =>
        nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
}"""
# The least contrast of the edges of controls with what is around them, and of the focus ring; as WCAG 2.2 counts it.
EDGES = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((one) => one / 255)
            .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const form = document.querySelector(".trt-form");
    const ground = getComputedStyle(form).backgroundColor;
    const input = form.querySelector("input[type=search]");
    input.focus();
    const {borderTopColor, outlineColor} = getComputedStyle(input);
    return [contrast(borderTopColor, ground), contrast(outlineColor, ground)];
}"""


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "traces.duckdb")
    with rt.TraceStore(path) as store:
        store.load(rt.examples.folder(), progress=False)
        meta = {"expected_answer": "4", "reward": 0.5, "model": "toy-1b", "training_step": 7, "source": "rollouts"}
        store.add_many(
            {"prompt": f"{n} + 2?", "steps": ["I add. " * 9] * 3, "final_answer": str(n + 2), "meta": meta}
            for n in range(4)
        )
        store.score("answer", progress=False)
        store.flag("loop", "truncated", progress=False)
    return path


def test_axe_reports_nothing_in_any_form_and_theme(start_jupyter, path, picture):
    jupyter = start_jupyter()
    jupyter.write("look.ipynb", *(cell.format(path=path) for cell in CELLS))
    with jupyter.open("look.ipynb", width=1300, height=1400) as page:
        jupyter.run_all(page)
        app = page.locator(".trt-app").first
        expect(page.locator(".jp-CodeCell").last.locator(".trt-facts").last).to_be_visible(timeout=60_000)
        app.get_by_role("row", name="3 + 2").click()
        expect(app.get_by_role("region", name="The trace").get_by_text("expected", exact=True)).to_be_visible()
        # Two rows are chosen and compared, in another list; what to do with one is asked here.
        app.get_by_role("row", name="3 + 2").get_by_role("checkbox").click()
        app.get_by_role("button", name="Export").click()
        second = page.get_by_role("region", name="Traces", exact=True).nth(1)
        for n in range(2):
            second.locator("tbody input").nth(n).click()
        second.get_by_role("button", name="Compare").click()
        expect(second.locator(".trt-compared")).to_be_visible()
        app.get_by_role("button", name="Filters").click()
        app.get_by_role("button", name="Add traces").click()
        # Groups: a comparison of two samples, and a matrix of which a cell is open.
        compared, matrix = (page.locator(".trt-groups").nth(n) for n in range(2))
        compared.locator("tr .trt-mark").first.click()
        compared.locator("tr .trt-mark").nth(1).click(modifiers=["Shift"])
        expect(compared.get_by_role("region", name="The comparison")).to_be_visible()
        matrix.get_by_text("Matrix", exact=True).click()
        matrix.locator(".trt-cell").first.click()
        expect(matrix.get_by_role("region", name="The trace")).to_contain_text("Prompt")
        # A viewer with Markdown, one with JSON, and an editor that has found a fault.
        page.get_by_role("region", name="Trace", exact=True).nth(1).locator(".trt-choice").get_by_text(
            "Markdown"
        ).click()
        page.get_by_role("region", name="Trace", exact=True).nth(2).locator(".trt-choice").get_by_text("JSON").click()
        page.get_by_role("textbox", name="A trace as JSON").last.fill('{"prompt": ""}')
        expect(page.locator(".trt-problems li").first).to_be_visible()
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
        page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
        for theme in ("light", "dark"):
            jupyter.change_theme(page, theme)
            picture(page, f"access-{theme}")
            assert "\n".join(awaited(page, LOOK)) == "", theme
            edge, ring = page.evaluate(EDGES)
            assert edge >= 3, theme
            assert ring >= 3, theme
