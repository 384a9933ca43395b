"""One set of filters, the same wherever traces are selected."""

import json
import re
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from typer.testing import CliRunner

import tunix_rt as rt
from tests.shared_store import shared
from tunix_rt.cli import app
from tunix_rt.server.openapi import document
from tunix_rt.server.parameters import SELECTION
from tunix_rt.store.filters import FILTERS, FilterArgs, filter_rows, flag_of


@pytest.fixture
def full(store, make_trace):
    return fill(store, make_trace)


@pytest.fixture(scope="module")
def same_full(empty_store, tmp_path_factory, make_trace):
    """For tests that change nothing in it."""
    with shared(empty_store, tmp_path_factory, lambda store: fill(store, make_trace)) as store:
        yield store


def fill(store, make_trace):
    store.add_many(
        [
            make_trace("How many EGGS?", meta={"source": "farm", "reward": 1, "grader": {"name": "exact"}}),
            make_trace("Straße und Maß", steps=["a (b) [c] .* \\d %_"], meta={"source": "deutsch", "reward": 0.5}),
            make_trace("27?", steps=["eggs again"] * 5, final_answer="Nothing", meta={"reward": None, "ok": True}),
            make_trace("cut", steps=[], final_answer=None, trace_version="1.1", meta={"a.b": "dotted", "l": [1, "x"]}),
            make_trace("鶴と亀", meta={"a": {"b": "inside"}, "reward": "1", "ok": False}),
        ]
    )
    return store


def found(store, **filters):
    """The prompts that fit, newest first, after making sure that all calls agree."""
    prompts = [record.payload.prompt for record in store.records(**filters)]
    assert [summary.preview for summary in store.page(**filters)] == prompts
    assert store.count(**filters) == len(prompts)
    assert sum(len(batch) for batch in store.scan(["id"], **filters)) == len(prompts)
    return prompts


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("eggs", ["27?", "How many EGGS?"]),
        ("EGGS AGAIN", ["27?"]),
        ("nothing", ["27?"]),
        ("straße", ["Straße und Maß"]),
        ("MASS", []),
        ("(b) [C] .* \\D %_", ["Straße und Maß"]),
        (".*", ["Straße und Maß"]),
        ("27", ["鶴と亀", "27?", "How many EGGS?"]),
        ("亀", ["鶴と亀"]),
        ("%", ["Straße und Maß"]),
        ("a\nb", []),
        ("how many eggs", ["How many EGGS?"]),
        ("'; drop table traces", []),
    ],
)
def test_text_is_found_in_prompt_steps_and_answer_whatever_its_case(same_full, text, prompts):
    assert found(same_full, text=text) == prompts


def test_a_long_text_is_found_as_a_short_one_is(store, make_trace):
    long = "Straße (鶴) .* 27 \\D 'é' " * 700
    store.add_many([make_trace("a", steps=[long]), make_trace("b", final_answer=long + "!"), make_trace("c")])
    assert found(store, text=long.swapcase().replace("SS", "ß")) == ["b", "a"]
    assert found(store, text=long.upper().replace("SS", "ß") + "!") == ["b"]
    assert found(store, text=long + "?") == []


