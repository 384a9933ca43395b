"""The columns of the list: which, how wide, and how many rows; from Python and from a front end."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

import tunix_rt as rt
from tests.front_end import numbers, place, settled


@pytest.fixture
def judged(store, make_trace):
    """25 traces with various metas, of which the newest is scored by hand."""
    metas = [{"lr": n / 8, "model": f"toy-{n}", "gen": {"top p": 0.9}, "tags": ["a", n]} for n in range(24)]
    store.add_many(make_trace(f"{n} × 2?", meta=meta) for n, meta in enumerate([*metas, {"a.b": "dots", "lr": None}]))
    store.score("length", progress=False)
    store.label(store.latest().id, "fine\x07", annotator="ada")
    return store


def cells(form, row):
    return form.shown["rows"][row]["cells"]


def test_a_list_shows_the_columns_that_are_named(front, judged):
    names = ["preview", "meta.lr", "meta.gen.top p", "score.length", "meta.tags", "score.label:ada", "meta.a.b", "id"]
    form = rt.TraceBrowser(judged, limit=10, columns=names)
    end = front(form)
    assert end.state["columns"] == names
    # What a trace does not have is left out; a number, a list as JSON, a label with what cannot be seen, a dotted key.
    newest, second = str(form.page[0].id), str(form.page[1].id)
    assert cells(form, 0) == {"score.length": "30", "score.label:ada": "fine␇", "meta.a.b": "dots", "id": newest}
    assert cells(form, 1) == {
        "meta.lr": "2.875",
        "meta.gen.top p": "0.9",
        "score.length": "30",
        "meta.tags": '["a",23]',
        "id": second,
    }
    # They stay when the page is turned and sorted, and come without another page.
    end.do("next")
    assert cells(form, 0)["meta.lr"] == "1.75"
    page = form.page
    end.do("show_columns", columns=["meta.model", "created_at"])
    assert (form.page, cells(form, 0)) == (page, {"meta.model": "toy-14"})
    form.columns = ["score.length", "score.length"]
    assert (form.columns, cells(form, 0)) == (["score.length"], {"score.length": "30"})
    form.sort("meta.lr", descending=True)
    assert (numbers(form)[0], cells(form, 0)) == (23, {"score.length": "30"})
    known = end.do("known_columns")["columns"]
    assert {"created_at", "meta.lr", "meta.a.b", "score.length", "score.label:ada"} <= set(known)
    end.do("show_columns", columns=[])
    assert (form.columns, cells(form, 0)) == ([], {})


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (["nope"], 'columns: "nope" is not one of created_at, preview'),
        (["meta."], 'columns: "meta." is not one of'),
        (["score.a<b"], 'columns: "score.a<b" is not one of'),
        ([7], "columns: 7 is not one of"),
        ([f"meta.{n}" for n in range(31)], "31 are too many; a list has at most 30"),
    ],
)
def test_columns_that_are_none_change_nothing(front, judged, columns, problem):
    with pytest.raises(rt.QueryInvalid) as told:
        rt.TraceBrowser(judged, columns=columns)
    assert problem in str(told.value)
    form = rt.TraceBrowser(judged, columns="preview")
    assert problem in front(form).ask("show_columns", columns=columns)["problem"]
    assert form.columns == ["preview"]


def test_widths_and_the_rows_of_a_page_are_kept_in_the_form(front, judged, caplog):
    app = rt.app(judged, limit=10, columns=["preview", "meta.lr"], min_steps=1)
    form, end = app.browser, front(app.browser)
    settled()
    assert (form.columns, form.limit, place(form)) == (["preview", "meta.lr"], 10, (0, 25))
    end.do("resize", column="meta.lr", width=150)
    end.do("resize", column="preview", width=5)
    assert end.state["widths"] == form.widths == {"meta.lr": 150, "preview": 30}
    end.do("resize", column="meta.lr", width=0)
    assert form.widths == {"preview": 30}
    with pytest.raises(rt.QueryInvalid, match="whole number from 30 to 2000"):
        form.widths = {"preview": "wide"}
    end.do("next")
    end.do("show_limit", limit=20)
    assert (numbers(form), place(form)) == ([*range(24, 4, -1)], (0, 25))
    form.next()
    assert (len(form.page), place(form)) == (5, (20, 25))
    assert "limit=0: must be a whole number" in end.ask("show_limit", limit=0)["problem"]
    assert (form.limit, len(form.page)) == (20, 5)
    front(app).set(list_width=55)
    assert app.list_width == 55
    assert "must be a whole number" in caplog.text


def test_the_magic_takes_filters_and_columns(judged):
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tunix_rt")
    shell.run_line_magic("trace_store", str(judged.path))
    app = shell.run_line_magic("trace_app", '-n 5 --meta "lr<1" --columns preview --columns meta.lr')
    settled()
    assert (numbers(app.browser), place(app.browser)) == ([7, 6, 5, 4, 3], (0, 8))
    assert app.browser.columns == ["preview", "meta.lr"]
    shell.run_line_magic("unload_ext", "tunix_rt")
