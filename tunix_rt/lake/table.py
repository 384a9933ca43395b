"""The Delta tables of a lake: batches that are committed once, the files with their ranges of time, older versions.

A file is Parquet, of one day of `created_at`, sorted by (created_at, id). Its statistics, which are in the table's log,
say from when to when its rows are: nothing rests on the times of commits, which are of the writers' clocks.
"""

import io
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from inspect import signature
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from tunix_rt._version import __version__
from tunix_rt.errors import QueryInvalid, StoreUnusable
from tunix_rt.lake.kinds import DAY, TIME, TRACES, TableKind
from tunix_rt.lake.location import LakeLocation
from tunix_rt.lake.storage import Storage
from tunix_rt.validation import short

# What a version of these tables is; a newer one is refused.
LAKE_SCHEMA_VERSION = 1
_VERSION_KEY, _WRITER_KEY = "tunix_rt.schema", "tunix_rt.version"
# How long the files of older versions stay, for `as_of` and for reads that are under way.
KEPT_DAYS = 7
_CONFIGURATION = {
    _VERSION_KEY: str(LAKE_SCHEMA_VERSION),
    _WRITER_KEY: __version__,
    "delta.deletedFileRetentionDuration": f"interval {KEPT_DAYS} days",
    "delta.logRetentionDuration": "interval 30 days",
}
# A row group is what DuckDB skips by its times; the smaller, the less a page reads, and the larger the file.
_ROW_GROUP_ROWS = 8_192
# By these a trace is found among those whose ids say nothing of their time. Older versions of Arrow write none.
_BLOOM: dict[str, Any] = (
    {"bloom_filter_options": {"id": {"ndv": _ROW_GROUP_ROWS, "fpp": 0.01}}}
    if "bloom_filter_options" in signature(pq.write_table).parameters
    else {}
)
# A commit meets others of the same moment. Delta tries itself 15 times; each of these tries begins with a new look.
_MOST_TRIES = 20
_RETRY_SECONDS = (0.01, 0.2)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class DataFile(NamedTuple):
    """A file of a table: its path below the table's, how many rows and bytes, their first and last time, its day.

    The times are in microseconds since 1970, of the rows themselves; the day is a text, such as 2026-01-31.
    """

    path: str
    n_rows: int
    n_bytes: int
    since: int
    until: int
    day: str

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last time."""
        return self.since, self.until


class LakeTable:
    """One Delta table, as it was when it was last refreshed; any thread may use it, and any machine.

    `as_of` (a version, or a time with an offset) opens an older version, which is only read. A table that is not there
    is made, unless it is `as_of`. Raises StoreUnusable where it is not a table of this package, or of a newer version.
    """

    def __init__(self, location: LakeLocation, kind: TableKind, *, as_of: int | datetime | None = None) -> None:
        self.location = location
        self.kind = kind
        self.uri = location.table_uri(kind.name)
        self.as_of = as_of
        self._storage = Storage(location, self.uri)
        # What the log says of the commit after the version `as_of`; None if there is none.
        self.next_commit: dict[str, Any] | None = None
        # The table of Delta changes in place.
        self._lock = threading.RLock()
        self._files: tuple[int, list[DataFile]] | None = None
        with location.explained():
            self._table = self._open()

    @property
    def version(self) -> int:
        """The number of the commit that it shows."""
        return int(self._table.version())

    def refresh(self) -> int:
        """Goes to the newest commit, whoever made it, and returns its number."""
        if self.as_of is None:
            with self._lock, self.location.explained():
                self._table.update_incremental()
        return self.version

    def files(self) -> list[DataFile]:
        """The files of the version that it shows, in the order of time."""
        with self._lock:
            if self._files is None or self._files[0] != self.version:
                with self.location.explained():
                    self._files = (self.version, _files_of(self._table))
            return self._files[1]

    @property
    def n_rows(self) -> int:
        """How many rows the version has, by the statistics of its files."""
        return sum(file.n_rows for file in self.files())

    def committed(self, app: str) -> int | None:
        """The greatest number that `append` has committed for this writer; None if it never did."""
        self.refresh()
        with self.location.explained():
            return self._table.transaction_version(app)

    def append(self, rows: pa.Table, *, app: str, number: int, before: int | None = None) -> bool:
        """Commits the rows, all or none, once: False if this number, or a greater one, of `app` is committed already.

        `rows` have the columns of the kind, in any order of rows, and go to a file for each day. `app` names one writer
        at a time (a journal, a session, a task), whose numbers grow. A process that dies before the commit leaves files
        that no version names; `vacuum` deletes them. Others may commit meanwhile. On disk, or acknowledged by the
        storage, when this returns. With `before`, also False where the greatest number that is committed of `app` is
        another one than this: others have committed some of the rows.
        """
        if not len(rows):
            return False
        committed = self.committed(app)
        if committed is not None and (committed >= number or before not in (None, committed)):
            return False
        with self.location.explained():
            added = self.write(rows)
        try:
            self._commit(added, [], app=app, number=number, before=committed)
        except _Replaced:
            self._discard(added)
            return False
        return True

    def replace(
        self,
        removed: Sequence[DataFile],
        rows: Iterable[pa.Table],
        *,
        changes_data: bool,
        note: dict[str, Any] | None = None,
    ) -> bool:
        """Commits new files with these rows in place of files; False if others have replaced one of these meanwhile.

        `changes_data` is False where the rows are the same ones, only in other files. The `note` is kept in the log.
        """
        with self.location.explained():
            added = [file for part in rows for file in self.write(part)]
        try:
            self._commit(added, removed, changes_data=changes_data, note=note)
        except _Replaced:
            self._discard(added)
            return False
        return True

    def read(self, file: DataFile, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a file as Arrow batches of up to 8,192 rows, with these columns of the kind (default: all)."""
        with self.location.explained(), self._storage.opened(file.path, file.n_bytes) as source:
            yield from pq.ParquetFile(source).iter_batches(_ROW_GROUP_ROWS, columns=columns)

    def write(self, rows: pa.Table) -> list[DataFile]:
        """Writes a file for each day, which no version names until it is committed."""
        rows = rows.select(self.kind.columns.names).cast(self.kind.columns)
        rows = rows.sort_by([("created_at", "ascending"), (self.kind.id, "ascending")])
        days = pc.strftime(pc.floor_temporal(rows["created_at"], unit="day"), format="%Y-%m-%d").combine_chunks()
        runs = pc.run_end_encode(days)
        written, start = [], 0
        for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            written.append(self._write(rows.slice(start, end - start), day))
            start = end
        return written

    def vacuum(self) -> list[str]:
        """Deletes the files that no version of the last seven days names; returns their paths."""
        with self._lock, self.location.explained():
            self._table.update_incremental()
            # In full: also those of writers that were killed before their commit, when they are as old.
            return list(self._table.vacuum(dry_run=False, full=True))

    def checkpoint(self) -> None:
        """Writes the state of the table in one file, from which it opens fast."""
        with self._lock, self.location.explained(), suppress(CommitFailedError):
            self._table.create_checkpoint()

    def paths(self, files: Iterable[DataFile]) -> list[str]:
        """The paths of files in a folder of this machine, for DuckDB."""
        return [f"{self.uri}/{file.path}" for file in files]

    def dataset(self, files: Sequence[DataFile]) -> Any:
        """The Arrow data set of some of the files."""
        import pyarrow.dataset as ds

        filesystem = self._storage.filesystem({file.path: file.n_bytes for file in files})
        parquet = ds.ParquetFileFormat()
        fragments = [parquet.make_fragment(file.path, filesystem) for file in files]
        return ds.FileSystemDataset(fragments, self.kind.columns, parquet, filesystem)

    def _open(self) -> DeltaTable:
        options = self.location.options
        if self.location.folder is not None and self.as_of is None:
            self.location.folder.mkdir(parents=True, exist_ok=True)
        try:
            table = DeltaTable(self.uri, storage_options=options)
        except TableNotFoundError:
            if self.as_of is not None:
                raise StoreUnusable(
                    f"{self.location.target}: there is no lake here, so it has no older version"
                ) from None
            table = self._make()
        self._check(table)
        if self.as_of is not None:
            table = self._older(table)
        return table

    def _make(self) -> DeltaTable:
        try:
            return DeltaTable.create(
                self.uri,
                self.kind.schema,
                partition_by=[DAY],
                mode="ignore",
                configuration=_CONFIGURATION,
                description="traces of tunix_rt",
                storage_options=self.location.options,
                raise_if_key_not_exists=False,
            )
        except Exception:
            # Whatever it says where another process makes it at this moment.
            with suppress(TableNotFoundError):
                return DeltaTable(self.uri, storage_options=self.location.options)
            raise

    def _check(self, table: DeltaTable) -> None:
        configuration = table.metadata().configuration
        version = configuration.get(_VERSION_KEY, "")
        if not version.isdecimal():
            raise StoreUnusable(
                f"{self.location.target}: holds a Delta table, but not one of tunix_rt; it was not changed. Choose "
                "another folder"
            )
        if int(version) > LAKE_SCHEMA_VERSION:
            raise StoreUnusable(
                f"{self.location.target}: was written by a newer tunix_rt (schema {version}; this version supports up "
                f"to {LAKE_SCHEMA_VERSION}); install tunix-rt {configuration.get(_WRITER_KEY, '')} or newer. It was "
                "not changed"
            )

    def _older(self, table: DeltaTable) -> DeltaTable:
        if isinstance(self.as_of, datetime):
            table.load_as_version(self.as_of)
            return table
        if not isinstance(self.as_of, int) or not 0 <= self.as_of <= table.version():
            raise QueryInvalid(f"as_of={short(self.as_of)}: the versions are 0 to {table.version():,}")
        if newer := table.version() - self.as_of:
            self.next_commit = list(table.history(newer))[-1]
        table.load_as_version(self.as_of)
        return table

    def _write(self, rows: pa.Table, day: str) -> DataFile:
        path = f"{DAY}={day}/{uuid4()}.parquet"
        buffer = io.BytesIO()
        options = _BLOOM if self.kind is TRACES else {}
        pq.write_table(rows, buffer, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP_ROWS, **options)
        content = buffer.getvalue()
        self._storage.write(path, content)
        times = rows["created_at"].cast(pa.int64())
        return DataFile(path, len(rows), len(content), times[0].as_py(), times[-1].as_py(), day)

    def _commit(
        self,
        added: Sequence[DataFile],
        removed: Sequence[DataFile],
        *,
        app: str | None = None,
        number: int = 0,
        before: int | None = None,
        changes_data: bool = True,
        note: dict[str, Any] | None = None,
    ) -> None:
        now = time.time_ns() // 1_000_000
        actions: list[AddAction | RemoveAction] = [
            AddAction(file.path, file.n_bytes, {DAY: file.day}, now, changes_data, _statistics(file)) for file in added
        ]
        actions += [RemoveAction(file.path, changes_data, now, file.n_bytes, {DAY: file.day}) for file in removed]
        transactions = None if app is None else [Transaction(app, number, now)]
        properties = CommitProperties(note, app_transactions=transactions)
        gone = {file.path for file in removed}
        for tries in range(_MOST_TRIES):
            with self._lock, self.location.explained():
                # Delta itself goes on from what was read before, unless others have touched the same.
                if tries or removed:
                    self._table.update_incremental()
                committed = self._table.transaction_version(app) if app is not None else None
                if committed != before:
                    if committed == number and tries:
                        # By the try before this one, whose reply was lost.
                        return
                    raise _Replaced
                if gone and gone - {file.path for file in self.files()}:
                    raise _Replaced
                try:
                    self._table.create_write_transaction(
                        actions, "append", self.kind.schema, partition_by=[DAY], commit_properties=properties
                    )
                except CommitFailedError:
                    if tries == _MOST_TRIES - 1:
                        raise
                else:
                    self._table.update_incremental()
                    self._storage.sync(f"_delta_log/{self.version:020}.json")
                    return
            # Without the lock: another thread may be what it met.
            time.sleep(random.uniform(*_RETRY_SECONDS) * min(tries + 1, 5))  # noqa: S311 - spreads the writers

    def _discard(self, files: Iterable[DataFile]) -> None:
        with self.location.explained():
            for file in files:
                self._storage.delete(file.path)


class _Replaced(Exception):
    """A file that was to be replaced has been by others."""


def _files_of(table: DeltaTable) -> list[DataFile]:
    actions = pa.table(table.get_add_actions(flatten=True))
    if not len(actions):
        return []

    def column(name: str, convert: Callable[[Any], Any] = lambda values: values) -> list[Any]:
        return list(convert(actions[name]).to_pylist())

    def microseconds(values: Any) -> Any:
        return values.cast(TIME).cast(pa.int64())

    files = [
        DataFile(*row)
        for row in zip(
            column("path"),
            column("num_records"),
            column("size_bytes"),
            column("min.created_at", microseconds),
            column("max.created_at", microseconds),
            map(str, column(f"partition.{DAY}")),
            strict=True,
        )
    ]
    return sorted(files, key=lambda file: (file.since, file.until, file.path))


def _statistics(file: DataFile) -> str:
    from tunix_rt.store.engine.rows import from_microseconds

    least, greatest = (from_microseconds(at).strftime(_TIME_FORMAT) for at in (file.since, file.until))
    return json.dumps(
        {
            "numRecords": file.n_rows,
            "minValues": {"created_at": least},
            "maxValues": {"created_at": greatest},
            "nullCount": {"created_at": 0},
        }
    )
