"""How a script ends that used a store: with its own status, and nothing on standard error."""

import pytest

import tunix_rt as rt
from tests.processes import new_python, python, told_by

BEGIN = """
import atexit, sys, threading, time
import tunix_rt as rt
path = sys.argv[1]
"""
ADD = "store = rt.TraceStore(path); store.add(rt.Trace(prompt='p', steps=['s'], final_answer='a'))\n"

SCRIPTS = {
    "that only opened it": "store = rt.TraceStore(path)",
    "that added": ADD,
    "that read": f"{ADD}store.page(); store.latest(); list(store.scan())",
    "that closed it": f"{ADD}store.close()",
    "with two stores": f"{ADD}rt.TraceStore(path + '2').count(); rt.TraceStore(path).count()",
    "inside of a scan": f"{ADD}batches = store.scan(); next(batches)",
    "inside of hold": f"{ADD}hold = store.hold(); hold.__enter__(); store.count()",
    "with an error kept": f"{ADD}\ntry:\n    store.sql('nonsense')\nexcept rt.QueryInvalid as error:\n    kept = error",
    "with sys.exit": f"{ADD}store.count(); sys.exit(0)",
    "with a thread at work": f"{ADD}threading.Thread(target=lambda: [store.count() for _ in range(50)]).start()",
    "that reads at its exit": f"{ADD}atexit.register(store.count)",
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_script_ends_without_a_word(tmp_path, script):
    path = tmp_path / "runs.duckdb"
    # One of them from its first import.
    begun_by = new_python if script == SCRIPTS["that read"] else python
    assert told_by(BEGIN + script, path, begun_by=begun_by) == []
    assert rt.TraceStore(path).count() == ("add" in script)


@pytest.mark.slow
def test_a_script_ends_well_while_daemon_threads_read(tmp_path):
    program = (
        f"{BEGIN}{ADD}"
        "def read():\n    while True:\n        store.page()\n        began.release()\n"
        "began = threading.Semaphore(0)\n"
        "for _ in range(4):\n    threading.Thread(target=read, daemon=True).start()\n"
        "for _ in range(20):\n    began.acquire()\n"
        # Threads that are still there keep DuckDB's module alive, of which it would complain.
        "import os; os.close(2)\n"
    )
    path = tmp_path / "runs.duckdb"
    assert told_by(program, path) == []
    assert rt.TraceStore(path).count() == 1
