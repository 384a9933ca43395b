"""The command line as a shell runs it: pipes, interrupts, terminals, other processes."""

import fcntl
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.commands import COMMAND, PROGRAM, on_terminal, run, run_in_shell, start, surroundings
from tests.processes import PATIENCE, new_python, python
from tests.test_status_form import HOLD
from tunix_rt.render.characters import width

# Chunks of a load, and more than its buffers hold.
MANY = 60_000


def row(n):
    return json.dumps({"prompt": f"{n}?", "steps": ["s"], "final_answer": "a"}) + "\n"


@pytest.mark.slow
def test_a_training_script_pipes_its_traces_in():
    trace = "{'prompt': f'{n}?', 'steps': ['s'], 'final_answer': 'a'}"
    Path("train.py").write_text(f"import json\nfor n in range(3):\n    print(json.dumps({trace}))")
    put, said = run_in_shell(
        f"{sys.executable} train.py | tunix-rt load - && tunix-rt list -n 2 --json && tunix-rt show", forked=False
    )
    assert put.startswith("3 added · 0 already stored · 0 rejected\nfrom standard input · format trace\n{")
    assert put.count('"cursor"') == 2
    assert "\nPrompt\n  2?\n" in put
    assert said == ""


@pytest.mark.slow
def test_what_is_loaded_and_exported_through_pipes_is_what_was_there():
    Path("a.jsonl").write_text("".join(map(row, range(5))))
    there, copy = "--store a.duckdb", "--store b.duckdb"
    run_in_shell(f"tunix-rt load a.jsonl -q {there} && tunix-rt export - {there} | gzip | tunix-rt load - -q {copy}")
    assert run_in_shell(f"tunix-rt export - -q {there}") == run_in_shell(f"tunix-rt export - -q {copy}")
    assert rt.TraceStore("b.duckdb").count() == 5


@pytest.mark.slow
def test_a_process_in_place_of_a_file_is_read():
    Path("a.jsonl").write_text("".join(map(row, range(5))))
    put, _ = run_in_shell("tunix-rt load <(head -n 2 a.jsonl) <(tail -n 1 a.jsonl)", forked=False)
    assert re.findall(r"(\d) added", put) == ["2", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("words", ["list --all", "list --all --json", "export -"])
def test_whoever_reads_may_go_away_and_nothing_is_said(words):
    store = rt.TraceStore()
    store.add_many(
        rt.Trace(prompt=f"{n} " + "x" * 4_000, steps=["s" * 20_000], final_answer="a" * 2_000) for n in range(300)
    )
    put, said = run_in_shell(f"tunix-rt {words} -q | head -c 10", status=141)
    assert (len(put), said) == (10, "")


@pytest.mark.slow
def test_standard_output_may_be_full_and_streams_may_be_closed():
    rt.TraceStore().load(rt.examples.folder())
    for words in ("list", "export -", "list --json"):
        _, said = run_in_shell(f"tunix-rt {words} -q > /dev/full", status=1)
        assert said == "tunix-rt: [Errno 28] No space left on device\n"
    assert run_in_shell("tunix-rt list -n 1 -q >&-", forked=False) == ("", "")
    assert run_in_shell("tunix-rt list -n 1 2>&- >/dev/null", forked=False) == ("", "")
    assert "standard input: is empty" in run_in_shell("tunix-rt load - <&-", status=1, forked=False)[1]


@pytest.mark.slow
def test_exit_statuses_reach_the_shell():
    Path("bad.jsonl").write_text(row(1) + "{\n")
    assert "1 rejected" in run("load", "bad.jsonl", status=1)[0]
    assert run("list", "--nonsense", status=2)[0] == ""
    assert run("list", "--after", "nonsense", status=2)[1].startswith(
        'tunix-rt: after="nonsense": is not a valid cursor'
    )


@pytest.mark.slow
def test_an_interrupted_load_keeps_what_was_committed_and_says_so():
    os.mkfifo("pipe")
    with start("load", "pipe", "--store", "s.duckdb") as process, Path("pipe").open("w") as pipe:
        pipe.writelines(map(row, range(MANY)))
        pipe.flush()
        store = rt.TraceStore("s.duckdb")
        while not store.count():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        put, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, put) == (130, "")
    (added,) = re.match(r"tunix-rt: interrupted; stopped after (\S+) added, .* rejected; ", said).groups()
    assert int(added.replace(",", "")) == store.count() < MANY


