"""The trace store: what every notebook, script and form of the package talks to."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast
from uuid import UUID

import duckdb
import pyarrow as pa

from tunix_rt.errors import QueryInvalid, TraceInvalid, TraceNotFound
from tunix_rt.model import Trace, TraceRecord, trace_of
from tunix_rt.paths import store_target
from tunix_rt.settings import Settings
from tunix_rt.store.engine import schema
from tunix_rt.store.engine.clock import new_row
from tunix_rt.store.engine.location import open_session
from tunix_rt.store.engine.rows import RECORD_COLUMNS, NewRow, records_in
from tunix_rt.store.engine.schema import COLUMNS
from tunix_rt.store.export.export import ExportOptions, export
from tunix_rt.store.export.export_report import ExportReport
from tunix_rt.store.filters import Filters, where
from tunix_rt.store.ingest.load import Known, insisted_format, load
from tunix_rt.store.ingest.load_report import LoadReport
from tunix_rt.store.ingest.watch import Stop, Watch, watch
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.find import find
from tunix_rt.store.query.page import Page, Search, Wanted, whole_number
from tunix_rt.store.query.scan import scan
from tunix_rt.store.query.sql_result import SqlResult, run_sql
from tunix_rt.store.query.time_index import Ruler, RulerKeeper
from tunix_rt.store.upkeep.backup import backup
from tunix_rt.store.upkeep.compact import Compaction, compact
from tunix_rt.store.upkeep.health import StoreHealth, look_at
from tunix_rt.store.upkeep.info import StoreInfo, collect_info
from tunix_rt.store.upkeep.verify import VerifyReport, verify
from tunix_rt.validation import short


class TraceStore(AbstractContextManager["TraceStore"]):
    """A store of traces in a DuckDB file; many notebooks and scripts use one at the same time.

    >>> store = TraceStore(":memory:")
    >>> record = store.add({"prompt": "27 × 19?", "steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"})
    >>> store.get(record.id).payload.final_answer
    '513'
    >>> page = store.page(text="540", max_steps=2)
    >>> page[0].preview, page.next
    ('27 × 19?', None)

    `path` is the file (default: the setting `database`), which is created if it does not exist; `":memory:"` is a
    temporary store that ends with this object. `settings` come from the environment by default. `read_only=True` opens
    a published store that is not to be changed. `accept_loss=True` opens a store even though some acknowledged traces
    are missing. Raises StoreUnusable if the file is not a store, StoreDamaged if it is damaged or incomplete, StoreBusy
    if another process holds it for longer than `pool_timeout` seconds, and StoreFull if the disk is full.

    `latest`, `page`, `count`, `records`, `scan`, `export` and `delete` take the same filters as keywords: `text`,
    `source`, `since`, `until`, `min_steps`, `max_steps`, `min_chars`, `max_chars`, `version`, `meta={key: value}`,
    `ids` and `where` (SQL). Times are UTC unless they carry an offset. REFERENCE.md describes each of them.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        settings: Settings | None = None,
        read_only: bool = False,
        accept_loss: bool = False,
    ) -> None:
        self.settings = settings or Settings()
        named = self.settings.database if path is None else path
        self.path, self._session = open_session(named, self.settings, read_only=read_only, accept_loss=accept_loss)
        self._rulers = RulerKeeper()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TraceStore({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), settings=self.settings, read_only=self._session.read_only), (self.path,)

    def add(self, trace: Trace | TraceRecord | Mapping[str, Any]) -> TraceRecord:
        """Stores one trace (or a dictionary shaped like one) and gives it back with its id and time.

        A TraceRecord is added as a new trace, with a new id and time; `load([record])` keeps those it has. It is on
        disk when this returns, whoever holds the file. Raises TraceInvalid, or TraceTooLarge over `trace_max_bytes`.
        """
        return self._insert([self._new(trace)])[0]

    def add_many(self, traces: Iterable[Trace | TraceRecord | Mapping[str, Any]]) -> list[TraceRecord]:
        """Stores traces, all or none, as `add` does; TraceInvalid names the place of the bad one. For more: `load`."""
        new: list[tuple[Trace, NewRow]] = []
        for place, trace in enumerate(traces):
            try:
                new.append(self._new(trace))
            except TraceInvalid as error:
                raise error.within(f"traces.{place}") from None
        return self._insert(new)

    def _new(self, given: Any) -> tuple[Trace, NewRow]:
        trace = trace_of(given)
        return trace, new_row(trace, self.settings.trace_max_bytes)

    def _insert(self, new: list[tuple[Trace, NewRow]]) -> list[TraceRecord]:
        if new:
            self._session.add([row for _, row in new])
        return [
            TraceRecord.model_construct(
                id=row.id, created_at=row.created_at, trace_version=trace.trace_version, payload=trace
            )
            for trace, row in new
        ]

    def load(
        self,
        source: Any,
        *,
        format: str | None = None,
        mapping: Mapping[str, str] | None = None,
        known: Known = "skip",
        progress: Progress = True,
        encoding: str | None = None,
    ) -> LoadReport:
        """Adds the traces of a file, a folder or a pattern (`runs/*.jsonl`), or of what Python holds, of any size.

        Files are JSON, JSON Lines or Parquet, plain or packed with gzip or zstd, texts in UTF-8 unless `encoding` names
        another; in place of files, bytes, an open binary file, dictionaries or traces in any iterable, a DataFrame, an
        Arrow table, a Hugging Face Dataset. The content tells the format, or `format` does; `mapping` names the fields:
        `{"prompt": "question", "final_answer": "choices.0.text", "meta.reward": "score"}`. A row that is no trace is in
        the report with line, field and reason, and stops nothing. Known traces are not added again, unless
        `known="add"`: the k-th copy of a trace in the files answers to the k-th in the store.

        `progress` shows a bar where a load takes long, or is a function that is called with the bytes done (in memory,
        the rows) and all of them (0: not known); what it raises stops the load, and what was stored until then stays.
        Raises SourceInvalid where there is nothing to load at all, and QueryInvalid for a bad mapping.
        """
        how = insisted_format(format, mapping)
        return load(self._session, source, how, known=known, progress=progress, encoding=encoding)

    def watch(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        mapping: Mapping[str, str] | None = None,
        every: float = 2.0,
        stop: Stop | None = None,
    ) -> Watch:
        """Loads the files of a running job as they appear and grow; a report for each look that brought something.

        It looks at the path, folder or pattern, there or not yet, every so many seconds. What is half-written waits
        until it is whole. When `stop` (a function or an Event) says so, a last look takes what there is; an interrupt
        ends it at once. Raises what `load` raises for `format` and `mapping`, and QueryInvalid for `every`.
        """
        return watch(self._session, path, insisted_format(format, mapping), every=every, stop=stop)

    def get(self, id: UUID | str) -> TraceRecord:
        """The trace with this id, or the only one that begins so; TraceNotFound, IdAmbiguous where several do."""
        with self._session.cursor(reusable=True) as cursor:
            return find(cursor, id, store=self.path)

    def latest(self, **filters: Any) -> TraceRecord:
        """The newest trace, of those that the filters let through; TraceNotFound where there is none."""
        newest = self.page(limit=1, **filters)
        if not newest.records:
            raise TraceNotFound(f"trace not found: {self.path} holds none{' like that' if filters else ' yet'}")
        return self.get(newest[0].id)

    def page(
        self, *, limit: int = 20, offset: int = 0, after: str | None = None, before: str | None = None, **filters: Any
    ) -> Page:
        """A page of summaries, newest first: `limit` of them (1–100), from `offset`, or behind the cursor `after`.

        `before` gives those just in front of a cursor, still newest first, and goes without `offset` and `after`.
        Raises QueryInvalid for a limit, an offset, a cursor or a filter that is none.
        """
        wanted = Wanted.checked(limit=limit, offset=offset, after=after, before=before)
        selection = Filters(**filters)
        with self._session.cursor(reusable=True) as cursor, selection.told(cursor, self._session.path):
            search = Search(cursor, self._ruler(cursor), selection)
            return search.page(wanted, turn=partial(self.page, limit=limit, **selection.given))

    def count(self, **filters: Any) -> int:
        """How many traces there are, of those that the filters let through."""
        selection = Filters(**filters)
        with self._session.cursor(reusable=True) as cursor, selection.told(cursor, self._session.path):
            return Search(cursor, self._ruler(cursor), selection).count()

    def delete(self, *ids: UUID | str, **filters: Any) -> int:
        """Deletes the traces with these ids, or all that the filters let through, and says how many.

        Raises TraceNotFound (and deletes nothing) where an id is not there. To delete everything, `where="true"`.
        """
        selection = Filters(**filters)
        if bool(ids) == bool(selection):
            raise QueryInvalid('delete: give ids or filters, one of the two; where="true" deletes everything')
        if ids:
            selection = Filters(ids=[self.get(one).id for one in ids])
        clause, values = where(*selection.conditions)
        with self._session.transaction() as cursor, selection.told(cursor, self._session.path, changing=True):
            return int(cursor.execute(f"delete from traces{clause}", values).fetchall()[0][0])

    def scan(
        self, columns: Iterable[str] | None = None, *, newest_first: bool = True, **filters: Any
    ) -> Iterator[pa.RecordBatch]:
        """The traces as Arrow batches of some thousand rows (at least one, if empty), sorted by (created_at, id).

        `columns` are columns of the table `traces` (default: all but the digest). Between two batches the file is free
        for others; what is added meanwhile is not seen, but for older traces of a load. Raises QueryInvalid.
        """
        try:
            names = COLUMNS if columns is None else tuple(columns)
        except TypeError:
            # Not only where it has no `__iter__`: an array without dimensions has one.
            names = (cast("str", columns),)
        unknown = [name for name in names if not (isinstance(name, str) and name in COLUMNS)]
        if unknown or not names:
            raise QueryInvalid(f"scan: unknown columns {short(unknown)}; known are {', '.join(COLUMNS)}")
        return scan(self._session, self._ruler, ", ".join(names), Filters(**filters), newest_first=newest_first)

    def records(self, *, newest_first: bool = True, **filters: Any) -> Iterator[TraceRecord]:
        """The stored traces one by one, sorted by (created_at, id), read as they are asked for."""
        for batch in scan(self._session, self._ruler, RECORD_COLUMNS, Filters(**filters), newest_first=newest_first):
            yield from records_in(batch)

    def export(
        self,
        path: str | Path | IO[bytes],
        *,
        format: str | None = None,
        tags: tuple[str, str] | None = None,
        manifest: bool = True,
        progress: Progress = True,
        **filters: Any,
    ) -> ExportReport:
        """Writes the traces to a file, oldest first, whole or not at all; the report says how many rows, and why.

        `format` is "trace" (JSON Lines; loaded into an empty store it gives the same store), "parquet" (the table's
        columns), or one that trainers take: "messages", "prompt_completion", "preference", "stepwise", "tunix_rl",
        "tunix_sft", "training_example", "atif"; by default the file's ending tells which of the first two. `.gz` and
        `.zst` pack lines. `tags` stand around the reasoning (default `<think>`, `</think>`). What does not fit a format
        is left out; the report and .NAME.manifest.json beside the file count it by reason. An open binary file, a
        device or a pipe gets the rows as they come, and no manifest. `progress` is as for `load`, in traces. Warns
        where no row was written. Raises ExportFailed where it cannot write.
        """
        options = ExportOptions(format, tags, manifest, progress)
        return export(path, self._session, self._ruler, Filters(**filters), options, store=self.path)

    def sql(self, query: str, *parameters: Any) -> SqlResult:
        """The result of one reading SQL statement over the table `traces`; `?` stands for a parameter.

        Raises QueryInvalid where it fails, writes, or is more than one statement.
        """
        return run_sql(self._session, query, parameters)

    def backup(self, path: str | Path) -> Path:
        """Copies the store to a new file and gives its path; the copy is a store, as this one is at one moment.

        Others can add meanwhile, and read when the copying is over. Raises ExportFailed where there is a file already
        or it cannot be written.
        """
        target = store_target(path)
        backup(self._session, target)
        return target

    def verify(self, *, progress: Progress = True) -> VerifyReport:
        """Reads every trace, and reports what is damaged, missing or there twice; others can work meanwhile."""
        return verify(self._session, str(self.path), progress=progress)

    @property
    def schema_version(self) -> int:
        """The version of the tables in the file; `store.sql("from schema_history")` tells how they came to it."""
        with self._session.cursor() as cursor:
            return schema.current_version(cursor)

    def migrate(self, *, to: int) -> None:
        """Brings the tables to an older schema version, for an older tunix_rt; the next call brings them up again.

        Close the store everywhere else before. Raises QueryInvalid for a version that is none.
        """
        whole_number("to", to, 1, schema.SCHEMA_VERSION)
        self._session.migrate(to)

    def info(self) -> StoreInfo:
        """Which store this is, and its numbers."""
        with self._session.cursor() as cursor:
            return collect_info(cursor, self.path)

    def health(self) -> StoreHealth:
        """Whether the store can do its work; `tunix_rt.health` asks outside services too. Never raises."""
        return look_at(self._session, self.path, self.info)

    def compact(self, *, progress: Progress = True) -> Compaction:
        """Puts the traces on disk back into the order of time, so that pages are fast again, and says what it did.

        Worth it where `info().compact_due` says so, as after loads of many older traces. Others go on meanwhile, a
        second or two behind. It may be stopped at any time; the next call goes on from there.
        """
        return compact(self._session, self.path, progress=progress)

    def hold(self) -> AbstractContextManager[None]:
        """Keeps the file over a run of calls: `with store.hold():`; processes that want to read wait meanwhile."""
        return self._session.hold()

    def close(self) -> None:
        """Writes everything out and gives the file up now, not when it has lain idle; the next call opens it again."""
        self._session.close()

    def _ruler(self, cursor: duckdb.DuckDBPyConnection) -> Ruler:
        return self._rulers.current(cursor, self._session.n_traces)
