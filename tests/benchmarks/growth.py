"""How a lake in a folder grows with its traces, files and commits: `python -m tests.benchmarks.lake --growth`.

The texts are made once and used in each batch again, under new ids and times: a row group, and so all that is
compressed together, has each of them at most once.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

import tunix_rt as rt
from tests.benchmarks.data import ABSENT_WORD, Traces
from tests.benchmarks.places import PAGE
from tests.benchmarks.table import shown, table
from tests.benchmarks.timing import PROCESSES, Cost, alone, here, in_turn
from tunix_rt.lake.kinds import SCORES, TIME, TRACES
from tunix_rt.lake.location import LakeLocation
from tunix_rt.lake.table import LakeTable

HEADING = "A shared lake that grows"
ABOUT = """\
`python -m tests.benchmarks.lake --growth --sizes 1000000 10000000`: one lake in a folder, measured at each size. Two
processes append made-up traces of about 2 KB, a million a day, in commits of 10,000; then the lake is compacted, and
read. Half of the ids carry the time of their traces. Medians; no cache is emptied. A process of its own opens the lake
and reads a page; its peak of memory counts."""
_APPENDERS, BATCH = 2, 10_000
_FIRST = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
# A million traces a day.
_APART = 86_400
_BUDGET_SECONDS = 10.0
_SCORED = 100
_TEXTS = "select * replace (id::varchar as id, digest::varchar as digest, meta::varchar as meta) from traces"


class Keys(NamedTuple):
    """The ids and times (microseconds since 1970) of the rows of a batch, the same each time."""

    ids: list[str]
    times: range


def keys(batch: int) -> Keys:
    """Those of a batch by its number: every second id has the version and the time of a UUIDv7."""
    first = _FIRST + batch * BATCH * _APART
    times = range(first, first + BATCH * _APART, _APART)
    drawn = random.Random(batch).randbytes(16 * BATCH).hex()
    ids = []
    for n, at in enumerate(times):
        own = drawn[32 * n : 32 * n + 32]
        if n % 2:
            ids.append(f"{own[:8]}-{own[8:12]}-4{own[13:16]}-8{own[17:20]}-{own[20:]}")
        else:
            time_ = f"{at // 1_000:012x}"
            ids.append(f"{time_[:8]}-{time_[8:]}-7{at % 1_000 * 4_096 // 1_000:03x}-8{own[17:20]}-{own[20:]}")
    return Keys(ids, times)


def made(folder: Path) -> Path:
    """The file with the texts of a batch, and all else of its rows."""
    Traces(None, folder).write(folder / "texts.jsonl", BATCH)
    with rt.TraceStore(folder / "texts.duckdb") as store:
        store.load(folder / "texts.jsonl", progress=False)
        rows = pa.Table.from_batches(store.sql(_TEXTS).arrow().to_batches())
    path = folder / "texts.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)
    return path


@lru_cache(maxsize=1)
def _texts(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def append(target: str, texts: Path, batches: Sequence[int]) -> tuple[float, float]:
    """In a process of its own: commits these batches; returns when it began, and when it was done."""
    rows, lake = _texts(texts), LakeTable(LakeLocation.of(target), TRACES)
    began = time.time()
    for number in batches:
        ids, times = keys(number)
        values = {
            "id": pa.array(ids),
            "digest": pa.array(ids[::-1]),
            "created_at": pa.array(times, pa.int64()).cast(TIME),
        }
        for name, column in values.items():
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
        assert lake.append(rows, app=f"growth {os.getpid()}", number=number + 1)
    return began, time.time()


def growth(folder: Path, sizes: Sequence[int], repeat: int) -> Iterator[tuple[str, str]]:
    """For each size a heading and the table of what was measured at it, as soon as it is."""
    target, texts, batches = f"delta:{folder / 'growing'}", made(folder), 0
    for n_traces in sorted(sizes):
        if n_traces % BATCH:
            raise SystemExit(f"--sizes {n_traces}: must be a multiple of {BATCH:,}")
        new = range(batches, n_traces // BATCH)
        batches = n_traces // BATCH
        yield f"{n_traces:,} traces", _table(_measured(target, texts, new, batches, repeat))


def _measured(target: str, texts: Path, new: range, batches: int, repeat: int) -> Iterator[tuple[str, str, float]]:
    with PROCESSES.Pool(_APPENDERS) as pool:
        parts = [(target, texts, new[at::_APPENDERS]) for at in range(_APPENDERS)]
        times = pool.starmap(append, parts, chunksize=1)
    seconds = max(end for _, end in times) - min(began for began, _ in times)
    lake = rt.connect(target)
    assert lake.count() == batches * BATCH
    yield f"{_APPENDERS} processes append {len(new) * BATCH:,}", "traces/s", len(new) * BATCH / seconds
    yield "the newest page before compacting", "ms", _median(partial(lake.page, limit=PAGE), repeat)
    _score(lake, new)
    began = time.perf_counter()
    done = lake.compact(progress=False)
    yield "compacting what was appended", "traces/s", done.moved / (time.perf_counter() - began)
    yield from _storage(lake)
    opened = [alone(_open, target) for _ in range(3)]
    yield "opening it, in a new process", "ms", min(cost.seconds for cost in opened) * 1e3
    yield "memory of that process after a page", "MB", max(cost.peak_bytes or 0 for cost in opened) / 1e6
    for words, work in _reads(lake, batches):
        yield words, "ms", _median(work, repeat)
    # Once, and cold: of 10,000,000 traces it takes a minute.
    yield "a text that none has, in all", "ms", here(partial(lake.count, text=ABSENT_WORD)).seconds * 1e3


def _storage(lake: rt.TraceStore) -> Iterator[tuple[str, str, float]]:
    """What the files of the traces and the log of their commits take."""
    files = lake._lake.traces.files()
    log = [path for path in Path(lake._lake.traces.uri, "_delta_log").iterdir() if path.is_file()]
    yield "commits", "", lake.info().version
    yield "files after compacting", "", len(files)
    yield "files", "bytes/trace", sum(file.n_bytes for file in files) / sum(file.n_rows for file in files)
    yield "the log: files", "", len(log)
    yield "the log", "MB", sum(path.stat().st_size for path in log) / 1e6
    checkpoints = [path.stat().st_size for path in log if path.suffix == ".parquet"]
    yield "the largest checkpoint of the log", "MB", max(checkpoints, default=0) / 1e6


def _reads(lake: rt.TraceStore, batches: int) -> Iterator[tuple[str, Callable[[], object]]]:
    n_traces = batches * BATCH
    middle, oldest = (lake.page(limit=1, offset=at).next for at in (n_traces // 2, n_traces - PAGE - 1))
    with_time, without = keys(batches // 2).ids[:2]
    yield "the newest page", partial(lake.page, limit=PAGE)
    yield "a page in the middle, by a cursor", partial(lake.page, limit=PAGE, after=middle)
    yield "the oldest page, by a cursor", partial(lake.page, limit=PAGE, after=oldest)
    yield "a page of one source of fourteen", partial(lake.page, limit=PAGE, source="harbour")
    yield "a page of the 1 % that pass a score filter", partial(lake.page, limit=PAGE, score={"rare": True})
    yield "one trace by an id with its time", partial(lake.get, with_time)
    yield "one trace by an id without", partial(lake.get, without)
    yield "the count of a source", partial(lake.count, source="harbour")


def _score(lake: rt.TraceStore, new: range) -> None:
    """A score of one trace of a hundred, in one commit."""
    chosen = [(id_, at) for number in new for id_, at in list(zip(*keys(number), strict=True))[::_SCORED]]
    ids, times = zip(*chosen, strict=True)
    created_at = pa.array(times, pa.int64()).cast(TIME)
    given = {
        "scorer": pa.repeat("rare", len(ids)),
        "version": pa.repeat("1", len(ids)),
        "params": pa.repeat(json.dumps({}), len(ids)),
        "created_at": created_at,
        "trace_id": pa.array(ids),
        "sample": pa.repeat(0, len(ids)),
        "value": pa.repeat(1.0, len(ids)),
        "scored_at": created_at,
    }
    columns = {field.name: given.get(field.name, pa.nulls(len(ids), field.type)) for field in SCORES.columns}
    lake._lake.scores.append(pa.table(columns), app="growth", number=new[-1] + 1)


def _open(target: str) -> Cost:
    """In a process of its own, which has imported the package: opens the lake, and reads a page after that."""
    cost = here(partial(LakeTable, LakeLocation.of(target), TRACES))
    with rt.connect(target) as lake:
        assert len(lake.page(limit=PAGE)) == PAGE
    return cost


def _median(work: Callable[[], object], repeat: int) -> float:
    (cost,) = in_turn({"": partial(here, work)}, repeat=repeat, budget_seconds=_BUDGET_SECONDS).values()
    assert isinstance(cost, Cost), cost
    return cost.seconds * 1e3


def _table(rows: Iterator[tuple[str, str, float]]) -> str:
    cells = ((words, unit, shown(number)) for words, unit, number in rows)
    return table(("what", "unit", "a lake"), ("---", "---", "---:"), *cells)