@pytest.mark.slow
def test_an_interrupt_of_a_pipe_stores_what_came_through_it():
    process = start("load", "-", stdin=subprocess.PIPE)
    process.stdin.write("".join(map(row, range(3))))
    process.stdin.flush()
    # It has read all that there is, and sleeps for want of more.
    state = Path(f"/proc/{process.pid}/stat")
    while any(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))) or ") S " not in state.read_text():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    put, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (130, "tunix-rt: interrupted\n")
    assert put.startswith("3 added")
    assert rt.TraceStore().count() == 3


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_watch_tells_each_look_that_brought_something_and_ends(sign, status):
    Path("out").mkdir()
    process = start("watch", "out", "--every", "0.05")
    assert process.stderr.readline() == "watching out every 0.05 s; Ctrl-C ends it\n"
    for n in range(2):
        Path(f"out/{n}.jsonl").write_text(row(n))
        assert re.fullmatch(
            r"\S+ \S+ UTC  1 added · 0 already stored · 0 rejected · trace\n", process.stdout.readline()
        )
    process.send_signal(sign)
    put, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, put) == (status, "")
    assert said == ("tunix-rt: interrupted\n" if status else "")
    assert rt.TraceStore().count() == 2


@pytest.mark.slow
def test_a_store_that_another_program_holds_is_busy(store, make_trace):
    store.add(make_trace())
    store.close()
    few = surroundings(TUNIX_RT_POOL_TIMEOUT="1")
    with python(HOLD, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        put, said = run("list", "--store", store.path, status=1, env=few)
        assert (put, f"process {holder.pid}" in said) == ("", True)
        assert json.loads(run("health", "--json", "--store", store.path, status=1, env=few)[0])["status"] != "healthy"
        holder.stdin.close()
    assert "1 trace" in run("list", "--store", store.path)[0]


@pytest.mark.slow
def test_progress_shows_on_a_terminal_and_nowhere_else():
    reading, writing = os.pipe()
    seen = threading.Event()

    def feed():
        # Until there is a bar, however fast or slow the machine.
        with os.fdopen(writing, "w") as pipe:
            for n in itertools.count():
                if seen.is_set():
                    return
                pipe.write(row(n))

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading) as source:
        shown, status = on_terminal("load", "-", until=lambda text: "loading" in text and seen.set(), stdin=source)
    thread.join(PATIENCE)
    assert status == 0
    assert "loading" in shown
    Path("a.jsonl").write_text(row(0))
    assert run("load", "a.jsonl")[1] == ""


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 200])
def test_a_trace_is_folded_to_the_terminal_and_stays_whole_in_a_pipe(columns, make_trace):
    text = " ".join(f"word{n}" for n in range(300)) + " 日本語の文章" * 50
    rt.TraceStore().add(make_trace(text))
    shown, status = on_terminal("show", columns=columns)
    assert status == 0
    lines = shown.splitlines()
    assert max(map(width, lines)) <= columns
    assert columns - 20 <= max(map(width, lines))
    prompt = lines[lines.index("Prompt") + 1 : lines.index("Steps") - 1]
    assert " ".join("".join(prompt).split()).replace(" ", "") == text.replace(" ", "")
    assert text in run("show")[0]


@pytest.mark.slow
def test_lists_take_the_width_of_the_terminal(make_trace):
    rt.TraceStore().add(make_trace("long words " * 20, final_answer="long answers " * 20))
    widths = [max(map(len, on_terminal("list", columns=columns)[0].splitlines())) for columns in (60, 140)]
    assert widths == [60, 140]
    assert max(map(len, run("list")[0].splitlines())) == 100


@pytest.mark.slow
def test_a_terminal_gets_no_control_character_and_no_parquet(make_trace):
    trace = make_trace("p\x1b[2J\x9b31m", meta={"source": "\x1b]0;mine\x07"})
    rt.TraceStore().add(trace)
    for words in (["list"], ["show"], ["export", "-"], ["list", "--json"], ["store", "info"]):
        shown, status = on_terminal(*words)
        assert status == 0
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown), words
    shown, status = on_terminal("export", "-", "--format", "parquet")
    assert (status, "Parquet cannot be written to a terminal" in shown) == (1, True)


