"""Loading: files of all formats and containers, damaged; folders, patterns; lists, frames and tables of all types."""

import csv
import io
import itertools
import json
import re
import tarfile
from importlib import import_module

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import tunix_rt as rt
from tests.fuzz.damage import damaged, packed
from tests.fuzz.finding import Case
from tests.fuzz.values import Never, Touched, any_value, as_text, json_value, text, trace
from tests.spoiled import places_in, replaced
from tests.test_columns import BAD, GOOD
from tests.test_inspect import LOG, PACK, archive, sample
from tunix_rt.formats import READABLE

_TRACES_IN_A_STORE = 400
# Modules that hold a row of some outside format in a constant, or in a list or dictionary of them.
_MODULES = [
    "atif",
    "chat",
    "inspect",
    "mapping",
    "process",
    "providers",
    "rollouts",
    "sessions",
    "solutions",
    "sources",
    "spans",
    "trajectories",
]
_SUFFIXES = [".jsonl", ".json", ".csv", ".parquet", ".gz", ".eval", ".txt", "", ".zst"]


def examples():
    """Rows of outside formats: every constant of the tests that some format takes."""
    found = {}
    for module in _MODULES:
        for value in vars(import_module(f"tests.test_{module}")).values():
            some = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            for row in (value, *some):
                if isinstance(row, dict) and row and all(isinstance(key, str) for key in row):
                    for known in READABLE.values():
                        if known.misfit(row) is None:
                            found.setdefault(known.name, []).append(row)
    return found


