"""The magics in a real IPython shell: results are objects, mistakes are one line."""

import json
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import tunix_rt as rt
from tests.front_end import FrontEnd

OWN = {"trace", "traces", "trace_load", "trace_watch", "trace_store", "trace_sql"}


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    shell.reset()
    shell.run_line_magic("load_ext", "tunix_rt")
    yield shell
    shell.run_line_magic("unload_ext", "tunix_rt")


def run(shell, cell):
    """The value of a cell; what it raises is raised here."""
    with capture_output() as captured:
        outcome = shell.run_cell(cell)
    outcome.raise_error()
    assert captured.stderr == ""
    return outcome.result


def told(shell, cell):
    """What stands under a cell with a mistake: one line on stderr, no traceback."""
    with capture_output() as captured:
        outcome = shell.run_cell(cell)
    assert isinstance(outcome.error_in_exec, UsageError)
    assert captured.stdout == ""
    (line,) = captured.stderr.splitlines()
    return line.removeprefix("UsageError: ")


def completions(shell, text):
    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(text, len(text))]


@pytest.mark.slow
def test_a_cell_becomes_a_trace_and_is_shown(shell):
    row = {"prompt": "2 + 2?", "steps": ["2 + 2 = 4"], "final_answer": "4"}
    record = run(shell, f"%%trace\n{json.dumps(row, indent=1)}")
    assert record.payload == rt.Trace(**row)
    assert run(shell, "%trace latest") == record
    assert run(shell, "%trace") == record
    assert run(shell, f"%trace {str(record.id)[:13]}") == record
    run(shell, "one = %trace latest")
    assert shell.user_ns["one"] == record


@pytest.mark.slow
def test_the_examples_load_and_list(shell):
    report = run(shell, "%trace_load --examples")
    assert (report.added, report.rejected_count) == (17, 0)
    assert run(shell, "%trace_load --examples").already_stored == 17
    page = run(shell, "%traces -n 5")
    assert (type(page), len(page)) == (rt.Page, 5)
    run(shell, "page = %traces --source rollouts --meta correct=true --min-steps 2 --text pens")
    assert [summary.n_steps for summary in shell.user_ns["page"]] == [4, 2]
    assert len(run(shell, "%traces --meta model=toy-1b --meta training_step=20")) == 3
    page = run(shell, "%traces --meta 'model != toy-2b' --meta training_step<=20 --meta !truncated")
    same = {"model": rt.ne("toy-2b"), "training_step": rt.le(20), "truncated": rt.absent}
    assert [*page] == [*rt.TraceStore().page(meta=same)]
    assert 0 < len(page) < 17
    page = run(shell, "%traces -n 5")
    assert len(run(shell, '%traces --where "n_steps > 100"')) == 1
    assert len(run(shell, "%traces --text 'the box labelled' --where \"source = 'examples'\"")) == 1
    assert len(run(shell, "%traces --offset 15")) == 2
    assert len(run(shell, f"%traces --after {page.next}")) == 12
    assert len(run(shell, f"%traces --before {page.next}")) == 4
    assert [one.n_chars for one in run(shell, "%traces --min-chars 300 --max-chars 900")] == [327, 333]
    assert len(run(shell, "%traces --since 2020-01-01 --until 2021-01-01 --max-steps 3 --trace-version 1.0")) == 0


@pytest.mark.slow
def test_the_filters_of_meta_keys_and_ids_and_the_old_name_of_trace_version(shell):
    run(shell, "%trace_load --examples")
    assert len(run(shell, "%traces --model toy-1b --training-step 20")) == 3
    newest = run(shell, "%traces -n 1")[0].id
    assert [one.id for one in run(shell, f"%traces --id {newest}")] == [newest]
    assert len(run(shell, "%traces --since 2h -n 100")) == 17
    shell.user_ns["__name__"] = "__main__"
    with pytest.deprecated_call(match="the filter version is now trace_version") as warned:
        assert len(run(shell, "%traces --version 1.1")) == 9
    # At the cell, so that IPython shows it there.
    assert "ipykernel" in warned[0].filename or "ipython" in warned[0].filename


@pytest.mark.slow
def test_files_and_patterns_load(shell):
    paths = " ".join(f'"{rt.examples.path(name)}"' for name in ("fahrenheit", "collatz"))
    reports = run(shell, f"%trace_load {paths}")
    assert [report.added for report in reports] == [1, 1]
    assert run(shell, f"%trace_load {rt.examples.path('fahrenheit')} --known add --format trace").added == 1