@pytest.mark.slow
def test_help_has_no_colour_where_none_is_wanted():
    environment = surroundings(NO_COLOR="1")
    for words in (["--help"], ["load", "--help"], ["store", "--help"]):
        put, said = run(*words, env=environment)
        assert ("\x1b" in put, said) == (False, "")


@pytest.mark.slow
def test_output_is_right_in_a_terminal_without_unicode(make_trace):
    rt.TraceStore().add(make_trace("日本語?"))
    for words in (["list"], ["show"], ["list", "--json"], ["load", "--examples"]):
        put, said = run(*words, env=surroundings(PYTHONIOENCODING="ascii"))
        assert put.isascii()
        assert "Traceback" not in said
    assert json.loads(run("list", "-n", "1", "--text", "日本", "--json")[0])["preview"] == "日本語?"


@pytest.mark.slow
def test_help_and_completion_start_without_the_store():
    program = (
        "import sys; sys.argv[1:] = ['list', '--help']\n"
        "from tunix_rt.cli import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('duckdb', 'pyarrow', 'IPython', 'jinja2', 'ipywidgets') if name in sys.modules])"
    )
    with new_python(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate(timeout=PATIENCE)[0].splitlines()[-1] == "[]"


def completed(line):
    """What bash is offered behind the line."""
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TUNIX_RT_COMPLETE": "complete_bash"}
    with python(PROGRAM, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        return process.communicate(timeout=PATIENCE)[0].split()


@pytest.mark.slow
def test_commands_options_ids_sources_and_formats_complete(tmp_path):
    store = rt.TraceStore()
    store.load(rt.examples.folder())
    newest = str(store.latest().id)
    store.close()
    assert completed("tunix-rt st") == ["store"]
    assert completed("tunix-rt store ") == ["info", "verify", "backup", "compact", "migrate"]
    assert completed("tunix-rt list --min") == ["--min-steps", "--min-chars"]
    assert completed("tunix-rt show ")[:2] == ["latest", newest]
    assert completed(f"tunix-rt show {newest[:25]}") == [newest]
    assert completed("tunix-rt list --source ") == ["examples", "rollouts"]
    assert completed("tunix-rt list --meta corr") == ["correct"]
    assert completed("tunix-rt list --score loo") == ["loop"]
    assert completed("tunix-rt list --order-by meta.corr") == ["meta.correct"]
    assert completed("tunix-rt list --order-by n_") == ["n_steps", "n_chars"]
    assert completed("tunix-rt load --format gsm") == ["gsm8k_solutions", "gsm8k"]
    assert completed("tunix-rt export --format tun") == ["tunix_sft", "tunix_rl"]
    other = tmp_path / "other.duckdb"
    assert completed(f"tunix-rt show --store {other} 0") == []
    assert completed(f"tunix-rt --store {other} list --source ") == []
    assert not other.exists()


@pytest.mark.slow
def test_nothing_that_a_shell_could_run_is_offered(make_trace):
    store = rt.TraceStore()
    store.add_many(
        make_trace(meta={"source": source, source: 1})
        for source in ("good", "$(touch bad)", "`touch bad`", "a b", "x;y")
    )
    store.close()
    assert completed("tunix-rt list --source ") == ["good"]
    assert completed("tunix-rt list --meta g") == ["good"]
    assert completed("tunix-rt list --order-by meta.") == ["meta.source", "meta.good"]


@pytest.mark.slow
def test_a_store_that_cannot_be_opened_offers_nothing_and_says_nothing():
    Path("text.duckdb").write_text("no store\n" * 1_000)
    assert completed("tunix-rt show --store text.duckdb ") == ["latest"]
    assert completed("tunix-rt list --store text.duckdb --source ") == []
    assert completed("tunix-rt list --store text.duckdb --meta ") == []


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell):
    environment = os.environ | {"_TUNIX_RT_COMPLETE": f"source_{shell}"}
    with python(PROGRAM, stdout=subprocess.PIPE, text=True, env=environment) as process:
        script = process.communicate(timeout=PATIENCE)[0]
    assert "tunix-rt" in script
    if shell == "bash":
        subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.slow
def test_the_version_is_told_by_the_command_and_by_the_module():
    assert run("--version")[0] == f"tunix_rt {rt.__version__}\n"
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: python -m tunix_rt" in done.stdout + done.stderr
