"""SQL texts, and conditions as `where=`: a grammar, every function of DuckDB, and texts that are nearly right."""

from contextlib import suppress
from pathlib import Path

import duckdb

import tunix_rt as rt
from tests.fuzz.finding import Case
from tests.fuzz.values import any_value, seeded, text, trace
from tests.test_sql import REFUSED

_COLUMNS = [
    "id", "created_at", "trace_version", "preview", "n_steps", "n_chars", "source", "digest", "prompt", "steps",
    "final_answer", "meta", "nope", "*", "steps[1].content", "meta.source", "meta->>'$.source'", "rowid",
]  # fmt: skip
_LITERALS = [
    "0", "1", "-1", "5", "null", "''", "'a'", "'%'", "true", "1.5", "1e300", "'2026-01-31'::date", "[1, 2]",
    "{'a': 1}", "map {'k': 1}", "interval 1 day", "'infinity'::timestamp", "'290000-01-01'::timestamp", "2::hugeint",
    "'x'::blob", "'nan'::float", "uuid()", "now()", "'1'::bit", "?", "$1", "$name", "'[1]'::json", "time '01:02'",
    "'é'", "$$x$$", "9223372036854775807", "170141183460469231731687303715884105727", "'\\x00'::blob", "chr(0)",
    "'0001-01-01'::timestamptz", "1::union(a int, b varchar)", "'a'::enum('a', 'b')", "[null, 1]", "row(1, 'a')",
    "'294247-01-10'::timestamptz",
]  # fmt: skip
_LEAVES = {
    "number": [
        "0", "1", "-1", "1.5", "n_steps", "n_chars", "null", "9223372036854775807", "'nan'::float", "1e300",
        "length(prompt)",
    ],
    "text": [
        "prompt", "preview", "source", "final_answer", "trace_version", "''", "'a'", "'%'", "null", "id::varchar",
        "steps[1].content",
    ],
    "truth": [
        "true", "false", "null", "source is null", "n_steps > 1",
    ],
    "time": [
        "created_at", "now()", "'2026-01-31'::date", "'infinity'::timestamptz", "'290000-01-01'::timestamp", "null",
    ],
    "list": [
        "steps", "[1, 2]", "[]", "null", "[null]", "['a']", "json_keys(meta)",
    ],
}  # fmt: skip
_OF_TEXT = ["lower", "upper", "trim", "reverse", "md5", "strip_accents", "hex"]
_LIKE = ["like", "ilike", "=", "<", "glob", "similar to"]
_SPANS = ["1 day", "1 month", "999999 years"]
_PARTS = ["'day'", "'century'", "'x'"]
_PATTERNS = ["'a'", "'(a+)+$'", "'['", "''", "'\\pL'", "'(?i)x'", "'.{1000}'", "'\\1'", "'(?=a)'", "null"]
_BINARY = [
    "+", "-", "*", "/", "//", "%", "=", "<>", "<", ">=", "||", "and", "or", "like", "ilike", "is distinct from", "~",
    "&", "<<", "^", "->", "->>", "in", "collate", "::", "glob", "similar to",
]  # fmt: skip
_TYPES = [
    "int", "varchar", "json", "double", "timestamptz", "blob", "uuid", "int[]", "struct(a int)", "decimal(38, 10)",
    "bit", "hugeint", "variant", "time", "interval", "map(int, int)", "union(a int)", "enum('a')", "nope", "varint",
    "geometry",
]  # fmt: skip
_TABLES = [
    "traces", "traces", "traces", "traces t", "store_state", "schema_history", "range(10)",
    "(values (1, 2), (3, null)) v(a, b)", "duckdb_settings()", "duckdb_functions()", "unnest([1, 2])", "nope",
    "test_all_types()", "information_schema.tables", "read_csv('a.csv')", "read_json('a.json')", "'a.csv'",
    "'nope.parquet'", "'http://example.invalid/x.csv'", "glob('*')", "read_text('a.csv')", "read_blob('a.*')",
    "pragma_table_info('traces')", "sniff_csv('a.csv')", "json_each('[1]')",
]  # fmt: skip
_WORDS = [
    "select", "from", "where", "(", ")", ",", ";", "copy", "to", "'out.csv'", "insert into traces",
    "delete from traces", "update traces set prompt = 'x'", "drop table traces", "attach", "detach store", "pragma",
    "explain", "explain analyze", "set threads = 1", "checkpoint", "begin", "with x as", "union all", "order by",
    "limit", "--", "/*", "*/", "'", '"', "create table x as", "describe", "summarize", "show tables", "pivot",
    "qualify", "using sample 5", "exists", "case when", "install httpfs", "load json", "call", "prepare p as",
    "execute p", "vacuum", "\0", "\ud800", "😀", "lambda x:", "[", "]",
]  # fmt: skip
# With numbers of their own choice these run for ever, or say so much that nobody could hold it.
_ENDLESS = {
    "range", "generate_series", "repeat", "repeat_row", "sleep_ms", "pg_sleep", "lpad", "rpad", "bar",
    "test_vector_types",
}  # fmt: skip


