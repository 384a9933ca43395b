"""The commands that act on traces, and `sql`: what they put out, what they ask, and their exit status."""

import csv
import os
import pty

import pytest

import tunix_rt as rt
from tests.commands import on_terminal, run_in_shell
from tests.test_cli import call, rows, said

HOSTILE = "\x1b[2J'; drop table scores; --"


@pytest.fixture
def store():
    """The default store, with four traces."""
    store = rt.TraceStore()
    for n in range(4):
        store.add({"prompt": f"{n}?", "steps": ["s"], "final_answer": "a", "meta": {"source": "ab"[n % 2], "n": n}})
    return store


def test_traces_are_deleted_by_ids_or_filters_and_only_where_somebody_agrees(store):
    first, second = (str(one.id) for one in store.page(limit=2))
    store.label(first, "good", annotator="ada")
    asked = said("delete", "--source", "a", status=2)
    said_of_two = "delete: 2 traces with their scores would be deleted"
    assert asked == f"tunix-rt: {said_of_two} from {store.path}; pass --yes\n"
    assert "1 trace with their scores would be deleted" in said("delete", "latest", status=2)
    assert "not found" in said("delete", "0" * 36, "--yes", status=1)
    for words in ((), (first, "--source", "a")):
        assert "delete: pass either ids or filters; --where true" in said("delete", "--yes", *words, status=2)
    assert store.count() == 4
    assert call("delete", "--source", "nothing") == "0 traces deleted\n"
    assert call("delete", first, first, "--yes") == "1 trace deleted\n"
    assert store.count(ids=first) == store.scores().n_rows == 0
    assert rows(call("delete", "latest", "--yes", "--json")) == [{"deleted": 1}]
    assert store.count(ids=second) == 0
    assert call("delete", "--where", "true", "-y", "--quiet") == ""
    assert store.count() == 0


@pytest.mark.slow
def test_on_a_terminal_it_asks(store):
    near, far = pty.openpty()
    # The end of the input, no, yes.
    for answer, status, left in ((b"\x04", 130, 4), (b"n\n", 1, 4), (b"y\n", 0, 2)):
        os.write(near, answer)
        shown, found = on_terminal("delete", "--source", "a", stdin=far, columns=200)
        assert f"delete 2 traces with their scores from {store.path}? [y/N]" in shown
        assert {130: "interrupted", 1: "nothing was deleted", 0: "2 traces deleted"}[status] in shown
        assert (found, store.count()) == (status, left)
    os.close(far)
    os.close(near)


@pytest.mark.slow
def test_traces_go_to_a_lake_and_come_back_also_as_it_was(store, monkeypatch):
    store.label(store.latest(), "good", annotator="ada")
    assert rows(call("publish", "delta:lake", "--source", "a", "--json", "--quiet"))[0]["new"] == 2
    with rt.connect("delta:lake") as lake:
        before = lake.info().version
    report = rows(call("publish", "delta:lake", "--json", "--quiet"))[0]
    assert (report["new"], report["already_there"], report["scores"]) == (2, 2, 1)
    monkeypatch.setenv("TUNIX_RT_DATABASE", "other")
    for new, words in ((2, ("--as-of", before)), (0, ("--as-of", before)), (2, ("--as-of", "2099-01-01")), (0, ())):
        found = rows(call("pull", "delta:lake", *words, "--json", "--quiet"))
        assert found[0]["new"] == new, words
    assert rt.TraceStore("other").count() == 4
    assert "only a lake has older versions" in said("pull", store.path, "--as-of", "1", status=2)
    for wrong, words in (("99", "the versions are 0 to"), ("soon", "must be a time such as"), ("", "must be a time")):
        assert words in said("pull", "delta:lake", "--as-of", wrong, status=2)


