"""Five real jobs in the forms, by keyboard alone; with `--traces 200000 -s` in a large store, with their times.

The worst rollouts of a step; which of four models fails which problem; long rollouts read, and the broken ones marked;
an SFT file of the correct ones; two people on one store.
"""

import json
import time
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

import tunix_rt as rt
from tests.browser.test_forms_keys import tab_to

pytestmark = pytest.mark.browser

N_ROWS = 50
CELL = f"""import tunix_rt as rt
store = rt.TraceStore({{path!r}})
rt.app(store, limit={N_ROWS})"""
MORE = "rt.GroupBrowser(store, limit=10)", "rt.LabelForm(store, 'long', annotator='ada')"
OTHER = """import tunix_rt as rt
store = rt.TraceStore({path!r})
rt.LabelForm(store, 'long', annotator='bob')"""
# Four models, 8 samples of each prompt, the later half of training step 200. Each model fails its own quarter.
TRACES = """
insert into traces
select
    uuidv7(), make_timestamptz(1767225600000000 + i * 1000000), '1.0', prompt, 2, n_chars, 'run', md5(i::varchar)::uuid,
    prompt, [{'i': n, 'type': 'reasoning', 'content': repeat('so it is. ', n_chars // 20)} for n in [0, 1]],
    if(correct, 2 * problem, 1)::varchar,
    json_object(
        'source', 'run', 'model', 'toy-' || model || 'b', 'training_step', step, 'sample', i % 8,
        'expected_answer', (2 * problem)::varchar, 'reward', if(correct, 1.0, -(hash(i) % 1000)::double / 1000)
    )
from (
    select
        *, i // 32 % (half // 32 + 1) as problem, 'What is ' || problem || ' + ' || problem || '?' as prompt,
        1 + i // 8 % 4 as model, if(i < half, 100, 200) as step,
        problem % 4 + 1 <> model and hash(i, 'c') % 8 > 0 as correct, 200 + (hash(i, 'n') % 4000)::int as n_chars
    from (select i, $n // 2 as half from range($first::bigint, least($n, $first + 20000)::bigint) rows(i))
)
order by i
"""
ANSWERS = """
insert into scores
select 'answer', '1', '{}', created_at, id, null, 0,
    (final_answer = meta ->> 'expected_answer')::int::double, null, final_answer, null, null, null, now()
from traces order by created_at, id
"""


@pytest.fixture
def store(tmp_path, request):
    with rt.TraceStore(tmp_path / "run.duckdb") as store:
        n = request.config.getoption("--traces")
        for first in range(0, n, 20_000):
            with store._session.transaction() as cursor:
                cursor.execute(TRACES, {"n": n, "first": first})
        with store._session.transaction() as cursor:
            cursor.execute(ANSWERS)
        # As somebody would in a cell: long rollouts to read.
        store.queue("long", n=30, seed=0, min_chars=3_000, training_step=200)
        yield store


@contextmanager
def timed(job):
    """Prints how long a job took."""
    started = time.monotonic()
    yield
    print(f"{job}: {time.monotonic() - started:.1f} s")  # noqa: T201 - read with -s


def fill_in(page, form, **fields):
    """Opens the filters, if they are not, and types into their fields, from the search."""
    more = form.get_by_role("button", name="Filters", exact=False).and_(form.locator("[aria-expanded]"))
    tab_to(page, more)
    if more.get_attribute("aria-expanded") == "false":
        page.keyboard.press("Enter")
    for name, text in fields.items():
        tab_to(page, form.get_by_role("group", name="Filters").get_by_label(name, exact=True))
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.press("Delete")
        page.keyboard.type(text)
        page.keyboard.press("Enter")


def search_of(app):
    """From wherever the focus is to the search, where the forms begin."""
    search = app.get_by_role("searchbox", name="Search in prompt, steps and answer")
    search.focus()
    expect(search).to_be_focused()


def go_right_to(page, is_there):
    """By the arrow key; a heading or a cell that it does not reach is an error, and no loop without an end."""
    for _ in range(20):
        if is_there():
            return
        page.keyboard.press("ArrowRight")
    raise AssertionError("not reached by ArrowRight")


def worst_rollouts(page, app, store):
    rows, press = app.locator(".trt-list tbody tr"), page.keyboard.press
    search_of(app)
    fill_in(page, app, **{"Training step": "200"})
    expect(place_of(app)).to_have_text(f"1–50 of {store.count(training_step=200):,}")
    tab_to(page, app.locator("th button[tabindex='0']"))
    go_right_to(page, lambda: "reward" in app.locator("th .trt-sort:focus").inner_text())
    press("Enter")
    expect(app.get_by_role("grid", name="Traces by meta.reward, ascending")).to_be_visible()
    tab_to(page, app.locator("tr[tabindex='0']"))
    press("End")
    press("Home")
    worst = store.sql("select min((meta ->> 'reward')::double) from traces where meta ->> 'training_step' = '200'")
    expect(rows.first).to_have_attribute("aria-selected", "true")
    expect(rows.first).to_contain_text(f"{worst.rows[0][0]:.4g}")
    expect(app.get_by_role("region", name="The trace")).to_contain_text("wrong")