@pytest.mark.parametrize(
    ("meta", "prompts"),
    [
        ({"reward": 1}, ["How many EGGS?"]),
        ({"reward": 1.0}, ["How many EGGS?"]),
        ({"reward": "1"}, ["鶴と亀"]),
        ({"reward": 0.5}, ["Straße und Maß"]),
        ({"reward": None}, ["cut", "27?"]),
        ({"ok": True}, ["27?"]),
        ({"ok": False}, ["鶴と亀"]),
        ({"grader.name": "exact"}, ["How many EGGS?"]),
        ({"grader": {"name": "exact"}}, ["How many EGGS?"]),
        ({"a.b": "dotted"}, ["cut"]),
        ({"a.b": "inside"}, ["鶴と亀"]),
        ({"l": [1, "x"]}, ["cut"]),
        ({"source": "farm", "reward": 1}, ["How many EGGS?"]),
        ({"source": "farm", "reward": 0.5}, []),
        ({"no such": "key"}, []),
        ({'a"b': 1}, []),
        ({"*": "dotted"}, []),
        ({"": 1}, []),
        ({"..": 1, "a/~b": 1}, []),
        ({"reward": 10**40}, []),
        # An absent key is not null, and what is neither passes no comparison.
        ({"reward": rt.absent}, ["cut"]),
        ({"reward": rt.present}, ["鶴と亀", "27?", "Straße und Maß", "How many EGGS?"]),
        ({"reward": rt.ne(None)}, ["鶴と亀", "Straße und Maß", "How many EGGS?"]),
        ({"reward": rt.ne(1)}, ["鶴と亀", "Straße und Maß"]),
        ({"reward": rt.ne("1")}, ["Straße und Maß", "How many EGGS?"]),
        ({"reward": rt.lt(1)}, ["Straße und Maß"]),
        ({"reward": rt.le(1), "source": rt.ne("deutsch")}, ["How many EGGS?"]),
        ({"reward": rt.between(0.5, np.float32(0.75))}, ["Straße und Maß"]),
        ({"reward": rt.gt("0")}, ["鶴と亀"]),
        ({"source": rt.ge("e")}, ["How many EGGS?"]),
        ({"a.b": rt.present}, ["鶴と亀", "cut"]),
        ({"l": rt.ne([1])}, ["cut"]),
        ("reward<1, source!=farm", ["Straße und Maß"]),
        ("!reward", ["cut"]),
        ('reward, !"grader.name", reward!=null', ["鶴と亀", "Straße und Maß"]),
        ('l=[1, "x"]', ["cut"]),
        ('{"reward": 0.5, "source": "deutsch"}', ["Straße und Maß"]),
        (["reward>=0.5", "reward<1"], ["Straße und Maß"]),
        (["a.b=dotted"], ["cut"]),
    ],
)
def test_meta_is_compared_by_value_and_dots_reach_inside(same_full, meta, prompts):
    assert found(same_full, meta=meta) == prompts


@pytest.mark.parametrize("trace_meta", [{"a<b": -0.125, "!x": "1, 2", "{": 1}, None])
def test_keys_and_texts_with_signs_are_quoted_and_texts_of_options_work_as_before(store, make_trace, trace_meta):
    store.add(make_trace(meta=trace_meta))
    n = 1 if trace_meta else 0
    for text in ('"a<b"<0, "a<b">-1.5, "{", "!x"="1, 2"', ["!x=1, 2"], ["!x=1, 2", '"a<b"=-0.125'], ['"a<b"']):
        assert store.count(meta=text) == n, text
    assert store.count(meta='!"a<b", !"!x"') == 1 - n


def test_a_comparison_shows_itself_in_words():
    assert [str(one) for one in (rt.between(0, "x"), rt.absent, rt.ne(None))] == [
        '>= 0 and <= "x"',
        "absent",
        "!= null",
    ]