@pytest.mark.slow
def test_the_store_can_be_named_by_path_or_by_variable(shell, tmp_path):
    info = run(shell, "%trace_store")
    assert info.path == str(tmp_path / "default.duckdb")
    info = run(shell, f"%trace_store {tmp_path / 'other.duckdb'}")
    assert info.path == str(tmp_path / "other.duckdb")
    shell.user_ns["mine"] = rt.TraceStore(tmp_path / "mine.duckdb")
    assert run(shell, "%trace_store mine").path == str(tmp_path / "mine.duckdb")
    run(shell, "%trace_load --examples")
    assert shell.user_ns["mine"].count() == 17


def test_the_store_can_be_configured(tmp_path):
    shell = InteractiveShell.instance()
    shell.config.TraceMagics.database = str(tmp_path / "configured.duckdb")
    shell.run_line_magic("load_ext", "tunix_rt")
    try:
        assert run(shell, "%trace_store").path == str(tmp_path / "configured.duckdb")
    finally:
        shell.run_line_magic("unload_ext", "tunix_rt")
        del shell.config["TraceMagics"]


@pytest.mark.slow
def test_sql_gives_a_result_that_a_variable_can_take(shell):
    run(shell, "%trace_load --examples")
    result = run(
        shell, "%%trace_sql --out by_source\nselect source, count(*) as n from traces group by all order by all"
    )
    assert result.rows == [("examples", 9), ("rollouts", 8)]
    assert shell.user_ns["by_source"] is result


MISTAKES = [
    ("%trace nonsense", "trace nonsense not found: an id has up to 32 hexadecimal digits"),
    ("%traces -n 0", "limit=0: must be a whole number from 1 to 100"),
    ("%traces -n many", "argument -n/--limit: invalid int value: 'many'"),
    ("%traces --min-steps many", 'min_steps="many": must be a whole number'),
    ("%traces --training-step many", 'training_step="many": must be a number of at most 1.8e308'),
    ("%traces --tekst x", "unrecognized arguments: --tekst x"),
    ("%traces --meta 'reward<[1]'", "meta: reward<[1]: only numbers and texts have an order"),
    ("%trace_load", "name a file, a folder or a pattern to load; or --examples"),
    ("%trace_load nowhere.jsonl", "nowhere.jsonl: no such file or folder"),
    ("%trace_load a.jsonl --map prompt", "--map prompt: must be TARGET=FIELD, such as prompt=question"),
    ("%trace_load a.jsonl --map prompt=a --map prompt=b", "--map prompt=b: prompt is already mapped to a"),
    ("%trace_load a.jsonl --map answer=a", 'mapping: unknown target "answer"; known are prompt, final_answer'),
    ("%trace_load a.jsonl --map meta.n=a", "mapping: names no part of a trace"),
    ("%trace_load a.jsonl --map prompt=a --format trace", "`format` cannot be combined with `mapping`"),
    ("%trace_watch", "the following arguments are required: path"),
    ("%trace_watch runs --every 0", "every=0.0: must be a number of seconds above 0"),
    ("%trace_watch runs --format none", 'unknown format "none"'),
    ("%trace_store .", "is a folder; name a file in it"),
    (
        '%%trace\n{"prompt": 3}',
        "prompt: must be a string, not a number; steps: missing; every trace needs it; final",
    ),
    ('%%trace\n{"prompt": "p",\n "steps" []}', "invalid JSON at line 2, column 10: expected `:`"),
    ("%%trace latest\n{}", "%%trace takes nothing on its line"),
    ("%%trace_sql\nselec", "SQL: Parser Error: syntax error"),
    ("%%trace_sql\ndrop table traces", "SQL: DROP writes or changes settings"),
]


@pytest.mark.slow
def test_a_mistake_is_one_line(shell):
    for cell, line in MISTAKES:
        assert line in told(shell, cell), cell


@pytest.mark.slow
def test_fields_are_mapped_by_hand(shell):
    row = {"q": "27 × 19?", "the answer": 513, "grade": {"score": 1}}
    Path("a.jsonl").write_text(json.dumps(row) + "\n")
    load = "%trace_load a.jsonl --map prompt=q --map 'final_answer=the answer' --map meta.reward=grade.score"
    report = run(shell, load)
    assert (report.added, report.format) == (1, "mapping")
    trace = run(shell, "%trace").payload
    assert (trace.prompt, trace.final_answer, trace.meta) == ("27 × 19?", "513", {"source": "mapping", "reward": 1})


