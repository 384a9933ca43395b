"""`python -m tests.browser.pictures`: takes the README's pictures of the forms, in a real JupyterLab with Chromium."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

import tunix_rt as rt
from tests.browser.jupyter import find_chromium, launched, running

FOLDER = Path(__file__).parents[2] / "notebooks" / "pictures"
_CELL = """import tunix_rt as rt
store = rt.TraceStore("runs.duckdb")
store.load(rt.examples.folder())
rt.app(store)"""
# The run of `notebooks/07_judge_a_run.ipynb`.
_SIMULATED = ["--steps", "3", "--every", "100", "--prompts", "24", "--same-prompts"]
_RUN = """import tunix_rt as rt
store = rt.TraceStore({path!r})
wrong = {{"training_step": 200, "score": {{"answer": False}}}}"""
_ROWS = """rows = rt.TraceBrowser(store, columns=["preview", "verdict", "n_chars", "meta.reward"], limit=8, **wrong)
rows.sort("n_chars", descending=True)
rows.chosen_ids = [row["id"] for row in rows.shown["rows"][1:4]]
rows"""
_GROUPS = "rt.GroupBrowser(store, training_step=200, limit=12)"
_MATRIX = """matrix = rt.GroupBrowser(store, limit=12)
matrix.see("matrix")
matrix"""
_GOOD = """good = {"training_step": 200, "score": "answer"}
rt.TraceBrowser(store, columns=["preview", "verdict", "answer", "n_chars"], limit=8, **good)"""
_LABELS = """store.queue("still wrong", n=30, **wrong)
form = rt.LabelForm(store, "still wrong", words=("slip", "copied", "contradiction"), annotator="ada")
for word in ("slip", "slip", "contradiction", "slip"):
    form.label(word)
form"""
_PEOPLE = """bob = rt.LabelForm(store, "still wrong", words=("slip", "copied", "contradiction"), annotator="bob")
for word in ("slip", "copied", "slip", "slip"):
    bob.label(word)
differ = [record.id for record in store.disagreements("label:ada", "label:bob")]
rt.TraceBrowser(store, columns=["preview", "answer", "score.label:ada", "score.label:bob"], ids=differ)"""


def main() -> None:
    """One picture of the whole panel for each theme, and one of each form in which something is done."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium on this machine; install it")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        launched(chromium) as browser,
        running(browser, Path(folder)) as server,
    ):
        for theme in ("light", "dark"):
            with server.opened(theme=theme) as jupyter:
                jupyter.write("forms.ipynb", _CELL)
                with jupyter.open("forms.ipynb", width=1300, height=1000) as page:
                    jupyter.run_all(page)
                    app = page.locator(".trt-app")
                    app.get_by_role("row", name="Solve $x^2").click(timeout=60_000)
                    app.get_by_text("Markdown", exact=True).click()
                    expect(app.locator("mjx-container").first).to_be_visible()
                    page.mouse.move(0, 0)
                    app.screenshot(path=FOLDER / f"forms-{theme}.png")
                run = _RUN.format(path=simulated_run(jupyter.folder))
                jupyter.write("run.ipynb", run, _ROWS, _GROUPS, _MATRIX, _LABELS, _GOOD, _PEOPLE)
                with jupyter.open("run.ipynb", width=1300, height=1000) as page:
                    jupyter.run_all(page)
                    take(page, theme)


def simulated_run(folder: Path) -> str:
    """The path of a store with the rollouts, their verdicts and flags."""
    script = rt.examples.folder() / "simulate_rollouts.py"
    subprocess.run([sys.executable, script, folder / "run.jsonl", *_SIMULATED], check=True, capture_output=True)
    with rt.TraceStore(folder / "run.duckdb") as store:
        store.load(folder / "run.jsonl", progress=False)
        store.score("answer", progress=False)
        store.flag(progress=False)
        return str(store.path)


def take(page: Page, theme: str) -> None:
    """The pictures of the jobs: chosen rows, groups with a sample that is read, labels, an export, two people."""
    lists = page.get_by_role("region", name="Traces", exact=True)
    good = lists.nth(1)
    good.get_by_role("checkbox", name="Choose all on this page").check(timeout=120_000)
    good.get_by_role("button", name="all ", exact=False).click()
    good.get_by_role("button", name="Export", exact=True).click()
    # Its path is in the picture.
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        page.keyboard.type(f"{folder}/sft.jsonl")
        good.get_by_role("combobox", name="Format").select_option("messages")
        good.get_by_role("button", name="Export them").click()
        expect(good.get_by_text("Exported ")).to_be_visible()
    groups, matrix = page.locator(".trt-groups").all()
    table = groups.get_by_role("grid", name="Groups of samples")
    table.get_by_role("button", name="wrong").nth(1).click()
    expect(groups.get_by_role("region", name="The trace")).to_contain_text("expected 88")
    matrix.locator("td button").nth(2).click()
    expect(matrix.get_by_role("region", name="The trace")).to_contain_text("step 200")
    labels = page.locator(".trt-labelling")
    forms = {
        "rows": lists.first,
        "groups": groups,
        "matrix": matrix,
        "labels": labels,
        "export": good,
        "people": lists.nth(2),
    }
    for name, form in forms.items():
        form.scroll_into_view_if_needed()
        page.mouse.move(0, 0)
        form.screenshot(path=FOLDER / f"{name}-{theme}.png")


if __name__ == "__main__":
    main()
