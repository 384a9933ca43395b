"""Child interpreters for CPU-bound work: order, time limits, what ends them, and that they end."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.worker_tasks import items_in_trouble
from tunix_rt.workers import Workers, usable_workers

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def workers():
    with Workers(2) as workers:
        yield workers


def test_results_come_in_the_order_of_the_tasks(workers):
    assert list(workers.map("tests.worker_tasks:halved", range(8))) == [n / 2 for n in range(8)]
    assert list(workers.map("math:sqrt", [])) == []


def test_tasks_are_taken_a_few_ahead_only(workers):
    taken = []
    results = workers.map("math:sqrt", (taken.append(n) or n for n in range(100)))
    assert next(results) == 0
    assert len(taken) <= 5
    results.close()
    assert list(workers.map("math:sqrt", [4])) == [2]


def test_what_a_function_prints_is_not_taken_for_a_result(workers):
    assert list(workers.map("tests.worker_tasks:talkative", ["a\n" * 1_000, "b"])) == ["a\n" * 1_000, "b"]


def test_large_tasks_and_results_go_through(workers):
    large = b"x" * 20_000_000
    assert list(workers.map("builtins:bytes", [large, b"", large])) == [large, b"", large]


def test_what_a_function_raises_is_raised(workers):
    with pytest.raises(ValueError, match="not this one") as caught:
        list(workers.map("tests.worker_tasks:fails", ["plain"]))
    assert "worker_tasks.py" in caught.value.__notes__[0]
    with pytest.raises(rt.SourceInvalid, match="is empty") as caught:
        list(workers.map("tests.worker_tasks:fails", ["ours"]))
    assert caught.value.fields == ("a",)
    for how, words in (("keyword", "KeywordError: as it is"), ("exit", "SystemExit: 3")):
        with pytest.raises(RuntimeError, match=words):
            list(workers.map("tests.worker_tasks:fails", [how]))


@pytest.mark.parametrize(("function", "error"), [("no_such_module:f", ImportError), ("math:no_such", AttributeError)])
def test_a_function_that_is_not_there_is_an_error(workers, function, error):
    with pytest.raises(error):
        list(workers.map(function, [1]))
    assert list(workers.map("math:sqrt", [9])) == [3]


def test_a_result_that_cannot_be_sent_is_an_error(workers):
    with pytest.raises(TypeError):
        list(workers.map("builtins:memoryview", [b"a"]))


def test_a_task_that_kills_its_worker_is_reported_in_its_place(workers):
    results = list(workers.map("tests.worker_tasks:killed_at_13", range(10, 17)))
    assert results[:3] + results[4:] == [10, 11, 12, 14, 15, 16]
    assert isinstance(results[3], rt.WorkerLost)
    assert not results[3].timed_out
    assert str(results[3]) == f"a worker process ended before its task was done (signal {signal.SIGKILL:d})"


@pytest.mark.slow
def test_a_task_that_hangs_is_ended_when_its_time_is_over(workers):
    results = list(workers.map("tests.worker_tasks:hangs_at_13", [12, 13, 14], seconds=0.5))
    assert (results[0], results[2]) == (12, 14)
    assert results[1].timed_out
    assert str(results[1]) == "a task took longer than 0.5 s, and its worker process was ended"


def test_the_time_of_a_task_does_not_include_the_start():
    def done():
        with Workers(1) as workers:
            return list(workers.map("math:sqrt", [4], seconds=0.05))

    # A busy machine may stop a process for so long now and then; a start takes longer each time.
    assert any(done() == [2] for _ in range(5))


IN_TROUBLE = pickle.dumps(items_in_trouble)


def lost(results):
    return {index: (error.timed_out, str(error)) for index, error in enumerate(results) if index != error}


@pytest.mark.slow
def test_of_a_task_of_many_items_only_those_are_lost_that_hang_or_end_their_worker(tmp_path):
    tasks = [
        ["a", "b", "c"],
        ["a", "hangs", "hangs", "c", f"dies once: {tmp_path / 'died'}", "d"],
        ["dies"],
        ["a", "leaves a child", "forks", "b", "dies"],
        [],
    ]
    with Workers(1) as workers:
        found = workers.map_items(IN_TROUBLE, ((len(task), task) for task in tasks), seconds=0.6)
        results = [results for results, _ in found]
        assert [len(found) for found in results] == [3, 6, 1, 5, 0]
        too_long = (True, "a task took longer than 0.6 s, and its worker process was ended")
        killed = (False, "a worker process ended before its task was done (signal 9)")
        assert list(map(lost, results)) == [{}, {1: too_long, 2: too_long}, {0: killed}, {4: killed}, {}]
        with pytest.raises(ValueError, match="for the caller"):
            list(workers.map_items(IN_TROUBLE, [(2, ["a", "fails"])]))
        # The function that is loaded is another one again.
        assert list(workers.map("math:sqrt", [4], seconds=5)) == [2]


def test_a_function_that_a_worker_cannot_load_and_a_worker_that_cannot_be_started(monkeypatch, tmp_path):
    with Workers(1) as workers:
        with pytest.raises(rt.WorkerLost, match="cannot load the function: ModuleNotFoundError"):
            list(workers.map_items(IN_TROUBLE.replace(b"tests.worker_tasks", b"tests.no_such_file"), [(1, ["a"])]))
        assert [found for found, _ in workers.map_items(IN_TROUBLE, [(1, ["a"])])] == [[0]]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    with Workers(1) as workers, pytest.raises(rt.WorkerLost, match="cannot be started"):
        list(workers.map_items(IN_TROUBLE, [(1, ["a"])]))


def is_running(pid):
    try:
        # A child that has ended and that nobody waits for still has a process id.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid):
    until = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_the_block_whatever_they_do():
    with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
        idle = next(workers.map("tests.worker_tasks:pid_of", [0]))
        results = workers.map("tests.worker_tasks:hangs_at_13", [13, 13, 13, 13])
        threading.Timer(0.3, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]).start()
        next(results)
    assert wait_for_end(idle)
    assert list(workers.map("math:sqrt", [])) == []
    with pytest.raises(RuntimeError):
        list(workers.map("math:sqrt", [4]))


@pytest.mark.crash
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("task", "given"), [("sleeps", 1_000), ("hangs_at_13", 13)])
def test_no_worker_outlives_a_process_that_is_killed(task, given):
    script = f"""