@pytest.mark.slow
@pytest.mark.usefixtures("front")
def test_a_watched_folder_is_a_form(shell):
    run(shell, "form = %trace_watch 'my runs' --every 0.01 --map prompt=q --map final_answer=a")
    form = shell.user_ns["form"]
    try:
        assert isinstance(form, rt.FolderWatch)
        Path("my runs").mkdir()
        Path("my runs/a.jsonl").write_text('{"q": "27 × 19?", "a": 513}\n')
        FrontEnd(form).until(lambda state: state["shown"]["rows"])
    finally:
        form.close()
    assert run(shell, "%trace").payload.final_answer == "513"


@pytest.mark.slow
def test_a_file_of_no_known_format_is_told_in_lines_to_read(shell):
    Path("a.jsonl").write_text('{"q": 1}\n')
    with capture_output() as captured:
        shell.run_cell("%trace_load a.jsonl")
    what, mapping, last = captured.stderr.splitlines()
    assert what == "UsageError: a.jsonl: of no known format; its fields are q"
    assert mapping.startswith("say which fields hold what: --map prompt=question --map ")
    assert last == "or name its format with --format"


@pytest.mark.slow
def test_the_mapping_that_is_proposed_is_worded_for_the_magic_and_loads(shell):
    Path("a.jsonl").write_text('{"question": "27 × 19?", "answer": "513"}\n')
    with capture_output() as captured:
        shell.run_cell("%trace_load a.jsonl")
    _, first, second, _ = captured.stderr.splitlines()
    flags = "--map prompt=question --map completion=answer"
    assert first == f"say which fields hold what: {flags}, if answer is what the model wrote"
    assert second == (
        "or --map prompt=question --map meta.expected_answer=answer, if answer is the answer to compare with"
    )
    assert run(shell, f"%trace_load a.jsonl {flags}").added == 1


@pytest.mark.slow
def test_a_mapping_of_several_fields_and_of_values_in_a_magic(shell):
    Path("a.jsonl").write_text('{"q": "2 + 2?", "w": "now", "a": "4"}\n')
    flags = """--map 'prompt=["q", "w"]' --map final_answer=a --map meta.model:=toy-1b --map meta.n:=2"""
    assert run(shell, f"%trace_load a.jsonl {flags}").added == 1
    trace = run(shell, "%trace").payload
    assert (trace.prompt, trace.meta["model"], trace.meta["n"]) == ("2 + 2?\n\nnow", "toy-1b", 2)


@pytest.mark.slow
def test_ids_flags_and_sources_complete_with_tab(shell):
    run(shell, "%trace_load --examples")
    newest = str(run(shell, "%traces -n 1")[0].id)
    assert newest in completions(shell, "%trace ")
    assert completions(shell, f"%trace {newest[:30]}") == [newest]
    assert completions(shell, "%trace l") == ["latest"]
    assert completions(shell, "%traces --s") == ["--score", "--scores", "--selection", "--since", "--source"]
    assert completions(shell, "page = %traces --tex") == ["--text"]
    assert completions(shell, "%traces --source ") == ["examples", "rollouts"]
    assert completions(shell, "%traces --meta corr") == ["correct"]
    assert completions(shell, "%traces --meta !corr") == ["correct"]
    assert completions(shell, "%traces --score loo") == ["loop"]
    assert completions(shell, "%trace_load --kn") == ["--known"]
    assert completions(shell, "%trace_load --ma") == ["--map"]
    assert completions(shell, "%trace_watch --ev") == ["--every"]
    assert completions(shell, "%trace_watch --sp") == ["--split"]
    assert completions(shell, "%trace_load --format gs") == ["gsm8k", "gsm8k_solutions"]
    assert completions(shell, "%trace_sql --o") == ["--out"]
    assert "--text" not in completions(shell, "%time --te")


@pytest.mark.slow
def test_help_stands_behind_a_question_mark(shell):
    for name in ("traces", "trace", "trace_load", "trace_watch", "trace_store"):
        with capture_output() as captured:
            shell.run_cell(f"%{name}?")
        assert f"%{name}" in captured.stdout


@pytest.mark.slow
def test_unload_takes_all_away_and_reload_doubles_nothing(shell):
    def present():
        names = set(shell.magics_manager.magics["line"]) | set(shell.magics_manager.magics["cell"])
        configurables = [type(one).__name__ for one in shell.configurables]
        return names & OWN, configurables.count("TraceMagics"), len(shell.Completer.custom_matchers)

    names, instances, matchers = present()
    assert (names, instances) == (OWN, 1)
    for _ in range(3):
        shell.run_line_magic("reload_ext", "tunix_rt")
    assert present() == (OWN, 1, matchers)
    shell.run_line_magic("unload_ext", "tunix_rt")
    assert present() == (set(), 0, matchers - 1)
    shell.run_line_magic("load_ext", "tunix_rt")
    assert present() == (OWN, 1, matchers)