class Part:
    """Draws what is loaded into one store, and compares what the report says with what is there."""

    def __init__(self, folder):
        self._folder = folder
        self._n_stores = 0
        self._n_traces = _TRACES_IN_A_STORE
        self._examples = examples()
        self._columns = [column for column, *_ in (*BAD.values(), *GOOD.values())]

    @property
    def store(self):
        if self._n_traces >= _TRACES_IN_A_STORE:
            self._n_stores += 1
            self._store, self._n_traces = rt.TraceStore(self._folder / f"load{self._n_stores}.duckdb"), 0
        return self._store

    def close(self):
        """Nothing is left to end."""

    def draw(self, rng):
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                kind, data = self._file(rng)
                by = rng.choice(["bytes", "path", "open"])
                ending = rng.choice(_SUFFIXES)
                return Case(f"load, {kind}", (data, by, ending, self._options(rng)), self._load_bytes)
            case 4:
                files = {
                    f"{rng.choice(['a', 'b', 'é', 'samples/x', '.h', 'x y'])}{rng.choice(_SUFFIXES)}": self._file(rng)[
                        1
                    ]
                    for _ in range(3)
                }
                return Case(
                    "load, folder",
                    (files, rng.choice(["", "*", "**/*", "[", "{", "?", "*.jsonl"]), self._options(rng)),
                    self._load_folder,
                )
            case 5:
                values = [self._row(rng) if rng.randrange(3) else any_value(rng) for _ in range(rng.randrange(5))]
                return Case("load, list", (values, self._options(rng)), self._load_list)
            case 6:
                return Case("load, anything", (any_value(rng), self._options(rng)), self._load_list)
            case 7:
                return Case("load, DataFrame", (self._frame(rng), self._options(rng)), self._load_list)
        return Case("load, Arrow", (self._table(rng), self._options(rng)), self._load_list)

    def _options(self, rng):
        options = {}
        if not rng.randrange(8):
            options["format"] = rng.choice([*READABLE, *READABLE, "x", "", None, 3])
        if not rng.randrange(10):
            names = ["prompt", "reasoning", "final_answer", "steps", "meta.x", "system", "question", text(rng)]
            options["mapping"] = {
                rng.choice(names): rng.choice([*names, "a.0.b", "messages.0.content", 3]) for _ in range(3)
            }
        if not rng.randrange(10):
            options["encoding"] = rng.choice(
                [
                    "utf-16",
                    "cp1252",
                    "utf-8",
                    "shift_jis",
                    "x",
                    "",
                    "utf-7",
                    "idna",
                    "zip",
                    "base64",
                    "rot13",
                    "punycode",
                    "unicode_escape",
                    None,
                    1,
                ]
            )
        if not rng.randrange(3):
            options["known"] = rng.choice(["add", "skip", "add", "x", None])
        if not rng.randrange(20):
            options[rng.choice(["format", "mapping", "encoding", "known"])] = any_value(rng)
        return options

    def _row(self, rng):
        row = trace(rng) if not rng.randrange(3) else rng.choice(rng.choice(list(self._examples.values())))
        for _ in range(rng.choice([0, 0, 1, 2])):
            row = replaced(row, rng.choice(list(places_in(row))), json_value(rng, 2))
        return row

    def _file(self, rng):  # noqa: C901 - a table of containers
        row = self._row(rng)
        rows = [row if rng.randrange(3) else self._row(rng) for _ in range(rng.choice([1, 1, 2, 5, 30]))]
        kind = rng.choice(
            ["lines", "lines", "array", "indented", "wrapped", "CSV", "Parquet", "Arrow", "archive", "tar"]
        )
        match kind:
            case "lines":
                data = "\n".join(map(as_text, rows))
            case "array":
                data = as_text(rows)
            case "indented":
                try:
                    data = json.dumps(rows, indent=rng.choice([1, "\t"]), ensure_ascii=False)
                except RecursionError:
                    data = as_text(rows)
            case "CSV":
                data = _csv(rng, rows)
            case "wrapped":
                data = as_text(rng.choice([_wrapped, _keyed, _in_columns])(rows))
            case "Arrow":
                data = _arrow(rng, self._table(rng) if rng.randrange(2) else rows)
            case "tar":
                data = _tar(
                    {"a.jsonl": "\n".join(map(as_text, rows)), "../b.json": as_text(rows), "c.txt": as_text(row)}
                )
            case "Parquet":
                data = _parquet(self._table(rng) if rng.randrange(2) else rows)
            case "archive":
                log = {"header.json": LOG, "samples/1.json": sample(), "samples/2.json": row, "../x": b"x"}
                method = rng.choice(list(PACK))
                try:
                    data = archive(
                        log,
                        method=method,
                        flags=rng.choice([0, 0, 0, 1, 8]),
                        crc=rng.choice([None, None, 7]),
                        offset=rng.choice([None, None, 3, 2**31]),
                    )
                except RecursionError:
                    data = b"PK\x03\x04"
        if isinstance(data, str):
            data = data.encode(errors="surrogatepass")
        return kind, packed(rng, damaged(rng, data))

    def _table(self, rng):
        n = 3
        columns, names = [], []
        for name in rng.sample(
            [
                "question",
                "answer",
                "prompt",
                "steps",
                "final_answer",
                "messages",
                "meta",
                "text",
                "x",
                "id",
                "created_at",
            ],
            rng.randrange(1, 5),
        ):
            column = rng.choice(self._columns)
            if rng.randrange(2):
                column = pa.array([rng.choice(["a", "#### 5", None, "é"]) for _ in range(n)])
            # Fewer values than rows: a null for each of the others.
            columns.append(
                column.slice(0, n)
                if len(column) >= n
                else pa.concat_arrays([column, pa.nulls(n - len(column), column.type)])
                if not _is_odd(column.type)
                else pa.nulls(n)
            )
            names.append(
                name if rng.randrange(10) else rng.choice(["", "question", text(rng).encode(errors="replace").decode()])
            )
        if rng.randrange(3):
            names += ["question", "answer"]
            columns += [pa.array([f"{rng.randrange(10**6)}?" for _ in range(n)]), pa.array(["#### 5"] * n)]
        table = pa.Table.from_arrays(columns, names=names)
        return table.slice(rng.randrange(3)) if rng.randrange(2) else table

    def _frame(self, rng):
        rows = [self._row(rng) for _ in range(3)]
        if rng.randrange(2):
            rows = [
                {text(rng): any_value(rng) for _ in range(3)} | {"question": "q", "answer": any_value(rng)}
                for _ in range(3)
            ]
        try:
            frame = pd.DataFrame(rows)
        except Exception:  # noqa: BLE001 - pandas holds not everything
            return pd.DataFrame({"question": ["q"], "answer": ["#### 5"]})
        if not rng.randrange(4):
            frame.columns = pd.MultiIndex.from_product([["a"], range(len(frame.columns))])
        elif not rng.randrange(4):
            frame.index = pd.Index(["a", "a", None])
        return frame

    def _load_bytes(self, given):
        data, by, ending, options = given
        if by == "bytes":
            return self._load(data, options)
        path = self._folder / f"file{ending}"
        path.write_bytes(data)
        if by == "path":
            return self._load(path, options)
        with path.open("rb") as file:
            return self._load(file, options)

    def _load_folder(self, given):
        files, pattern, options = given
        top = self._folder / f"folder{self._n_traces}-{self._n_stores}"
        for name, data in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            return self._load(f"{top}/{pattern}" if pattern else top, options)
        finally:
            for path in sorted(top.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            if top.exists():
                top.rmdir()

    def _load_list(self, given):
        values, options = given
        if isinstance(values, Never):
            # A load takes as long as its rows come, and rightly so.
            values = itertools.islice(values, 1_000)
        try:
            return self._load(values, options)
        except Touched:
            # What iterates over the values is the caller's own code.
            return False

    def _load(self, source, options):
        store = self.store
        before = store.count()
        try:
            report = store.load(source, progress=False, **options)
        finally:
            now = store.count()
            self._n_traces = now
        str(report), repr(report), report._repr_html_()
        assert now - before == report.added, "the report counts other rows than were added"
        assert all(one.reason for one in report.rejected), "a row was rejected without a reason"
        if report.added:
            self._comes_back(store, now)
        return bool(report.added + report.already_stored)

    def _comes_back(self, store, n):
        """What is stored can be read, and loads again from an export as what it is."""
        stored = list(store.records())
        assert len(stored) == n, "not every row can be read"
        if n % 5 == 0:
            path = self._folder / "all.jsonl"
            store.export(path, progress=False)
            with rt.TraceStore(":memory:") as again:
                report = again.load(path, progress=False)
                assert (report.added, report.rejected) == (n, []), "an export does not load again"
                assert list(again.records()) == stored, "an export loads as other traces"


def _csv(rng, rows):
    names = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=rng.choice(",;\t"), quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer.writerow([re.sub(r"\0", "", name) for name in names])
    for row in rows:
        cells = [row.get(name) if isinstance(row, dict) else row for name in names]
        writer.writerow([cell if isinstance(cell, str) else as_text(cell) for cell in cells])
    return out.getvalue()


def _wrapped(rows):
    return {"metadata": {"model": "m"}, "results": rows}


def _keyed(rows):
    return {str(n): row for n, row in enumerate(rows)}


def _in_columns(rows):
    names = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    return {name: [row.get(name) if isinstance(row, dict) else row for row in rows] for name in names}


def _tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            data = content.encode(errors="surrogatepass")
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _arrow(rng, given):
    try:
        table = given if isinstance(given, pa.Table) else pa.Table.from_pylist(given)
        out = io.BytesIO()
        with rng.choice([pa.ipc.new_stream, pa.ipc.new_file])(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        return out.getvalue()
    except Exception:  # noqa: BLE001 - Arrow makes no table of everything
        return b"ARROW1\0\0"


def _parquet(given):
    try:
        table = given if isinstance(given, pa.Table) else pa.Table.from_pylist(given)
        out = io.BytesIO()
        pq.write_table(table, out)
        return out.getvalue()
    except Exception:  # noqa: BLE001 - Parquet holds not everything
        return b"PAR1"


def _is_odd(type):
    return isinstance(type, pa.BaseExtensionType) or pa.types.is_union(type) or pa.types.is_run_end_encoded(type)
