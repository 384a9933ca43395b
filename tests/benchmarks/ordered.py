"""`python -m tests.benchmarks.ordered`: pages in other orders than newest first."""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.places import PAGE
from tests.benchmarks.table import OURS, aimed, shown, table
from tests.benchmarks.timing import Cost, here, in_turn

_BARE = "a bare query"
_SCORERS = 10
_AT_ONCE = 100_000
_BUDGET_SECONDS = 8.0
_ABOUT = """\
`python -m tests.benchmarks.ordered`, inside `hold()`. Traces of about 2 KB with seven keys in meta, and ten scorers
with a score for each of them, written by SQL. Medians; *next* is the page behind the first, by its cursor. Beside it
the least that DuckDB needs: a bare query of the ids in that order, without cursors, ties, texts or other rows. *CPU* is
the processor time of all threads, which says more than the time where the machine has other work."""
# As many different values as there are traces to sort, and in no order.
_TRACES = """
insert into traces
select
    uuidv7(), make_timestamptz((1767225600000 + i) * 1000), '1.0',
    'What is ' || i || ' + ' || i || '?', 2, 2000 + (hash(i * 3) % 1000)::int, ['gsm8k', 'math', 'rollouts'][1 + i % 3],
    md5(i::varchar)::uuid, 'What is ' || i || ' + ' || i || '? ' || repeat(md5(i::varchar) || ' ', 12),
    [{'i': n, 'type': 'reasoning', 'content': repeat(md5((i + n)::varchar) || ' ', 20)} for n in [1, 2]],
    (2 * i)::varchar,
    json_object(
        'source', ['gsm8k', 'math', 'rollouts'][1 + i % 3], 'model', 'toy-' || i % 4 || 'b', 'training_step', i // 8000,
        'reward', round(hash(i * 5)::double / 1e16 - 900, 3), 'sample', i % 8, 'expected_answer', (2 * i)::varchar,
        'correct', hash(i) % 2 = 0
    )
from range(?::bigint, ?::bigint) rows(i)
"""
_SCORES = """
insert into scores
select
    's' || ?::int, '1', '{}', created_at, id, null, 0, hash(id, ?::int)::double / 2e19,
    null, null, null, null, null, now()
from traces order by created_at, id
"""
_BY_META = "select id from traces order by json_extract(meta, '/{}') limit 20"
_BARE_SCORE = "select trace_id from scores where scorer = 's3' and value is not null order by value limit 20"
_BARE_SCORE_OF_SOURCE = """
select id from traces join (select trace_id, value from scores where scorer = 's3') on trace_id = id
where source = 'math' order by value limit 20
"""
_ASKED: tuple[tuple[str, dict[str, str], str, str], ...] = (
    ("newest first", {}, "select id from traces order by created_at desc limit 20", ""),
    ("by a score", {"order_by": "score.s3"}, _BARE_SCORE, "≤ 20 ms"),
    ("by a score, of one source", {"order_by": "score.s3", "source": "math"}, _BARE_SCORE_OF_SOURCE, ""),
    ("by a number in meta", {"order_by": "meta.reward"}, _BY_META.format("reward"), "≤ 300 ms"),
    ("by a text in meta", {"order_by": "meta.model"}, _BY_META.format("model"), "≤ 300 ms"),
    ("by a key of meta that none has", {"order_by": "meta.none"}, _BY_META.format("none"), "≤ 300 ms"),
    ("by n_chars", {"order_by": "n_chars"}, "select id from traces order by n_chars limit 20", ""),
)


def filled(path: Path, n_traces: int) -> rt.TraceStore:
    """A store with this number of traces, and their scores."""
    store = rt.TraceStore(path)
    for first in range(0, n_traces, _AT_ONCE):
        with store._session.transaction() as cursor:
            cursor.execute(_TRACES, [first, min(n_traces, first + _AT_ONCE)])
    for scorer in range(_SCORERS):
        with store._session.transaction() as cursor:
            cursor.execute(_SCORES, [scorer, scorer])
    return store


def rows(store: rt.TraceStore, repeat: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, each when it has been measured."""
    for words, asked, bare, aim in _ASKED:
        page: rt.Page = store.page(limit=PAGE, **asked)
        for name, work in ((words, partial(store.page, limit=PAGE, **asked)), (f"{words}, next", page.next_page)):
            cpu: dict[str, list[float]] = {OURS: [], _BARE: []}

            def timed(whose: str, work: Callable[[], object], cpu: dict[str, list[float]] = cpu) -> Cost:
                before = time.process_time()
                cost = here(work)
                cpu[whose].append((time.process_time() - before) * 1e3)
                return cost

            works = {OURS: work, _BARE: partial(_bare, store, bare)}
            calls = {whose: partial(timed, whose, work) for whose, work in works.items()}
            costs = in_turn(calls, repeat=repeat, budget_seconds=_BUDGET_SECONDS)
            ours, theirs = ((cost.seconds * 1e3 if isinstance(cost, Cost) else float("nan")) for cost in costs.values())
            mine, least = (median(cpu[whose]) for whose in works)
            yield name, *map(shown, (ours, theirs, mine, least)), f"{mine / least:.2f}", aimed(aim, ours)


def _bare(store: rt.TraceStore, query: str) -> None:
    with store._session.cursor() as cursor:
        cursor.execute(query).fetchall()


def main() -> None:
    """Prints the table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ordered", description=main.__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder, and leave the store there")
    parser.add_argument("--repeat", type=int, default=11, help="rounds at most, of each kind of work")
    results.add_argument(parser)
    given = parser.parse_args()
    keep = nullcontext(str(given.keep)) if given.keep else tempfile.TemporaryDirectory(prefix="tunix-rt-")
    with keep as folder:
        path = Path(folder) / f"ordered_{given.traces}.duckdb"
        store = rt.TraceStore(path) if path.exists() else filled(path, given.traces)
        with store.hold():
            columns = ("work", f"{OURS}, ms", f"{_BARE}, ms", "CPU, ms", "CPU, ms", "ratio of CPU", "aim")
            measured = table(columns, ("---", *["---:"] * 5, "---"), *rows(store, given.repeat))
    print(measured)  # noqa: T201
    if given.results:
        results.write(given.results, "Pages in order", _ABOUT, {f"{given.traces:,} traces": measured})


if __name__ == "__main__":
    main()