import threading
from tunix_rt.workers import Workers
workers = Workers(1)
print(next(workers.map("tests.worker_tasks:pid_of", [0])), flush=True)
list(workers.map("tests.worker_tasks:{task}", [{given}]))
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    assert is_running(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_for_end(pid)


@pytest.mark.slow
def test_a_script_needs_no_guard_and_a_fork_has_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        """
import os
from tunix_rt.workers import Workers
with Workers(1) as before:
    assert list(before.map("beside:double", [2])) == [4]
    if (pid := os.fork()) == 0:
        before.close()
        with Workers(1) as own:
            assert list(own.map("beside:double", [3])) == [6]
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert list(before.map("beside:double", [4])) == [8]
"""
    )
    (tmp_path / "beside.py").write_text("def double(n):\n    return 2 * n\n")
    # A module of the standard library's name beside the script is the script's affair.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_share_workers(workers):
    found = {}

    def work(n):
        found[n] = list(workers.map("math:factorial", [n, n + 1]))

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {3: [6, 24], 4: [24, 120], 5: [120, 720]}


def test_as_many_workers_as_are_of_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert [usable_workers(most) for most in (0, 1, 2, 8)] == [0, 1, 2, 3]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert usable_workers(4) == 0
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_workers(4) == 0
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(sys, "executable", "")
    assert usable_workers(4) == 0


def test_where_no_process_can_be_started_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    with Workers(1) as workers:
        [lost] = workers.map("math:sqrt", [1])
    assert str(lost) == "a worker process cannot be started (No such file or directory); set workers=0"
