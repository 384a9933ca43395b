"""Work spread over processes: each call gives what it gives in one process, row by row."""

import os
import random
import signal
from pathlib import Path

import pytest
from distributed import Client, SubprocessCluster

import tunix_rt as rt
from tests.score_functions import of_every_kind
from tunix_rt import jobs

SCORES = """
select trace_id, step, scorer, version, params, sample, value, label, answer, explanation, reason, metadata
from scores order by all
"""
KINDS = ("number", "raises", "label", "nothing", "wrong type", "evidence", "reason")


def rollouts(n=300):
    """Four samples of a prompt in a row; some prompts are repeated, some answers copied, one is long."""
    rnd = random.Random(0)
    words = [f"w{number}" for number in range(60)]
    rows = []
    for number in range(n):
        text = " ".join(rnd.choices(words, k=15))
        if number % 10 == 7:
            text = rows[rnd.randrange(number)]["steps"][0]
        if number % 50 == 3:
            text = rows[-1]["steps"][0]
        meta = {"source": "s", "model": f"m{number % 2}", "expected_answer": str(number % 3), "run": "r"}
        rows.append(
            {
                "prompt": KINDS[number // 4 % len(KINDS)] if number < 200 else f"prompt {number // 4}",
                "steps": [text * (40 if number == 99 else 1)],
                "final_answer": "1",
                "meta": meta,
            }
        )
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def local(folder):
    """A store, whose calls say what is right."""
    with rt.TraceStore(folder / "local.duckdb") as store:
        store.load(rollouts(), progress=False)
        yield store


@pytest.fixture(scope="module")
def client(folder):
    """A Dask cluster of two processes on this machine."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(rt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    with SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as one:
        yield one