_ALL_FUNCTIONS = """
select distinct function_name, function_type from duckdb_functions() where function_name ~ '^[a-z]' order by all
"""


class Part:
    """Draws SQL over one store of some traces, and looks that nothing but reading came of it."""

    def __init__(self, folder):
        self._folder = folder
        self.store = rt.TraceStore(folder / "sql.duckdb")
        rng = seeded("a store to ask")
        while self.store.count() < 50:
            try:
                self.store.add(trace(rng))
            except rt.TunixRTError:
                continue
        Path("a.csv").write_text("a,b\n1,2\nx,é\n", encoding="utf-8")
        Path("a.json").write_text('{"a": [1, {"b": null}]}')
        self._n = self.store.count()
        self._files = sorted(path.name for path in Path().iterdir() if not path.name.startswith("sql."))
        with duckdb.connect() as plain:
            found = plain.execute(_ALL_FUNCTIONS).fetchall()
        self._functions = [name for name, kind in found if "table" not in kind and name not in _ENDLESS]
        self._of_tables = [name for name, kind in found if "table" in kind and name not in _ENDLESS | REFUSED]

    def close(self):
        """Nothing is left to end."""

    def draw(self, rng):
        match rng.randrange(8):
            case 0 | 1 | 2:
                return Case("sql, grammar", (_select(self, rng), []), self._ask)
            case 3:
                return Case(
                    "sql, parameters", (f"select {_expression(self, rng)}, ? as p", [any_value(rng)]), self._ask
                )
            case 4:
                return Case(
                    "sql, nearly right",
                    (_spoiled(self, rng), [any_value(rng) for _ in range(rng.randrange(2))]),
                    self._ask,
                )
            case 5:
                name = rng.choice(self._functions)
                arguments = ", ".join(_expression(self, rng, 1) for _ in range(rng.randrange(4)))
                return Case("sql, functions", (f"select {name}({arguments}) from traces limit 3", []), self._ask)
        expression = _expression(self, rng, 2, "truth") if rng.randrange(3) else _spoiled(self, rng)
        return Case(
            "where=", (expression, rng.choice(["count", "page", "scan", "records", "export", "delete"])), self._select
        )

    def _ask(self, given):
        query, parameters = given
        try:
            result = self.store.sql(query, *parameters)
            str(result), repr(result), result._repr_html_(), result.rows, result.arrow()
            # Pandas holds not everything.
            with suppress(rt.QueryInvalid):
                result.df()
        finally:
            self._unchanged()
        return True

    def _select(self, given):
        expression, call = given
        try:
            match call:
                case "count":
                    self.store.count(where=expression)
                case "page":
                    str(self.store.page(where=expression, limit=5))
                case "scan":
                    n = sum(map(len, self.store.scan(["id"], where=expression)))
                    assert n <= self._n
                case "records":
                    list(self.store.records(where=expression))
                case "export":
                    self.store.export(self._folder / "sql.out.jsonl", where=expression, progress=False)
                case "delete":
                    # Nothing is to go, whatever it finds.
                    self.store.delete(where=f"false and ({expression}\n)")
        finally:
            self._unchanged()
        return True

    def _unchanged(self):
        assert self.store.count() == self._n, "it changed the store"
        there = sorted(path.name for path in Path().iterdir() if not path.name.startswith(("sql.", ".sql.")))
        assert there == self._files, f"it left files: {set(there) ^ set(self._files)}"


