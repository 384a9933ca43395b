"""The trace store, which every notebook, script and form of the package uses."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, Unpack, cast, overload
from uuid import UUID

import pyarrow as pa

from tunix_rt.errors import QueryInvalid, TraceInvalid, TraceNotFound
from tunix_rt.model import Trace, TraceRecord, trace_of
from tunix_rt.paths import store_target
from tunix_rt.settings import Settings
from tunix_rt.store.engine import schema
from tunix_rt.store.engine.clock import new_row
from tunix_rt.store.engine.location import open_session
from tunix_rt.store.engine.rows import RECORD_COLUMNS, NewRow, record_of, records_in
from tunix_rt.store.engine.schema import COLUMNS
from tunix_rt.store.engine.session import Session
from tunix_rt.store.export.export import ExportOptions, export
from tunix_rt.store.export.export_report import ExportReport
from tunix_rt.store.filters import FilterArgs, Filters
from tunix_rt.store.ingest.load import Known, Split, insisted_format, load
from tunix_rt.store.ingest.load_report import LoadReport
from tunix_rt.store.ingest.watch import Stop, Watch, watch
from tunix_rt.store.judging import Judging
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.cursor import PageRequest, whole_number
from tunix_rt.store.query.find import find
from tunix_rt.store.query.order import Order, order_of
from tunix_rt.store.query.ordered import OrderedSearch
from tunix_rt.store.query.page import Page, Search
from tunix_rt.store.query.scan import scan
from tunix_rt.store.query.sql_result import SqlResult, run_sql
from tunix_rt.store.scores.current import with_its_scores, with_scores
from tunix_rt.store.transfer import TransferReport, transfer
from tunix_rt.store.upkeep.backup import backup
from tunix_rt.store.upkeep.compact import Compaction, compact
from tunix_rt.store.upkeep.deletion import Deletion, delete_traces
from tunix_rt.store.upkeep.health import StoreHealth, check_health
from tunix_rt.store.upkeep.info import StoreInfo, collect_info
from tunix_rt.store.upkeep.verify import VerifyReport, verify
from tunix_rt.validation import short


class TraceStore(Judging, AbstractContextManager["TraceStore"]):
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

    `latest`, `page`, `count`, `records`, `scan`, `export`, `delete` and the calls about scores take the same filters as
    keywords: `text`, `source`, `model`, `run`, `training_step`, `since`, `until`, `min_steps`, `max_steps`,
    `min_chars`, `max_chars`, `trace_version`, `meta={key: value}`, `score={scorer: value}`, `selection`, `ids` and
    `where` (SQL). Times are UTC unless they carry an offset. REFERENCE.md describes each of them.
    """

    _session: Session

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TraceStore({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), settings=self.settings, read_only=self._session.read_only), (self.path,)

    def add(self, trace: Trace | TraceRecord | Mapping[str, Any]) -> TraceRecord:
        """Stores one trace (or a dictionary shaped like one) and returns it with its id and time.

        A TraceRecord is added as a new trace, with a new id and time; `load([record])` keeps those it has. It is on
        disk when this returns, also while another process holds the file. Raises TraceInvalid, or TraceTooLarge over
        `trace_max_bytes`.
        """
        record, row = self._new(trace)
        self._session.add([row])
        return record

    def add_many(self, traces: Iterable[Trace | TraceRecord | Mapping[str, Any]]) -> list[TraceRecord]:
        """Stores traces, all or none, as `add` does; TraceInvalid names the index of an invalid one. See `load`."""
        new: list[tuple[TraceRecord, NewRow]] = []
        for index, trace in enumerate(traces):
            try:
                new.append(self._new(trace))
            except TraceInvalid as error:
                raise error.within(f"traces.{index}") from None
        if new:
            self._session.add([row for _, row in new])
        return [record for record, _ in new]

    def _new(self, given: Any) -> tuple[TraceRecord, NewRow]:
        trace = trace_of(given)
        row = new_row(trace, self.settings.trace_max_bytes)
        return record_of(UUID(bytes=row.id), row.created_at, trace), row

    def load(
        self,
        source: Any,
        *,
        format: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        known: Known = "skip",
        progress: Progress = True,
        encoding: str | None = None,
        split: Split | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> LoadReport:
        """Adds the traces of a file, a folder or a pattern (`runs/*.jsonl`), or of what Python holds, of any size.

        Files are JSON, JSON Lines or Parquet, plain or packed with gzip or zstd, texts in UTF-8 unless `encoding` names
        another; in place of files, bytes, an open binary file, dictionaries or traces in any iterable, a DataFrame, an
        Arrow table, a Hugging Face Dataset. The content decides the format, or `format`; `mapping` names the fields:
        `{"prompt": "question", "final_answer": "choices.0.text", "meta.reward": "score"}`. Rows of no format are read
        by the names of their fields where there is one way to, and the report's `mapping` says how. A row that is no
        trace is in the report with line, field and reason, and stops nothing. Stored traces are not added again, unless
        `known="add"`: the k-th copy of a trace in the files matches the k-th in the store. The session of an agent is
        one trace; with `split="turn"` each turn of the user in it is. `meta` is added to that of each trace, as
        `{"run": "A"}`, in place of what a row has under these keys; with another `meta` they are other traces.

        `progress` shows a bar where a load takes long, or is a function that is called with the bytes done (in memory,
        the rows) and all of them (0: not known); what it raises stops the load, and what was stored until then stays.
        Raises SourceInvalid where there is nothing to load at all (its `mappings` are what you could pass), and
        QueryInvalid for a bad mapping or meta, and for `split` where the format has no sessions.
        """
        how = insisted_format(format, mapping)
        same: Any = {"known": known, "progress": progress, "encoding": encoding, "split": split, "meta": meta}
        return load(self._session, source, how, **same)

    def watch(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        every: float = 2.0,
        stop: Stop | None = None,
        split: Split | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Watch:
        """Loads the files of a running job as they appear and grow; yields a report for each poll that found any.

        It polls the path, folder or pattern, which need not exist yet, every `every` seconds. Incomplete rows wait
        until they are complete. When `stop` (a function or an Event) is true, a last poll loads what there is; an
        interrupt ends it at once. `meta` is as for `load`. Raises what `load` raises for its options, and QueryInvalid
        for `every`; with `split="turn"` a file without sessions is rejected.
        """
        how = insisted_format(format, mapping)
        return watch(self._session, path, how, every=every, stop=stop, split=split, meta=meta)

    def get(self, id: UUID | str) -> TraceRecord:
        """The trace with this id, or the only one that begins so; TraceNotFound, IdAmbiguous where several do."""
        with self._session.cursor(reusable=True) as cursor:
            return with_its_scores(cursor, find(cursor, id, store=self.path))

    def latest(self, **filters: Unpack[FilterArgs]) -> TraceRecord:
        """The newest trace that passes the filters; TraceNotFound if there is none."""
        with self._searching(Filters(**filters)) as search:
            newest = search.newest_record()
            if newest is not None:
                return with_its_scores(search.cursor, newest)
            note = search.why_nothing()
        why = "that passes the filters" if filters else "yet"
        raise TraceNotFound(f"no trace found: {self.path} has none {why}{f': {note}' if note else ''}")

    def page(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        after: str | None = None,
        before: str | None = None,
        order_by: str | None = None,
        descending: bool = False,
        scores: str | Iterable[str] | None = None,
        **filters: Unpack[FilterArgs],
    ) -> Page:
        """A page of summaries, newest first: `limit` of them (1–100), from `offset`, or behind the cursor `after`.

        `before` returns those just before a cursor, in the same order; it cannot be combined with `offset` or `after`.
        `order_by` is a column, `meta.KEY` or `score.SCORER`, smallest first unless `descending`: numbers before texts,
        what has neither last, equal ones newest first; without it, several `ids` keep their order. `scores`
        are names of scorers, whose current scores each summary then has, with the facts of its meta: one query more.
        Raises QueryInvalid.
        """
        request = PageRequest.checked(limit=limit, offset=offset, after=after, before=before, scores=scores)
        selection = Filters(**filters)
        order = order_of(order_by, descending=descending, filters=selection)
        same: dict[str, Any] = {
            "limit": limit,
            "order_by": order_by,
            "descending": descending,
            "scores": request.scores,
        }
        get_page = partial(self.page, **same, **selection.given)
        with self._searching(selection, order) as search:
            page = search.page(request, get_page=get_page, judge=self._judged)
            if request.scores:
                page.records = with_scores(search.cursor, page.records, request.scores)
        return page

    def count(self, **filters: Unpack[FilterArgs]) -> int:
        """How many traces there are, of those that pass the filters."""
        with self._searching(Filters(**filters)) as search:
            return search.count()

    @overload
    def delete(
        self, *trace_ids: UUID | str, undoable: Literal[False] = False, **filters: Unpack[FilterArgs]
    ) -> int: ...

    @overload
    def delete(self, *trace_ids: UUID | str, undoable: Literal[True], **filters: Unpack[FilterArgs]) -> Deletion: ...

    def delete(self, *trace_ids: UUID | str, undoable: bool = False, **filters: Unpack[FilterArgs]) -> int | Deletion:
        """Deletes the traces with these ids, or all that pass the filters, with their scores; returns how many.

        `undoable=True` returns a Deletion, which keeps them in memory for its `undo()`. Raises TraceNotFound (and
        deletes nothing) where an id is not there. To delete everything, `where="true"`.
        """
        return delete_traces(self._session, self.path, trace_ids, Filters(**filters), undoable=undoable)

    def scan(
        self, columns: Iterable[str] | None = None, *, newest_first: bool = True, **filters: Unpack[FilterArgs]
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
        return scan(self._session, ", ".join(names), Filters(**filters), newest_first=newest_first)

    def records(self, *, newest_first: bool = True, **filters: Unpack[FilterArgs]) -> Iterator[TraceRecord]:
        """The stored traces one by one, sorted by (created_at, id), read as they are needed."""
        for batch in scan(self._session, RECORD_COLUMNS, Filters(**filters), newest_first=newest_first):
            yield from records_in(batch)

    def export(
        self,
        path: str | Path | IO[bytes],
        *,
        format: str | None = None,
        tags: tuple[str, str] | None = None,
        within: str | None = None,
        scores: bool = True,
        manifest: bool = True,
        progress: Progress = True,
        **filters: Unpack[FilterArgs],
    ) -> ExportReport:
        """Writes the traces to a file, oldest first, completely or not at all; the report has the counts, with reasons.

        `format` is "trace" (JSON Lines; loaded into an empty store it gives the same store), "parquet" (the table's
        columns), or one that trainers take: "messages", "prompt_completion", "preference", "stepwise", "tunix_rl",
        "tunix_sft", "training_example", "atif"; by default the file's ending decides between the first two. `.gz` and
        `.zst` pack lines. Scores are in the rows of "trace", and beside "parquet" in NAME.scores.parquet, unless
        `scores=False`; `load` puts them back. `tags` enclose the reasoning (default `<think>`, `</think>`).
        "preference" pairs the samples of one policy (source, model, training step); `within="prompt"` pairs across
        policies. What does not fit a format is left out; the report and .NAME.manifest.json beside the file count it by
        reason. An open binary file, a device or a pipe gets the rows as they come, and no file beside it. `progress` is
        as for `load`, in traces. Warns where no row was written. Raises ExportFailed where it cannot write.
        """
        options = ExportOptions(format, tags, within, scores, manifest, progress)
        return export(path, self._session, Filters(**filters), options, store=self.path)

    def publish(self, lake: Any, *, progress: Progress = True, **filters: Unpack[FilterArgs]) -> TransferReport:
        """Brings the traces, with their scores, to a lake (`rt.connect`) or another store: what is not there yet.

        They keep their ids and times; which are there, their ids and digests say. Each comes once, also where several
        publish at the same time, and where the call was stopped: the same call again brings what is left. Nothing that
        is there is changed. `progress` is as for `load`, in traces. Raises StoreDamaged where traces are missing after
        they were written, StoreReadOnly, and what the lake's storage raises.
        """
        return self._transferred(self, lake, filters, progress)

    def pull(self, lake: Any, *, progress: Progress = True, **filters: Unpack[FilterArgs]) -> TransferReport:
        """Brings the traces of a lake or another store that pass the filters here, with their scores; see `publish`."""
        return self._transferred(lake, self, filters, progress)

    @staticmethod
    def _transferred(source: Any, target: Any, filters: FilterArgs, progress: Progress) -> TransferReport:
        for one in (source, target):
            if not isinstance(one, Judging):
                raise QueryInvalid(f"{short(one)}: is not a store or a lake; open one with rt.connect")
        if source is target:
            raise QueryInvalid("a store cannot be published to itself, or pull from itself")
        return transfer(
            source._session,  # noqa: SLF001 - a store, or what has its calls
            target._session,  # noqa: SLF001 - as above
            Filters(**filters),
            names=(str(source.path), str(target.path)),
            progress=progress,
        )

    def sql(self, query: str, *parameters: Any) -> SqlResult:
        """The result of one reading SQL statement over the table `traces`; `?` is a parameter.

        Raises QueryInvalid where it fails, writes, or is more than one statement.
        """
        return run_sql(self._session, query, parameters)

    def backup(self, path: str | Path) -> Path:
        """Copies the store to a new file and returns its path; the copy is a store with the contents of one moment.

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
        """The version of the tables in the file; `store.sql("from schema_history")` shows its history."""
        with self._session.cursor() as cursor:
            return schema.current_version(cursor)

    def migrate(self, *, to: int) -> None:
        """Brings the tables to an older schema version, for an older tunix_rt; the next call brings them up again.

        Close the store everywhere else before. Raises QueryInvalid for a version that does not exist.
        """
        whole_number("to", to, 1, schema.SCHEMA_VERSION)
        self._session.migrate(to)

    def info(self) -> StoreInfo:
        """Which store this is, and its numbers."""
        with self._session.cursor() as cursor:
            return collect_info(cursor, self.path)

    def health(self) -> StoreHealth:
        """Whether the store can do its work; `tunix_rt.health` checks outside services too. Never raises."""
        return check_health(self._session, self.path, self.info)

    def compact(self, *, progress: Progress = True) -> Compaction:
        """Puts the traces on disk back into the order of time, so that pages are fast again, and reports what it did.

        Worth it where `info().compact_due` is true, as after loads of many older traces. Others continue meanwhile,
        with delays of up to two seconds. It may be stopped at any time; the next call continues from there.
        """
        return compact(self._session, self.path, progress=progress)

    def hold(self) -> AbstractContextManager[None]:
        """Keeps the file over a run of calls: `with store.hold():`; processes that want to read wait meanwhile."""
        return self._session.hold()

    def close(self) -> None:
        """Writes everything out and releases the file now, not when it is idle; the next call opens it again."""
        self._session.close()

    def _temporary(self) -> "TraceStore":
        return TraceStore(":memory:", settings=self.settings)

    @contextmanager
    def _searching(self, selection: Filters, order: Order | None = None) -> Iterator[Search]:
        with self._session.cursor(reusable=True) as cursor, selection.query_errors(cursor, self._session.path):
            index = self._session.time_index(cursor)
            yield OrderedSearch(cursor, index, selection, order) if order else Search(cursor, index, selection)