def test_an_empty_page_says_which_key_or_score_no_trace_has(full, tmp_path):
    full.score(lambda trace: trace.payload and 1, name="one", progress=False)
    for filters, note in (
        ({"meta": "reward>5"}, None),
        ({"meta": {"rewrad": rt.lt(1)}}, "no trace has meta.rewrad"),
        ({"meta": "reward, a.c=1", "text": "eggs"}, "no trace has meta.a.c"),
        ({"run": "a"}, "no trace has meta.run"),
        ({"score": "!oen"}, "no trace has a score by oen"),
        ({"score": "!one"}, None),
        ({"score": "one, oen=null", "meta": "x=null, !y, reward=7"}, None),
        ({"meta": "x", "where": "true"}, None),
    ):
        page = full.page(**filters)
        assert (len(page), page.note) == (0, note)
        assert full.page(offset=5, **filters).note is None
        assert str(page).endswith(f": {note}" if note else "")
        with pytest.raises(rt.TraceNotFound, match=f"passes the filters{f': {note}' if note else '$'}"):
            full.latest(**filters)
    assert full.page(meta="x").filters == {"meta": "x"}
    assert full.page(meta={"x": rt.lt(1)}).filters == {"meta": "x<1"}
    assert "no trace has meta.x" in full.page(meta="x")._repr_html_()
    with pytest.warns(UserWarning, match="no trace passed the filters meta: no trace has meta.x$"):
        full.export(tmp_path / "none.jsonl", meta={"x": rt.lt(1)}, progress=False)
    assert json.loads((tmp_path / ".none.jsonl.manifest.json").read_text())["filters"] == {"meta": "x<1"}


def test_an_empty_page_says_which_bounds_contradict_each_other_and_that_the_store_is_empty(full):
    for filters, note in (
        ({"min_steps": 5, "max_steps": 3, "meta": "x"}, "min_steps=5 is more than max_steps=3"),
        ({"min_chars": 5, "max_chars": 5}, None),
        ({"max_chars": -1}, "max_chars=-1 is less than 0"),
        ({"since": "2026-01-02", "until": "2026-01-02"}, 'since="2026-01-02" is not before until="2026-01-02"'),
        ({"since": "1d", "until": "2h", "text": "no"}, None),
        ({"min_steps": 10**9, "where": "true"}, None),
    ):
        assert (len(full.page(**filters)), full.page(**filters).note) == (0, note)
    assert len(full.page(min_steps=-1, min_chars=-5)) == 5
    full.delete(where="true")
    assert full.page(meta="reward<1").note == full.page(where="true").note == "the store has no traces"
    assert full.page().note is None
    with pytest.raises(rt.TraceNotFound, match=r"none yet$"):
        full.latest()


def test_any_key_of_meta_can_be_asked_for(store, make_trace):
    meta = {"*": 1, "": 2, "a/b": 3, "~": 4, "$": 5, "a[0]": 6, "o": {"": {"*": 7}}, "l": [8]}
    store.add(make_trace(meta=meta))
    for key, value in [*list(meta.items())[:6], ("o..*", 7), ("l.0", 8)]:
        assert store.count(meta={key: value}) == 1, key
        assert store.count(meta={key: None}) == 0, key


def test_source_steps_version_and_ids(same_full):
    assert found(same_full, source="farm") == ["How many EGGS?"]
    assert found(same_full, min_steps=2) == ["鶴と亀", "27?", "How many EGGS?"]
    assert found(same_full, max_steps=1) == ["cut", "Straße und Maß"]
    assert found(same_full, min_steps=1, max_steps=1) == ["Straße und Maß"]
    assert found(same_full, trace_version="1.1") == ["cut"]
    newest, second = list(same_full.page(limit=2))
    assert found(same_full, ids=[str(newest.id), second.id]) == ["鶴と亀", "cut"]
    assert found(same_full, ids=newest.id) == ["鶴と亀"]
    assert found(same_full, ids=[]) == []


def test_characters_are_those_of_prompt_steps_and_answer_together(same_full):
    sizes = {record.preview: record.n_chars for record in same_full.page()}
    assert sizes == {"鶴と亀": 33, "cut": 3, "27?": 60, "Straße und Maß": 35, "How many EGGS?": 44}
    assert found(same_full, min_chars=44) == ["27?", "How many EGGS?"]
    assert found(same_full, max_chars=33) == ["鶴と亀", "cut"]
    assert found(same_full, min_chars=4, max_chars=43) == ["鶴と亀", "Straße und Maß"]
    assert found(same_full, min_chars=61) == []