def _expression(part, rng, depth=2, kind=None):
    """An expression, mostly of one kind, so that many are accepted."""
    kind = kind or rng.choice(["number", "text", "truth", "time", "list", "any"])
    if not rng.randrange(6):
        kind = "any"
    if not depth:
        return rng.choice(_LEAVES.get(kind) or (_COLUMNS if rng.randrange(2) else _LITERALS))
    inner = lambda of=None: _expression(part, rng, depth - 1, of)  # noqa: E731
    text_inside = "'" + text(rng)[:200].replace("'", "''") + "'"
    made = {
        "number": [
            lambda: f"({inner('number')} {rng.choice(['+', '-', '*', '/', '//', '%'])} {inner('number')})",
            lambda: f"{rng.choice(['length', 'strlen', 'ascii', 'hash'])}({inner('text')})",
            lambda: f"{rng.choice(['len', 'list_unique'])}({inner('list')})",
            lambda: f"{rng.choice(['epoch_us', 'year', 'dayofweek'])}({inner('time')})",
            lambda: f"try_cast({inner()} as {rng.choice(['int', 'double', 'hugeint'])})",
            lambda: f"{rng.choice(['count', 'sum', 'avg', 'median', 'max', 'mode', 'stddev'])}({inner('number')})",
            lambda: f"row_number() over (partition by {inner()} order by {inner()})",
            lambda: f"(select count(*) from traces where {inner('truth')})",
        ],
        "text": [
            lambda: f"{rng.choice(_OF_TEXT)}({inner('text')})",
            lambda: f"({inner('text')} || {inner('text')})",
            lambda: f"({inner()})::varchar",
            lambda: f"regexp_replace({inner('text')}, {rng.choice(_PATTERNS)}, {inner('text')}, 'g')",
            lambda: f"(meta ->> {inner('text')})",
            lambda: f"to_json({inner()})::varchar",
            lambda: text_inside,
        ],
        "truth": [
            lambda: f"({inner('number')} {rng.choice(['=', '<>', '<', '>=', 'is distinct from'])} {inner('number')})",
            lambda: f"({inner('text')} {rng.choice(_LIKE)} {inner('text')})",
            lambda: f"({inner('truth')} {rng.choice(['and', 'or'])} {inner('truth')})",
            lambda: f"not {inner('truth')}",
            lambda: f"({inner()} is {rng.choice(['null', 'not null'])})",
            lambda: f"regexp_matches({inner('text')}, {rng.choice(_PATTERNS)})",
            lambda: f"{inner('time')} between {inner('time')} and {inner('time')}",
            lambda: f"exists ({_select(part, rng, depth - 1)})",
            lambda: f"list_contains({inner('list')}, {inner()})",
        ],
        "time": [
            lambda: f"({inner('time')} {rng.choice(['+', '-'])} interval {rng.choice(_SPANS)})",
            lambda: f"date_trunc({rng.choice(_PARTS)}, {inner('time')})",
            lambda: f"try_cast({inner('text')} as timestamptz)",
        ],
        "list": [
            lambda: f"list_transform({inner('list')}, lambda x: {inner()})",
            lambda: f"[{inner()}, {inner()}]",
            lambda: f"list_filter(steps, lambda s: {inner('truth')})",
            lambda: f"string_split({inner('text')}, {inner('text')})",
            lambda: f"list({inner()})",
        ],
        "any": [
            lambda: f"{inner()} {rng.choice(_BINARY)} {inner()}",
            lambda: f"{rng.choice(part._functions)}({', '.join(inner() for _ in range(rng.randrange(4)))})",
            lambda: f"{rng.choice(['cast', 'try_cast'])}({inner()} as {rng.choice(_TYPES)})",
            lambda: f"case when {inner('truth')} then {inner()} else {inner()} end",
            lambda: f"({_select(part, rng, depth - 1)})",
            lambda: f"[y for y in [{inner()}] if {inner()}]",
            inner,
        ],
    }  # fmt: skip
    return rng.choice(made[kind])()


def _select(part, rng, depth=2):
    table = rng.choice(_TABLES)
    if not rng.randrange(8):
        arguments = ", ".join(
            rng.choice(["'a.csv'", "'a.json'", "'traces'", "1", "'x'", "null"]) for _ in range(rng.randrange(3))
        )
        table = f"{rng.choice(part._of_tables)}({arguments})"
    parts = [f"select {', '.join(_expression(part, rng, depth) for _ in range(rng.randrange(1, 3)))} from {table}"]
    if not rng.randrange(3):
        parts.append(f"where {_expression(part, rng, depth, 'truth')}")
    if not rng.randrange(4):
        parts.append(f"group by {rng.choice(['all', '1', _expression(part, rng, 1)])}")
    if not rng.randrange(4):
        parts.append(f"order by {rng.choice(['all', '1', _expression(part, rng, 1)])}")
    if not rng.randrange(3):
        parts.append(f"limit {rng.choice(['0', '3', '10%', '-1', '1e30', _expression(part, rng, 0)])}")
    query = " ".join(parts)
    if depth > 1 and not rng.randrange(6):
        query = rng.choice(
            [
                f"with c as ({query}) from c",
                f"{query} union all {query}",
                f"explain {query}",
                f"explain analyze {query}",
                f"describe {query}",
                f"summarize {query}",
                f"from ({query}) using sample 3",
            ]
        )
    return query


def _spoiled(part, rng):
    words = _select(part, rng).split(" ")
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(words) + 1)
        words[at : at + rng.randrange(2)] = [rng.choice([*_WORDS, *_LITERALS, text(rng)[:300]])]
    return " ".join(words)