def which_model_fails_which_problem(page, groups):
    press = page.keyboard.press
    # The fields of the filters are those of the list.
    search_of(groups)
    fill_in(page, groups, **{"Training step": "200"})
    expect(groups.get_by_text("training_step=200")).to_be_visible()
    groups.get_by_role("radio", name="Groups").focus()
    press("ArrowRight")
    matrix = groups.get_by_role("grid", name="Prompts and policies")
    expect(matrix).to_be_visible()
    tab_to(page, matrix.locator("td button[tabindex='0']"))
    go_right_to(page, lambda: "0 of" in (matrix.locator("button:focus").get_attribute("aria-label") or ""))
    press("Enter")
    expect(groups.get_by_role("region", name="The trace")).to_contain_text("wrong")


def thirty_long_rollouts(page, labels, store):
    labels.get_by_role("region", name="The trace").focus()
    for n in range(30):
        page.keyboard.press("Space")
        page.keyboard.press("2" if n % 5 == 0 else "1")
        expect(labels.get_by_role("toolbar", name="The queue")).to_contain_text(f"{n + 1} labelled by ada")
    assert store.count(score={"label:ada": "bad"}) == 6


def file_of_the_correct_ones(page, app, store, path):
    press = page.keyboard.press
    search_of(app)
    fill_in(page, app, Model="toy-1b", **{"At most N characters": "600"}, Scores="answer")
    n_right = store.count(training_step=200, model="toy-1b", max_chars=600, score={"answer": True})
    expect(place_of(app)).to_contain_text(f"of {n_right:,}")
    tab_to(page, app.locator("tr[tabindex='0']"))
    press("ControlOrMeta+a")
    if n_right > N_ROWS:
        tab_to(page, app.get_by_role("button", name=f"all {n_right:,}"))
        press("Enter")
    expect(app.get_by_text(f"{n_right:,} chosen").first).to_be_visible()
    tab_to(page, app.get_by_role("button", name="Export", exact=True))
    press("Enter")
    page.keyboard.type(str(path))
    tab_to(page, app.get_by_role("combobox", name="Format"))
    page.keyboard.type("messages")
    tab_to(page, app.get_by_role("button", name="Export them"))
    press("Enter")
    expect(app.get_by_text(f"Exported {n_right:,} row")).to_be_visible()
    lines = path.read_text().splitlines()
    assert (len(lines), json.loads(lines[0])["messages"][0]["role"]) == (n_right, "user")


def two_people(page, app, second, store):
    form = second.locator(".trt-labelling")
    queue = form.get_by_role("toolbar", name="The queue")
    expect(queue).to_contain_text("of 30", timeout=120_000)
    form.get_by_role("region", name="The trace").focus()
    for n in range(3):
        second.keyboard.press("2")
        expect(queue).to_contain_text(f"{n + 1} labelled by bob")
    # Those of the other one, in the list of the first.
    page.bring_to_front()
    search_of(app)
    fill_in(page, app, Model="", **{"At most N characters": ""}, Scores="label:bob=bad")
    expect(place_of(app)).to_have_text("1–3 of 3")
    assert store.agreement("label:ada", "label:bob").n == 3


def place_of(app):
    return app.locator(".trt-pager .trt-place")


def test_the_five_jobs_by_keyboard_alone(start_jupyter, store, tmp_path, picture, theme, width):
    jupyter, path = start_jupyter("lab", theme), str(store.path)
    jupyter.write("jobs.ipynb", CELL.format(path=path), *MORE)
    jupyter.write("other.ipynb", OTHER.format(path=path))
    with jupyter.open("jobs.ipynb", width=width) as page:
        jupyter.run_all(page)
        app = page.get_by_role("region", name="Traces: browse, add and view")
        groups, labels = page.locator(".trt-groups"), page.locator(".trt-labelling")
        expect(labels).to_be_visible(timeout=120_000)
        with timed("the worst rollouts of step 200"):
            worst_rollouts(page, app, store)
        picture(page, f"jobs-rows-{theme}-{width}")
        with timed("which of four models fails which problem"):
            which_model_fails_which_problem(page, groups)
        with timed("30 long rollouts read, the broken ones marked"):
            thirty_long_rollouts(page, labels, store)
        with timed("an SFT file of the correct ones"):
            file_of_the_correct_ones(page, app, store, tmp_path / "sft.jsonl")
        picture(page, f"jobs-done-{theme}-{width}")
        with timed("two people on one store"), jupyter.open("other.ipynb", width=width) as second:
            jupyter.run_all(second)
            two_people(page, app, second, store)