def test_times_are_utc_unless_they_say_otherwise(same_full):
    middle = same_full.page()[2].created_at
    assert found(same_full, since=middle) == ["鶴と亀", "cut", "27?"]
    assert found(same_full, until=middle) == ["Straße und Maß", "How many EGGS?"]
    assert found(same_full, since=middle.replace(tzinfo=None).isoformat()) == ["鶴と亀", "cut", "27?"]
    assert found(same_full, since=f"{(middle + timedelta(hours=2)).replace(tzinfo=None).isoformat()}+02:00") == [
        "鶴と亀",
        "cut",
        "27?",
    ]
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert found(same_full, since=tomorrow) == []
    assert len(found(same_full, until=tomorrow, since=date(2020, 1, 1))) == 5
    assert len(found(same_full, since=timedelta(hours=1))) == 5


def test_where_takes_any_sql_expression(same_full):
    assert found(same_full, where="n_chars < 10") == ["cut"]
    assert found(same_full, where="prompt like '%EGGS%' -- a comment") == ["How many EGGS?"]
    assert found(same_full, where="false or source = 'farm'", min_steps=3) == []


def test_filters_that_are_none_are_not_asked(same_full):
    assert len(found(same_full, text=None, source=None)) == 5


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"txt": "a"}, "unknown filter txt; the filters are text, source, model, run, training_step, since, until"),
        ({"text": 3}, "text=3: must be a string"),
        ({"source": b"x"}, "source=an object of type bytes: must be a string"),
        ({"since": "yesterday"}, 'since="yesterday": must be a time such as 2026-01-31'),
        ({"until": 5}, "until=5: must be a time such as 2026-01-31"),
        ({"min_steps": "3"}, 'min_steps="3": must be a whole number'),
        ({"max_steps": True}, "max_steps=true: must be a whole number"),
        ({"min_chars": 1.5}, "min_chars=1.5: must be a whole number"),
        ({"max_chars": "9"}, 'max_chars="9": must be a whole number'),
        ({"meta": 7}, "meta=7: must be names with what their values must be: reward<1, model!=toy-1b"),
        ({"meta": ""}, 'meta: "" is no key; write what the values of keys must be: reward<1'),
        ({"meta": '{"a": 1'}, "is not valid JSON"),
        ({"meta": '{"a": "\ud800"}'}, "is not valid JSON"),
        ({"meta": {"a": rt.lt(None)}}, "meta: a<null: only numbers and texts have an order"),
        ({"meta": "a<[1]"}, "meta: a<[1]: only numbers and texts have an order"),
        ({"meta": ["a<1, b<2"]}, "give each term as an option of its own"),
        ({"meta": "a=\ud800"}, "contains a lone surrogate"),
        ({"meta": {"a": float("nan")}}, "must be a JSON value"),
        ({"meta": {"a": object()}}, "must be a JSON value"),
        ({"meta": {"a": [10**5_000]}}, "must be a JSON value"),
        ({"meta": {"a": 10**400}}, "must be a number of at most 1.8e308"),
        ({"ids": ["zzz"]}, "must be full ids"),
        ({"ids": 5}, "ids=5: must be full ids"),
        ({"where": "selec"}, "selec"),
        ({"where": "true); drop table traces; select (true"}, "must be one SQL expression"),
        ({"where": ""}, "SQL expression"),
        ({"where": "("}, "is not a valid SQL expression"),
    ],
)
def test_a_bad_filter_is_told_and_changes_nothing(same_full, filters, told):
    for ask in (
        same_full.page,
        same_full.count,
        same_full.delete,
        same_full.latest,
        lambda **f: list(same_full.records(**f)),
    ):
        with pytest.raises(rt.QueryInvalid) as caught:
            ask(**filters)
        assert told in str(caught.value)
    assert same_full.count() == 5