def test_a_label_is_given_to_a_trace_or_a_step_and_taken_back(store):
    newest = store.latest()
    assert call("label", "latest", "good", "--annotator", "ada") == f"{newest.id}: good, by ada\n"
    shown = call("label", newest.id, HOSTILE, "--step", 0, "--note", HOSTILE, "--annotator", "ada")
    assert "\x1b" not in shown
    (said_of_step,) = rows(call("label", newest.id, "bad", "--annotator", "bob", "--json"))
    assert said_of_step == {"id": str(newest.id), "step": None, "label": "bad", "note": None, "annotator": "bob"}
    now = {(one["scorer"], one["step"]): one["label"] for one in store.scores().arrow().to_pylist()}
    assert now == {("label:ada", None): "good", ("label:ada", 0): HOSTILE, ("label:bob", None): "bad"}
    assert "label withdrawn, by ada" in call("label", "latest", "--withdraw", "--annotator", "ada")
    assert store.count(score={"label:ada": None}) == 4
    assert "pass a word" in said("label", "latest", status=2)
    assert "pass a word" in said("label", "latest", "good", "--withdraw", status=2)
    assert "step=7: must be" in said("label", "latest", "good", "--step", 7, status=2)
    assert "annotator=" in said("label", "latest", "good", "--annotator", "a,b", status=2)
    assert "not found" in said("label", "0" * 36, "good", status=1)


@pytest.mark.usefixtures("store")
def test_sql_is_shown_as_a_table_csv_or_json():
    query = "select source, count(*) as n from traces group by source order by source"
    assert call("sql", query).splitlines()[-3:] == ["a       2", "b       2", "2 rows"]
    assert call("sql", query, "--format", "csv") == "source,n\na,2\nb,2\n"
    same = [{"source": "a", "n": 2}, {"source": "b", "n": 2}]
    assert rows(call("sql", query, "--format", "json")) == rows(call("sql", "--json", "-", input=query)) == same
    odd = """
        select '{"a": [1, null]}'::json as j, null as nothing, 'nan'::double as nan, 2.50::decimal(4, 2) as d,
        12345678901234567890.5::decimal(38, 1) as large,
        [{'x': true}] as l, 'é,"'||chr(10) as t, date '2026-01-31' as day, 'a'::blob as b, true as yes
    """
    (one,) = rows(call("sql", odd, "--format", "json"))
    assert one == {
        "j": {"a": [1, None]},
        "nothing": None,
        "nan": None,
        "d": 2.5,
        "large": "12345678901234567890.5",
        "l": [{"x": True}],
        "t": 'é,"\n',
        "day": "2026-01-31",
        "b": "61",
        "yes": True,
    }
    header, line = csv.reader(call("sql", odd, "--format", "csv").splitlines(keepends=True))
    assert header == list(one)
    assert line == [
        '{"a": [1, null]}',
        "",
        "",
        "2.5",
        "12345678901234567890.5",
        '[{"x": true}]',
        'é,"\n',
        "2026-01-31",
        "61",
        "true",
    ]


def test_what_is_no_query_is_one_error(store):
    store.close()
    assert "syntax error" in said("sql", "selec 1", status=2)
    assert "DELETE writes" in said("sql", "delete from traces", status=2)
    assert "several columns are named a" in said("sql", "select 1 as a, 2 as a", "--format", "json", status=2)
    assert "half of a surrogate" in said("sql", "select '\ud800'", status=2)
    assert "there is no store" in said("sql", "select 1", "--store", "none.duckdb", status=1)
    assert "there is no store" in said("delete", "latest", "--yes", "--store", "none.duckdb", status=1)
    assert "there is no store" in said("label", "latest", "good", "--store", "none.duckdb", status=1)
    assert "Invalid value for '--format'" in said("sql", "select 1", "--format", "xml", status=2)


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_it(store):
    store.close()
    put, error = run_in_shell("tunix-rt sql 'from range(1000000)' --format csv | head -n 2", status=141)
    assert (put, error) == ("range\n0\n", "")
    shown, _ = on_terminal("sql", "select chr(27) || '[2J' as t", "--format", "csv")
    assert "\x1b" not in shown
