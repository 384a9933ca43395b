"""The command line, command by command: what it puts out, what it says, and its exit status."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tunix_rt as rt
from tests.shared_store import shared
from tunix_rt.cli import app
from tunix_rt.store.engine import schema
from tunix_rt.store.filters import FILTERS

ROW = {"prompt": "2 + 2?", "steps": ["2 + 2 = 4"], "final_answer": "4"}
HOSTILE = "\x1b[2J\x1b]0;mine\x07 \x9b31m \u202eleft"
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


def call(*words, status=0, input=None, columns=100):
    """What the command put out; it must end with this status."""
    result = CliRunner().invoke(app, list(map(str, words)), input=input, env={"COLUMNS": str(columns)})
    assert result.exit_code == status, result.output
    return result.stdout


def said(*words, status=0, input=None):
    """What the command said on standard error, when it put nothing out."""
    result = CliRunner().invoke(app, list(map(str, words)), input=input, env={"COLUMNS": "200"})
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    return result.stderr


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def write(name, *rows, end="\n"):
    Path(name).write_text("\n".join(map(json.dumps, rows)) + end, encoding="utf-8")
    return name


@pytest.fixture
def examples():
    """The default store, which holds the examples."""
    call("load", "--examples", "--quiet")
    return rt.TraceStore()


@pytest.fixture(scope="module")
def loaded(empty_store, tmp_path_factory):
    with shared(empty_store, tmp_path_factory, lambda store: store.load(rt.examples.folder(), progress=False)) as store:
        yield store


@pytest.fixture
def same_examples(loaded, monkeypatch):
    """The same in a store that tests share which change nothing in it."""
    monkeypatch.setenv("TUNIX_RT_DATABASE", str(loaded.path))
    return loaded


@pytest.mark.slow
def test_files_are_loaded_listed_and_shown(tmp_path):
    write("a.jsonl", ROW, ROW | {"prompt": "3 + 3?"})
    assert call("load", "a.jsonl") == "2 added · 0 already stored · 0 rejected\nfrom a.jsonl · format trace\n"
    assert rt.TraceStore(tmp_path / "default.duckdb").count() == 2
    listed = call("list")
    assert re.search(r"^2 traces, newest first\n\ncreated, UTC +prompt +answer", listed)
    assert re.findall(r"\S \+ \S\?", listed) == ["3 + 3?", "2 + 2?"]
    shown = call("show", "latest")
    assert shown == call("show")
    named = re.match(r"Trace (\S{36})\n", shown)[1]
    assert call("show", named) == call("show", named[:30]) == shown
    assert "\nSteps\n  [0] step\n      2 + 2 = 4\n" in shown


@pytest.mark.slow
def test_what_is_there_already_is_not_added_again_unless_it_is_asked():
    write("a.jsonl", ROW)
    assert [
        row["added"]
        for word in ("skip", "skip", "add")
        for row in rows(call("load", "a.jsonl", "--known", word, "--json"))
    ] == [1, 0, 1]


def test_json_of_a_load_tells_ids_and_rejected_rows_and_the_exit_status_tells_that_there_are_some():
    write("a.jsonl", ROW, {"prompt": "a", "steps": 3, "final_answer": None}, end="\n{")
    (report,) = rows(call("load", "a.jsonl", "--json", status=1))
    assert report == {
        "source": "a.jsonl",
        "format": "trace",
        "mapping": None,
        "added": 1,
        "already_stored": 0,
        "known": 0,
        "rejected": 2,
        "scores_added": 0,
        "passed_over": [],
        "rejections": report["rejections"],
        "ids": [str(rt.TraceStore().latest().id)],
    }
    assert [(one["file"], one["line"], one["field"]) for one in report["rejections"]] == [
        ("a.jsonl", 2, "steps"),
        ("a.jsonl", 3, None),
    ]
    assert "  line 2, steps\n    must be a list of steps, not a number" in call("load", "a.jsonl", status=1)


def test_each_source_is_told_and_one_that_is_missing_or_no_trace_file_stops_no_other():
    write("a.jsonl", ROW)
    write("b.jsonl", ROW | {"prompt": "b"})
    Path("plain.txt").write_text("hello\n")
    Path("empty.jsonl").touch()
    sources = ["a.jsonl", "nowhere.jsonl", "plain.txt", "empty.jsonl", "b.jsonl"]
    result = CliRunner().invoke(app, ["load", *sources])
    assert result.exit_code == 1
    assert [re.match(r"tunix-rt: (\S+): (\w+ \w+)", line).groups() for line in result.stderr.splitlines()] == [
        ("nowhere.jsonl", "no such"),
        ("plain.txt", "has no"),
        ("empty.jsonl", "is empty"),
    ]
    assert re.findall("from (.*) · format trace", result.stdout) == ["a.jsonl", "b.jsonl"]
    assert rt.TraceStore().count() == 2


def test_fields_are_named_by_hand_and_a_format_is_insisted_on():
    write("odd.jsonl", {"question": "q", "cot": "so it is", "score": 1})
    maps = ("--map", "prompt=question", "--map", "reasoning=cot", "--map", "meta.reward=score")
    assert rows(call("load", "odd.jsonl", *maps, "--json"))[0]["added"] == 1
    assert rt.TraceStore().latest().payload.meta["reward"] == 1
    write("gsm.jsonl", {"question": "q", "answer": "so\n#### 72"})
    assert rows(call("load", "gsm.jsonl", "--format", "gsm8k", "--json"))[0]["format"] == "gsm8k"
    assert "check by eye" in call("load", "gsm.jsonl")


def test_standard_input_is_a_source_like_a_file():
    text = "".join(json.dumps(ROW | {"prompt": f"{n}?"}) + "\n" for n in range(3))
    assert call("load", "-", input=text).endswith("from standard input · format trace\n")
    assert rt.TraceStore().count() == 3
    assert "standard input: is empty" in said("load", "-", input="", status=1)


FILTERED = {
    "text": (["--text", "pens"], 6),
    "source": (["--source", "examples"], 9),
    "model": (["--model", "toy-1b"], 8),
    "run": (["--run", "nowhere"], 0),
    "training_step": (["--training-step", "20"], 3),
    "since": (["--since", "2020-01-01"], 17),
    "until": (["--until", "2020-01-01T00:00:00Z"], 0),
    "min_steps": (["--min-steps", "5"], 6),
    "max_steps": (["--max-steps", "1"], 1),
    "min_chars": (["--min-chars", "300"], 8),
    "max_chars": (["--max-chars", "100"], 2),
    "trace_version": (["--trace-version", "1.1"], 3),
    "meta": (["--meta", "correct=true", "--meta", "model=toy-1b", "--meta", "!x", "--meta", "model>=t"], 5),
    "score": (["--score", "loop"], 0),
    "selection": (["--selection", "none"], 0),
    "ids": (["--id", "NEWEST"], 1),
    "where": (["--where", "n_steps > 100"], 1),
}


def test_every_filter_of_a_store_is_an_option():
    assert set(FILTERED) == set(FILTERS)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, (words, _) in FILTERED.items()])
def test_lists_and_exports_take_each_filter(same_examples, name, words):
    words = [str(same_examples.latest().id) if word == "NEWEST" else word for word in words]
    asked = {
        "meta": {"correct": True, "model": "toy-1b"},
        "ids": [words[1]],
    }.get(name, int(words[1]) if name.startswith(("min", "max", "training")) else words[1])
    n = same_examples.count(**{name: asked})
    assert n < 17 or name == "since"
    listed = rows(call("list", "--all", "--json", *words))
    assert len(listed) == n
    exported = rows(call("export", "-", *words))
    assert [row["id"] for row in exported] == [row["id"] for row in listed][::-1]


@pytest.mark.usefixtures("same_examples")
def test_the_old_name_of_a_filter_works_and_is_noted():
    for words in (["list", "--all", "--json"], ["export", "-"]):
        result = CliRunner().invoke(app, [*words, "--version", "1.1"])
        assert len(rows(result.stdout)) == 9
        assert "the filter version is now trace_version" in result.stderr
    assert "use only one of them" in said("list", "--version", "1.1", "--trace-version", "1.1", status=2)


@pytest.mark.usefixtures("same_examples")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--training-step", "many"], 'training_step="many": must be a number of at most 1.8e308'),
        (["--training-step", "true"], 'training_step="true": must be a number'),
        (["--min-steps", "1.5"], 'min_steps="1.5": must be a whole number'),
        (["--since", "soon"], 'since="soon": must be a time such as'),
        (["--id", "0"], 'ids=["0"]: must be full ids'),
    ],
)
def test_a_filter_of_another_kind_is_a_wrong_call(words, why):
    assert why in said("list", *words, status=2)


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("ago", ["90m", "2h", "1d"])
def test_a_time_may_be_so_long_ago(ago):
    write("old.jsonl", ROW | {"created_at": "2020-01-01T00:00:00Z"})
    call("load", "old.jsonl")
    assert len(rows(call("list", "--all", "--json", "--since", ago))) == 17
    assert len(rows(call("list", "--all", "--json", "--until", ago))) == 1


def test_long_lists_come_page_by_page_and_a_cursor_leads_on(store, make_trace):
    store.add_many(make_trace(f"{n}?") for n in range(250))
    there = ["--store", store.path]
    everything = rows(call("list", "--all", "--json", *there))
    assert [row["preview"] for row in everything] == [f"{n}?" for n in reversed(range(250))]
    assert set(everything[0]) == {*rt.TraceSummary.model_fields, "cursor"}
    assert rows(call("list", "-n", 120, "--json", *there)) == everything[:120]
    assert rows(call("list", "-n", 5, "--offset", 240, "--json", *there)) == everything[240:245]
    assert rows(call("list", "-n", 5, "--after", everything[99]["cursor"], "--json", *there)) == everything[100:105]
    assert rows(call("list", "--after", everything[-1]["cursor"], "--json", *there)) == []
    result = CliRunner().invoke(app, ["list", "-n", "3", *map(str, there)])
    cursor = re.fullmatch(r"more: --after (\S+)\n", result.stderr)[1]
    assert cursor == everything[2]["cursor"]
    assert "more" not in result.stdout


@pytest.mark.usefixtures("same_examples")
def test_an_empty_list_says_so_beside_the_output(tmp_path):
    assert said("list", "--text", "nowhere to be found") == "no trace matches the filters\n"
    assert "no traces yet in" in said("list", "--store", rt.TraceStore(tmp_path / "new.duckdb").path)
    assert said("list", "--quiet", "--text", "nowhere to be found") == ""


def test_json_of_one_trace_is_its_record(examples):
    record = examples.latest()
    (shown,) = rows(call("show", record.id, "--json"))
    assert rt.TraceRecord.model_validate_json(json.dumps(shown)) == record


def test_a_trace_is_shown_whole_however_long_it_is(make_trace):
    long = " ".join(f"word{n}" for n in range(5_000))
    rt.TraceStore().add(make_trace(long, steps=["s"] * 300))
    shown = call("show")
    assert "word4999" in shown
    assert shown.count("step\n      s\n") == 300
    assert "more" not in shown


@pytest.mark.slow
@pytest.mark.usefixtures("examples")
def test_exports_go_to_files_with_a_manifest_and_to_standard_output():
    told = dict(line.split(maxsplit=1) for line in call("export", "all.jsonl").splitlines())
    assert (told["file"], told["rows"]) == (str(Path("all.jsonl").resolve()), "17")
    assert Path(".all.jsonl.manifest.json").exists()
    result = CliRunner().invoke(app, ["export", "-"])
    assert result.stdout_bytes == Path("all.jsonl").read_bytes()
    assert result.stderr == "17 rows\n"
    assert "left out  2: no final answer" in call("export", "m.jsonl", "--format", "messages")
    (told,) = rows(call("export", "m.jsonl.gz", "--format", "messages", "--no-manifest", "--json"))
    assert (told["path"], told["rows"], told["manifest"]) == (str(Path("m.jsonl.gz").resolve()), 15, None)
    assert not Path(".m.jsonl.gz.manifest.json").exists()
    (told,) = rows(call("export", "t.jsonl", "--format", "prompt_completion", "--tags", "<r>", "</r>", "--json"))
    manifest = json.loads(Path(told["manifest"]).read_text())
    assert manifest["sha256"] == told["sha256"] == hashlib.sha256(Path("t.jsonl").read_bytes()).hexdigest()
    assert "<r>" in Path("t.jsonl").read_text()


@pytest.mark.usefixtures("examples")
def test_parquet_goes_through_a_pipe_as_into_a_file():
    piped = CliRunner().invoke(app, ["export", "-", "--format", "parquet", "--quiet"])
    call("export", "all.parquet")
    assert piped.stdout_bytes == Path("all.parquet").read_bytes()
    call("score", "length")
    assert f"scores   17, in {Path('s.scores.parquet').resolve()}" in call("export", "s.parquet")
    (told,) = rows(call("export", "s.parquet", "--no-scores", "--json"))
    assert (told["scores"], told["score_file"], Path("s.scores.parquet").exists()) == (0, None, False)
    assert piped.stderr == ""
    piped = CliRunner().invoke(app, ["export", "-", "--format", "parquet"])
    assert piped.stdout_bytes == Path("all.parquet").read_bytes()
    assert "17 scores were left out: with the format parquet they go to a file beside the export" in piped.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("examples")
def test_the_files_of_a_job_come_in_by_a_look():
    Path("out").mkdir()
    write("out/a.jsonl", ROW, end='\n{"prompt": "half a')
    told = call("watch", "out", "--once", status=1)
    assert re.match(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  1 added · 0 already stored · 1 rejected · trace\n"
        r"    out/a.jsonl, line 2: invalid JSON",
        told,
    )
    write("out/b.jsonl", ROW | {"prompt": "b"})
    Path("out/a.jsonl").unlink()
    (report,) = rows(call("watch", "out", "--once", "--json"))
    assert (report["added"], report["rejected"]) == (1, 0)
    assert said("watch", "not-there-yet", "--once") == ""


@pytest.mark.slow
@pytest.mark.usefixtures("examples")
def test_the_store_is_looked_after(tmp_path):
    (info,) = rows(call("store", "info", "--json"))
    assert (info["n_traces"], info["sources"]) == (17, [["examples", 9], ["rollouts", 8]])
    assert "traces          17" in call("store", "info")
    assert rows(call("store", "verify", "--json"))[0]["ok"] is True
    assert call("store", "verify", "--quiet") == ""
    assert call("store", "backup", tmp_path / "copy.duckdb") == f"{tmp_path / 'copy.duckdb'}\n"
    assert rt.TraceStore(tmp_path / "copy.duckdb").count() == 17
    assert "already exists" in said("store", "backup", tmp_path / "copy.duckdb", status=1)
    assert rows(call("store", "compact", "--json"))[0]["moved"] == 0
    assert "disorder" in call("store", "compact")


@pytest.mark.slow
def test_a_store_goes_down_to_an_older_schema_and_stays_there_until_it_is_opened(examples):
    import duckdb

    examples.close()
    assert call("store", "migrate", "--to", 1).endswith("schema version 1\n")
    with duckdb.connect(examples.path, read_only=True) as connection:
        assert schema.current_version(connection) == 1
    assert rows(call("store", "info", "--json"))[0]["schema_version"] == schema.SCHEMA_VERSION
    assert "to=99: must be a whole number" in said("store", "migrate", "--to", 99, status=2)


@pytest.mark.usefixtures("examples")
def test_health_is_an_exit_status(tmp_path):
    assert "health          healthy" in call("health")
    assert call("health", "--quiet") == ""
    (found,) = rows(call("health", "--json"))
    assert (found["status"], found["store"]["n_traces"]) == ("healthy", 17)
    (down,) = rows(call("health", "--json", "--store", tmp_path / "none.duckdb", status=1))
    assert down["status"] == "down"
    assert "there is no store" in said("health", "--store", tmp_path / "none.duckdb", status=1)
    (tmp_path / "text.duckdb").write_text("no store\n" * 1_000)
    assert (
        "is not a DuckDB file"
        in rows(call("health", "--json", "--store", tmp_path / "text.duckdb", status=1))[0]["error"]
    )


@pytest.mark.usefixtures("same_examples")
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["load"], 2, "name files, folders or patterns to load"),
        (["load", "x", "--format", "nope"], 2, 'unknown format "nope"'),
        (["load", "x", "--map", "prompt"], 2, "--map prompt: must be TARGET=FIELD"),
        (["load", "x", "--map", "a=b"], 2, "mapping"),
        (["load", "x", "--known", "maybe"], 2, "--known"),
        (["load", "nowhere"], 1, "nowhere: no such file or folder"),
        (["list", "-n", "0"], 2, "--limit"),
        (["list", "--after", "x"], 2, 'after="x": is not a valid cursor'),
        (["list", "--meta", "reward<1, x"], 2, "give each term as an option of its own"),
        (["list", "--since", "yesterday"], 2, 'since="yesterday": must be a time'),
        (["list", "--where", "selec"], 2, 'where="selec"'),
        (["list", "--store", "nope.duckdb"], 1, "nope.duckdb: there is no store; create one with: tunix-rt load"),
        (["list", "--store", "."], 1, "is a folder; name a file in it"),
        (["show", "zz"], 1, "trace zz not found"),
        (["show", "0000"], 1, "trace 0000 not found in"),
        (["show", "0"], 1, "id 0 is ambiguous: 17 ids begin with it"),
        (["export", "-", "--format", "nope"], 2, 'unknown export format "nope"'),
        (["export", "nowhere/x.jsonl"], 1, "nowhere/x.jsonl: cannot be written"),
        (["export", "x.jsonl", "--tags", "<a>", "</a>"], 2, "the format trace does not accept tags"),
        (["watch", ".", "--every", "-1"], 2, "every=-1.0: must be a number of seconds above 0"),
        (["nonsense"], 2, "No such command 'nonsense'"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_message_and_an_exit_status(words, status, message):
    assert message in said(*words, status=status)


def test_a_bad_setting_is_told(monkeypatch):
    monkeypatch.setenv("TUNIX_RT_POOL_SIZE", "99")
    assert said("list", status=2) == "tunix-rt: TUNIX_RT_POOL_SIZE=99: must be a whole number from 1 to 50\n"


def test_what_every_command_takes_may_stand_before_it_or_behind_it(store, make_trace):
    store.add(make_trace())
    for words in (["--store", store.path, "--json", "list"], ["list", "--json", "--store", store.path]):
        assert len(rows(call(*words))) == 1
    words = ["--read-only", "load", "--examples", "--store", store.path]
    assert "is open with --read-only" in said(*words, status=1)


def test_a_published_store_is_read_and_not_changed(store, make_trace, tmp_path):
    store.add(make_trace())
    path = store.backup(tmp_path / "published.duckdb")
    path.chmod(0o444)
    there = ["--read-only", "--store", path]
    assert len(rows(call("list", "--json", *there))) == 1
    assert "1 trace" in call("list", *there)
    assert len(rows(call("export", "-", *there))) == 1
    assert "is open with --read-only; open it without" in said("load", "--examples", *there, status=1)
    assert not list(tmp_path.glob("published.[jl]*"))


def test_quiet_says_nothing_of_what_went_well():
    write("a.jsonl", ROW)
    write("b.jsonl", ROW, {"prompt": 3})
    assert said("load", "a.jsonl", "-q") == ""
    assert said("export", "out.jsonl", "-q") == ""
    assert "1 rejected" in call("load", "b.jsonl", "-q", status=1)


def test_no_text_of_a_trace_acts_in_the_terminal(make_trace):
    trace = make_trace(f"p{HOSTILE}", steps=[f"s{HOSTILE}"], final_answer=f"a{HOSTILE}", meta={"source": f"m{HOSTILE}"})
    Path("hostile\x1b[2J.jsonl").write_text(trace.to_json() + "\n{\x1b[2J\x9b", encoding="utf-8")
    shown = [call("load", "hostile\x1b[2J.jsonl", status=1), call("load", "hostile\x1b[2J.jsonl", "--json", status=1)]
    shown += [call(*words) for words in (["list"], ["show"], ["list", "--json"], ["show", "--json"], ["store", "info"])]
    shown.append(said("load", "no\x1b[2J.jsonl", status=1))
    for text in shown:
        assert not ACTING.search(text)
    assert json.loads(shown[5])["payload"]["prompt"] == f"p{HOSTILE}"
    assert "␛[2J" in shown[3]


def test_wide_characters_are_aligned_and_folded(make_trace):
    from tunix_rt.render.characters import width

    rt.TraceStore().add_many([make_trace("日本語の長い質問" * 9, final_answer="答え" * 30), make_trace("short")])
    for columns in (80, 100, 200):
        _, _, header, _, *lines = call("list", columns=columns).splitlines()
        assert {width(line[: line.rindex("  ") + 2]) for line in lines} == {header.index("id")}
        assert max(map(width, lines)) <= columns


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_lists_and_reports_fit_the_terminal(columns):
    write(
        "long.jsonl", {"prompt": "many words " * 30, "completion": "and more " * 40}, {"prompt": 3, "completion": "x"}
    )
    texts = [call("load", "long.jsonl", columns=columns, status=1), call("list", columns=columns)]
    assert all(len(line) <= columns for text in texts for line in text.splitlines())
    prompt = texts[1].splitlines()[-1].split("  ")[1]
    assert len(prompt) >= (20 if columns >= 80 else 8)


def test_a_file_in_another_encoding_is_loaded_by_its_name():
    Path("t.jsonl").write_bytes(json.dumps(ROW | {"prompt": "naïve"}, ensure_ascii=False).encode("latin-1"))
    assert "as in --encoding windows-1252" in said("load", "t.jsonl", status=1)
    assert call("load", "t.jsonl", "--encoding", "latin-1").startswith("1 added")
    assert rt.TraceStore().latest().payload.prompt == "naïve"
    assert 'encoding="rot13": is not an encoding of text files' in said(
        "load", "t.jsonl", "--encoding", "rot13", status=2
    )


def test_a_file_of_no_known_format_is_told_with_the_flags_that_load_it():
    write("a.jsonl", {"instruction": "Add.", "input": "2, 2", "answer": "4"})
    flags = ["--map", 'prompt=["instruction", "input"]', "--map", "completion=answer"]
    told = said("load", "a.jsonl", "--quiet", status=1)
    assert "of no known format; its fields are instruction, input, answer" in told
    assert f"{flags[0]} '{flags[1]}' {flags[2]} {flags[3]}, if answer is what the model wrote" in told
    assert "or name its format with --format" in told
    call("load", "a.jsonl", *flags, "--map", "meta.model:=toy-1b")
    trace = rt.TraceStore().latest().payload
    assert (trace.prompt, trace.final_answer, trace.meta["model"]) == ("Add.\n\n2, 2", "4", "toy-1b")


def test_groups_are_counted_over_the_samples_of_a_prompt():
    samples = [ROW | {"final_answer": str(n), "meta": {"correct": n == 4, "run": f"r{n % 2}"}} for n in range(4, 9)]
    call("load", write("samples.jsonl", *samples))
    assert "1/5" in call("groups")
    found = json.loads(call("groups", "--by", "prompt", "--by", "run", "--run", "r1", "--json"))
    assert (found["groups"], found["samples"], found["data"][0]["run"]) == (1, 2, "r1")
    assert json.loads(call("groups", "--matrix", "--run", "r1", "--json"))["prompts"] == 1
    assert "1 prompt × 1 policy" in call("groups", "--matrix", "--run", "r1")
    assert "by=" in said("groups", "--by", "nothing", status=2)


def test_two_traces_or_two_sets_are_compared():
    rows = [
        ROW | {"final_answer": str(n), "meta": {"correct": n == 4, "run": f"r{n}", "source": "s"}} for n in range(3, 5)
    ]
    call("load", write("samples.jsonl", *rows))
    a, b = (one["id"] for one in map(json.loads, call("list", "--json").splitlines()))
    assert "A right, B wrong: it flips" in call("compare", a, b)
    assert json.loads(call("compare", b, "latest", "--json"))["verdicts"] == [False, True]
    found = json.loads(call("compare", "run=r3", "meta.run=r4", "--source", "s", "--json"))
    assert (found["wins"], found["a"]["filters"]) == (1, {"source": "s", "run": "r3"})
    assert "worse on 0" in call("compare", "run=r3", "run=r4")
    assert "a selection is compared with another selection" in said("compare", a, "run=r3", status=2)
    assert "name two ids without filters" in said("compare", a, b, "--source", "s", status=2)
    assert "unknown filter" in said("compare", "nothing=1", "run=r3", status=2)
    assert "compare: run is a filter of one set and of both" in said(
        "compare", "run=r3", "run=r4", "--run", "r5", status=2
    )


def test_a_selection_is_stored_by_name_and_is_a_filter():
    call("load", "--examples")
    said_first = call("select", "few", "--max-steps", "3", "--limit", "4", "--seed", "0")
    assert "few, version 1: 4 traces" in said_first
    call("load", write("samples.jsonl", ROW))
    assert call("select", "few", "--max-steps", "3", "--limit", "4", "--seed", "0") == said_first
    assert json.loads(call("select", "few", "--json"))["traces"] == 4
    assert json.loads(call("select", "few", "--min-steps", "3", "--json"))["version"] == 2
    assert len(call("list", "--selection", "few@1", "--json").splitlines()) == 4
    assert "has no version 7" in said("select", "few", "--number", "7", status=2)
