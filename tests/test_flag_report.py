"""What to look at first: the flags of a store, their report, and its faces."""

import json
import re

import pytest
from IPython.core.interactiveshell import InteractiveShell

import tunix_rt as rt
from tests.served import serving
from tests.test_cli import call, said
from tunix_rt.analysis import FLAGS
from tunix_rt.analysis.statistics import wilson
from tunix_rt.cli.completing import flag_names
from tunix_rt.store.scores.scorers import SET_FLAGS


@pytest.fixture
def mixed(store, make_trace):
    """Nine healthy traces, two that loop, one without an answer."""
    store.add_many(make_trace(f"{n}?") for n in range(9))
    store.add_many(make_trace(f"loop {n}?", steps=["and so on and on, "] * 60) for n in range(2))
    store.add(make_trace("cut?", final_answer=None, trace_version="1.1"))
    return store


@pytest.mark.slow
def test_flags_are_run_and_reported_with_the_most_frequent_first(mixed):
    report = mixed.flag(progress=False)
    assert report.n_traces == 12
    assert {one.flag for one in report.flags} == {*FLAGS, *SET_FLAGS}
    assert [run.scorer for run in report.runs] == [*FLAGS, *SET_FLAGS]
    counts = {one.flag: one for one in report.flags}
    assert (counts["loop"].count, counts["loop"].looked_at) == (2, 12)
    assert counts["loop"].examples == tuple(str(one.id) for one in mixed.page(text="loop"))
    assert (counts["no_answer"].count, counts["no_answer"].share) == (1, 1 / 12)
    assert counts["no_answer"].low < 1 / 12 < counts["no_answer"].high
    assert report.flags[0].count == max(one.count for one in report.flags)
    again = mixed.flag("loop", progress=False)
    assert (again.runs[0].scored, again.runs[0].already_scored) == (0, 12)
    assert [one.flag for one in again.flags] == ["loop"]
    assert mixed.flags("loop").to_dict() == again.to_dict()


def test_flags_that_were_not_run_looked_at_nothing_and_few_traces_give_no_share(mixed):
    report = mixed.flags()
    assert {(one.count, one.looked_at, one.share, one.low) for one in report.flags} == {(0, 0, None, None)}
    mixed.flag("loop", text="loop", progress=False)
    (loop,) = mixed.flags("loop").flags
    assert (loop.count, loop.looked_at, loop.share, len(loop.examples)) == (2, 2, None, 2)
    assert mixed.flags("loop", text="cut").flags[0].looked_at == 0
    mixed.score(lambda trace: None if "loop" in trace.payload.prompt else True, name="mine", progress=False)
    (mine,) = mixed.flags("mine").flags
    assert (mine.count, mine.looked_at, mine.undecided) == (10, 10, 2)


def test_the_newest_score_is_the_flag_even_where_it_says_nothing(mixed):
    mixed.score(lambda _: True, name="f", version="1", progress=False)
    mixed.score(lambda _: None, name="f", version="2", progress=False)
    (flag,) = mixed.flags("f").flags
    assert (flag.count, flag.looked_at, flag.undecided) == (0, 0, 12)


def test_a_report_shows_itself(mixed):
    lines = str(mixed.flag("loop", "no_answer", progress=False)).splitlines()
    assert lines[0].split() == ["flag", "traces", "of", "share", "95", "%", "interval", "undecided", "newest"]
    assert lines[2].split()[:5] == ["loop", "2", "12", "16.7%", "4.7–44.8%"]
    assert lines[-1] == "2 flags over 12 traces"
    html = mixed.flags("loop")._repr_html_()
    assert '<td class="trt-n" dir="auto">16.7%</td>' in html
    # A terminal shows the id of one example, a page those of all; they differ, and find their traces.
    shown = re.findall(r"<span[^>]*>(\S+)</span>", html)
    found = [one.id for one in mixed.page(text="loop")]
    assert [mixed.get(one).id for one in shown] == found
    assert mixed.get(lines[2].split()[-1]).id == found[0]
    assert "–" in str(mixed.flags("wrong"))


def bounds(k, n):
    share = wilson(k, n)
    return share.low, share.high


def test_the_wilson_interval_is_the_published_one():
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    assert [round(bound, 4) for bound in bounds(81, 263)] == [0.2553, 0.3662]
    assert [round(bound, 4) for bound in bounds(15, 148)] == [0.0624, 0.1605]
    assert [round(bound, 4) for bound in bounds(0, 20)] == [0.0, 0.1611]
    assert [round(bound, 4) for bound in bounds(1, 29)] == [0.0061, 0.1718]
    assert bounds(20, 20)[1] == 1.0