@pytest.mark.slow
def test_a_file_in_another_encoding_is_loaded_by_its_name(shell):
    row = {"prompt": "naïve", "steps": ["s"], "final_answer": "a"}
    Path("t.jsonl").write_bytes(json.dumps(row, ensure_ascii=False).encode("latin-1"))
    assert run(shell, "%trace_load t.jsonl --encoding latin-1").added == 1
    assert run(shell, "%trace latest").payload.prompt == "naïve"


def test_groups_are_counted_over_the_samples_of_a_prompt(shell, make_trace):
    rt.TraceStore().add_many([make_trace(meta={"correct": n < 3, "run": f"r{n % 2}"}) for n in range(5)])
    groups = run(shell, "%trace_groups")
    assert "3/5" in str(groups)
    assert len(run(shell, "groups = %trace_groups --by run --by prompt\ngroups")) == 2
    assert len(run(shell, "%trace_groups --run r1").page(0)) == 2
    assert told(shell, "%trace_groups --by nothing").startswith('by=["nothing"]: must be one or several of source')
    assert repr(run(shell, "%trace_groups --matrix --run r1")) == "<GroupMatrix: 1 prompt × 1 policy>"
    assert "--by" in completions(shell, "%trace_groups --b")


def test_two_traces_or_two_sets_are_compared(shell, make_trace):
    traces = [make_trace(meta={"correct": n == 1, "reward": n, "run": f"r{n}"}, final_answer=str(n)) for n in range(2)]
    a, b = rt.TraceStore().add_many(traces)
    assert run(shell, f"%trace_compare {a.id} latest").verdicts == (False, True)
    found = run(shell, "%trace_compare run=r0 run=r1 --scorer meta.reward")
    assert (found.wins, found.scorer) == (1, "meta.reward")
    shell.user_ns |= {"one": rt.TraceStore().select(run="r0"), "first": a}
    assert run(shell, "found = %trace_compare one run=r1\nfound").wins == 1
    assert run(shell, f"%trace_compare first {b.id}").ids == (a.id, b.id)
    assert told(shell, "%trace_compare one run=r1 --run r1").startswith("compare: filters choose among many traces")
    assert told(shell, "%trace_compare one latest").startswith("compare: a selection is compared with another")
    assert str(b.id) in completions(shell, "%trace_compare latest 0")


def test_traces_are_loaded_with_the_name_of_their_run_exported_and_deleted(shell):
    rows = [{"prompt": f"{n}?", "steps": ["s"], "final_answer": "a"} for n in range(3)]
    Path("a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert run(shell, "%trace_load a.jsonl --meta run=A --meta 'note=two words'").added == 3
    store = rt.TraceStore()
    assert store.latest().payload.meta == {"run": "A", "note": "two words"}
    assert told(shell, "%trace_load a.jsonl --meta run") == "--meta run: must be KEY=VALUE, such as run=A"
    report = run(
        shell,
        "report = %trace_export out.jsonl --format prompt_completion --tags <a> </a> --run A --no-manifest\nreport",
    )
    assert (report.rows, report.manifest) == (3, None)
    assert "<a>" in Path("out.jsonl").read_text()
    assert run(shell, "%trace_export 'all of it.parquet' --no-scores").rows == 3
    assert "unknown" in told(shell, "%trace_export b.jsonl --format nothing")
    # Nothing is deleted that was not agreed to.
    first = str(store.page()[2].id)
    expected = f"delete: 2 traces with their scores would be deleted from {store.path}; pass --yes"
    assert told(shell, f"%trace_delete latest {first}") == expected
    assert told(shell, "%trace_delete --yes").startswith("delete: pass either ids or filters; --where true")
    assert "not found" in told(shell, "%trace_delete 0000 --yes")
    assert run(shell, "%trace_delete --run B") == 0
    assert store.count() == 3
    assert run(shell, f"%trace_delete latest {first} --yes") == 2
    assert completions(shell, "%trace_delete lat") == ["latest"]
    assert completions(shell, "%trace_delete --ye") == ["--yes"]
    assert completions(shell, "%trace_export x.jsonl --format pref") == ["preference"]
    assert completions(shell, "%trace_export x.jsonl --meta ru") == ["run"]
    assert run(shell, "%trace_delete --meta run=A --yes") == 1