def test_filters_of_meta_find_the_value_of_their_key_and_type(store, make_trace):
    for n, meta in enumerate(
        [
            {"model": "toy-1b", "run": "a/b", "training_step": 20},
            {"model": "toy-1b", "run": 7, "training_step": 20.5},
            {"model": 'é "x"', "training_step": "20"},
            {"model": None, "run": "A/B", "training_step": True},
            {},
        ]
    ):
        store.add(make_trace(str(n), meta=meta))
    assert found(store, model="toy-1b") == ["1", "0"]
    assert found(store, model='é "x"') == ["2"]
    assert found(store, run="a/b") == ["0"]
    assert found(store, run="7") == []
    assert found(store, training_step=20) == found(store, training_step=20.0) == ["0"]
    assert found(store, training_step=np.int64(20)) == ["0"]
    assert found(store, training_step=20.5, model="toy-1b") == ["1"]
    assert found(store, training_step=-1) == []


@pytest.mark.parametrize("name", ["model", "run"])
def test_a_model_or_a_run_is_a_string(same_full, name):
    for value in (3, True, b"x", ["a"], {}):
        with pytest.raises(rt.QueryInvalid, match=f"{name}=.*: must be a string"):
            same_full.count(**{name: value})


@pytest.mark.parametrize("value", ["20", True, float("nan"), float("inf"), 10**400, [20], {}, b"20", object()])
def test_a_training_step_is_a_number(same_full, value):
    with pytest.raises(rt.QueryInvalid, match=r"^training_step=.*: must be a (number of at most 1.8e308|JSON value)$"):
        same_full.count(training_step=value)


def test_a_time_may_be_a_duration_ago_as_text(full):
    assert len(found(full, since="90m")) == len(found(full, since="2h", until="0m")) == 5
    assert found(full, until="1d") == found(full, until="999999999d") == []
    with pytest.raises(rt.QueryInvalid, match=r"since=\"2 h\": must be a time such as 2026-01-31, .*, or 2h for"):
        full.count(since="2 h")


def test_the_filter_version_is_now_trace_version(full):
    with pytest.deprecated_call(match="the filter version is now trace_version") as warned:
        page = full.page(version="1.1")
    assert [(one.filename, len(warned)) for one in warned] == [(__file__, 1)]
    assert ([one.preview for one in page], page.filters) == (["cut"], {"trace_version": "1.1"})
    for call in (full.count, full.latest, lambda **f: list(full.records(**f)), full.delete):
        with pytest.deprecated_call() as warned:
            call(version="1.1")
        assert {one.filename for one in warned} == {__file__}
    with pytest.raises(rt.QueryInvalid, match="version and trace_version: use only one of them"):
        full.count(version="1.1", trace_version="1.1")
    assert full.count(version=None) == 4


def test_every_filter_is_an_option_of_the_command_line_and_the_magics_a_parameter_and_in_the_reference():
    """To add a filter is to add a field to FilterArgs."""
    assert list(FILTERS) == list(FilterArgs.__annotations__) == [row.name for row in filter_rows()]
    for command in ("list", "export"):
        shown = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [command, "--help"]).stdout
        assert [name for name in FILTERS if not re.search(rf"{flag_of(name)}\b", shown)] == []
        assert "--version" not in shown
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tunix_rt")
    try:
        with provisionalcompleter():
            offered = {one.text for one in shell.Completer.completions("%traces --", len("%traces --"))}
    finally:
        shell.run_line_magic("unload_ext", "tunix_rt")
    assert {flag_of(name) for name in FILTERS} <= offered
    assert "--version" not in offered
    served = {name for name, field in FILTERS.items() if field.http}
    assert set(FILTERS) - served == {"ids", "where"}
    assert served <= SELECTION.keys()
    paths = document("/tunix-rt/api")["paths"]
    for path in ("/traces", "/traces/export"):
        described = {one["name"]: one["description"] for one in paths[path]["get"]["parameters"]}
        assert {name: described.get(name) for name in served} == {name: FILTERS[name].help for name in served}
