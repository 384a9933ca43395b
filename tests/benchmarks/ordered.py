"""`python -m tests.benchmarks.ordered`: pages in other orders than newest first."""

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.places import PAGE
from tests.benchmarks.table import OURS, aimed, shown, table
from tests.benchmarks.timing import Cost, here, in_turn

_SCORERS = 10
_AT_ONCE = 100_000
_BUDGET_SECONDS = 8.0
_ABOUT = """\
`python -m tests.benchmarks.ordered`, inside `hold()`. Traces of about 2 KB with seven keys in meta, and ten scorers
with a score for each of them, written by SQL. Medians; *next* is the page behind the first, by its cursor."""
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
_ASKED = (
    ("newest first", {}, ""),
    ("by a score", {"order_by": "score.s3"}, "≤ 20 ms"),
    ("by a score, of one source", {"order_by": "score.s3", "source": "math"}, ""),
    ("by a number in meta", {"order_by": "meta.reward"}, "≤ 300 ms"),
    ("by a text in meta", {"order_by": "meta.model"}, "≤ 300 ms"),
    ("by a key of meta that none has", {"order_by": "meta.none"}, "≤ 300 ms"),
    ("by n_chars", {"order_by": "n_chars"}, ""),
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
    for words, asked, aim in _ASKED:
        page = store.page(limit=PAGE, **asked)
        for name, work in ((words, partial(store.page, limit=PAGE, **asked)), (f"{words}, next", page.next_page)):
            costs = in_turn({OURS: partial(here, work)}, repeat=repeat, budget_seconds=_BUDGET_SECONDS)
            cost = costs[OURS]
            milliseconds = cost.seconds * 1e3 if isinstance(cost, Cost) else float("nan")
            yield name, "ms", shown(milliseconds), aimed(aim, milliseconds)


def main() -> None:
    """Prints the table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ordered", description=main.__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=11, help="rounds at most, of each kind of work")
    results.add_argument(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as folder:
        store = filled(Path(folder) / "traces.duckdb", given.traces)
        with store.hold():
            columns = ("work", "unit", OURS, "aim")
            measured = table(columns, ("---", "---", "---:", "---"), *rows(store, given.repeat))
    print(measured)  # noqa: T201
    if given.results:
        results.write(given.results, "Pages in order", _ABOUT, {f"{given.traces:,} traces": measured})


if __name__ == "__main__":
    main()