@pytest.mark.parametrize("name", ["nope", "", 7])
def test_names_that_are_no_flags_are_refused(mixed, name):
    with pytest.raises(rt.QueryInvalid):
        mixed.flag(name, progress=False)
    if name != "nope":
        with pytest.raises(rt.QueryInvalid, match="is not the name of a scorer"):
            mixed.flags(name)
        with pytest.raises(rt.QueryInvalid, match="is not the name of a scorer"):
            mixed.scores(name)


def test_a_flag_of_a_set_is_no_scorer_of_a_trace(mixed):
    with pytest.raises(rt.QueryInvalid, match=r"is a flag of a set of traces; use store\.flag\('duplicate'\)"):
        mixed.score("duplicate", progress=False)
    assert flag_names("du") == ["duplicate"]


@pytest.mark.slow
def test_the_magics_score_and_flag(mixed):
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tunix_rt")
    shell.user_ns["n_steps"] = lambda trace: len(trace.payload.steps)
    shell.user_ns["n_steps"].__name__ = "n_steps"
    try:
        shell.run_line_magic("trace_store", str(mixed.path))
        assert shell.run_line_magic("trace_score", "n_steps --min-steps 3").scored == 2
        assert shell.run_line_magic("trace_score", "loop --param repeats=4").params != "{}"
        assert shell.run_line_magic("trace_score", "structure --workers 1 --timeout 60 --text cut?").scored == 1
        assert shell.run_line_magic("trace_flags", "loop --stored").flags[0].looked_at == 12
        assert shell.run_line_magic("trace_flags", "no_answer loop --workers 0 --text cut").n_traces == 1
    finally:
        shell.user_ns.pop("n_steps")
        shell.run_line_magic("unload_ext", "tunix_rt")


@pytest.mark.slow
def test_the_command_line_scores_and_flags(mixed):
    mixed.close()
    where = ("--store", mixed.path, "--quiet")
    assert json.loads(call("score", "loop", "--param", "repeats=4", "--json", *where))["scored"] == 12
    # Only with workers is there a time-out, and so both options are seen to arrive.
    wanted = ("score", "structure", "--timeout", "60", "--text", "cut?")
    assert "set workers to 1 or more" in said(*wanted, *where, status=2)
    assert json.loads(call(*wanted, "--workers", "1", "--json", *where))["scored"] == 1
    flags = json.loads(call("flags", "loop", "no_answer", "--json", *where))
    assert [(one["flag"], one["count"]) for one in flags["flags"]] == [("loop", 2), ("no_answer", 1)]
    assert "truncated" in call("flags", "--stored", *where)
    assert "loop" in call("flags", "loop", "--read-only", *where)
    assert "workers=65: must be a whole number from 0 to 64" in said("flags", "--workers", "65", *where, status=2)
    assert "no such scorer" in said("score", "nope", *where, status=2)
    assert "--param 7: must be KEY=VALUE" in said("score", "loop", "--param", "7", *where, status=2)


@pytest.mark.slow
def test_the_command_flags_by_a_worker_counts_and_stores_the_same(mixed):
    names = ("truncated", "loop", "no_answer", "same_in_group")
    query = "select * exclude scored_at from scores order by all"
    expected, scores = mixed.flag(*names, progress=False).to_dict(), mixed.sql(query).rows
    with mixed._session.transaction() as cursor:
        cursor.execute("delete from scores")
    mixed.close()
    assert json.loads(call("flags", *names, "--workers", "1", "--json", "--store", mixed.path, "--quiet")) == expected
    assert mixed.sql(query).rows == scores
    assert len(scores) == 4 * 12


@pytest.mark.slow
def test_the_flags_and_the_filter_over_http(tmp_path):
    with serving(tmp_path / "served") as served:
        store = rt.TraceStore(served.store.path)
        for n in range(6):
            store.add(
                {"prompt": f"{n}?", "steps": ["and so on and on, "] * 60 if n == 0 else ["s"], "final_answer": "a"}
            )
        store.flag("loop", progress=False)
        reply = served.client.get("/flags").json()
        assert reply["n_traces"] == 6
        assert reply["flags"][0] | {"examples": 1, "low": 0, "high": 0, "share": 0} == {
            "flag": "loop",
            "count": 1,
            "looked_at": 6,
            "undecided": 0,
            "share": 0,
            "low": 0,
            "high": 0,
            "examples": 1,
        }
        assert served.client.get("/flags", params={"score": "loop"}).json()["n_traces"] == 1
        found = served.client.get("/traces", params={"score": "!loop, nobody=null"}).json()["data"]
        assert len(found) == 5
        refused = served.client.get("/traces", params={"score": "a<b"})
        assert refused.status_code == 422
