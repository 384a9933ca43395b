"""The shared lake: the calls of a store over Delta tables, which many machines read and write at once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Unpack, cast
from uuid import UUID

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TraceNotFound
from tunix_rt.lake.location import LakeLocation
from tunix_rt.lake.rewriting import Deleted, LakeCompaction, compact, n_small, remove
from tunix_rt.lake.session import LakeSession
from tunix_rt.lake.table import LAKE_SCHEMA_VERSION
from tunix_rt.lake.views import LakeCursor
from tunix_rt.lake.waiting import FLUSH_ROWS, FLUSH_SECONDS
from tunix_rt.model import TraceRecord
from tunix_rt.settings import Settings
from tunix_rt.store.engine.rows import from_microseconds
from tunix_rt.store.engine.session import Session
from tunix_rt.store.filter_values import id_range
from tunix_rt.store.filters import FilterArgs, Filters
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.find import find, require_each, with_ids
from tunix_rt.store.scores.current import with_its_scores
from tunix_rt.store.store import TraceStore
from tunix_rt.store.upkeep.deletion import Deletion, keep
from tunix_rt.store.upkeep.info import StoreInfo
from tunix_rt.validation import short

_FOUND = "select id, epoch_us(created_at) from traces{}"
_SOURCES = "select source, count(*) from traces group by source order by count(*) desc, source"
# Pages open the files of their range, of which there are as many as writers; more than this is worth merging.
_MOST_SMALL = 64


@render.shows_itself(render.info_text, render.info_html)
@dataclass(frozen=True)
class LakeInfo(StoreInfo):
    """Which lake, and its numbers, as of a store; `size_bytes` are those of the files of the newest version.

    `version` is that of the traces, for `as_of`, `files` how many files both tables have. `journal` is the file of this
    machine in which added traces wait (None as of an older version), `waiting` how many do.
    """

    version: int
    files: int
    journal: str | None
    waiting: int

    @property
    def more(self) -> list[tuple[str, str]]:
        """What a store's file does not have, by name."""
        facts = [("version", f"{self.version:,}"), ("files", f"{self.files:,}")]
        if self.journal is not None:
            said = f"{self.waiting:,} waiting; committed at {FLUSH_ROWS:,}, after {FLUSH_SECONDS:.0f} s, before a read"
            facts += [("journal", self.journal), ("journal has", f"{said}, and at close()")]
        return facts


class _Address(type(Path())):  # type: ignore[misc]
    """The name of a lake where calls name the path of a store."""

    def __str__(self) -> str:
        return str(super().__str__()).replace("s3:/", "s3://", 1)


def _refused(name: str, advice: str) -> Callable[..., NoReturn]:
    def refused(self: "Lake", *_: Any, **__: Any) -> NoReturn:
        raise QueryInvalid(f"{self.path}: a lake has no {name}(); {advice}")

    refused.__name__ = name
    refused.instead = advice  # type: ignore[attr-defined]
    refused.__doc__ = f"Raises QueryInvalid: {advice}."
    return refused


class Lake(TraceStore):
    """A lake of traces in a folder or in object storage, with the calls of a TraceStore; `connect` opens it.

    Added traces are durable in a journal on this machine when `add` returns, and are committed with others: 1,000 at a
    time, after 5 seconds, before a read here, and at `close()`. `as_of` (a version, as `info().version`, or a time)
    opens the lake as it was then, to be read. Raises StoreUnusable where there is another thing or a newer version, or
    the storage refuses; StoreUnreachable where it does not answer.
    """

    def __init__(self, target: str, *, settings: Settings | None = None, as_of: int | datetime | None = None) -> None:
        self.settings = settings or Settings()
        self.as_of = _checked_version(as_of)
        self.location = LakeLocation.of(target)
        self.path = _Address(self.location.target if self.location.folder is None else self.location.folder)
        self._lake = LakeSession(self.location, self.settings, as_of=self.as_of)
        # What the calls of a store use of their session, a lake's has (`Access`).
        self._session = cast("Session", self._lake)

    def __repr__(self) -> str:
        version = "" if self.as_of is None else f", as_of={self.as_of!r}"
        return f"connect({self.location.target!r}{version})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), settings=self.settings, as_of=self.as_of), (self.location.target,)

    @property
    def schema_version(self) -> int:
        """The version of the lake's tables."""
        return LAKE_SCHEMA_VERSION

    def get(self, id: UUID | str) -> TraceRecord:
        """As for a store. A complete id is looked for at the time that it carries, if any, then by the ids alone."""
        low, high = id_range(id)
        if low != high:
            return super().get(id)
        with self._lake.cursor(reusable=True) as cursor:
            if low.version == 7:  # noqa: PLR2004
                milliseconds, part = low.int >> 80, low.int >> 64 & 0xFFF
                at = milliseconds * 1_000 + part * 1_000 // 4_096
                with suppress(TraceNotFound):
                    return with_its_scores(cursor, find(cursor, id, store=self.path, within=(at - 1, at + 1)))
            times = cast("LakeCursor", cursor).times_of(low)
            if not times:
                require_each([id], [], store=self.path)
            return with_its_scores(cursor, find(cursor, id, store=self.path, within=(min(times), max(times))))

    def flush(self) -> None:
        """Commits what waits in the journal now."""
        self._lake.flush()

    def delete(  # type: ignore[override]
        self, *trace_ids: UUID | str, undoable: bool = False, **filters: Unpack[FilterArgs]
    ) -> int | Deletion:
        """Deletes the traces with these ids, or all that pass the filters, with their scores; returns how many.

        The number has `kept_until`: older versions keep the traces until then, and their files go with the next
        `compact()` after it. Otherwise as for a store.
        """
        chosen_by = Filters(**filters)
        if bool(trace_ids) == bool(chosen_by):
            raise QueryInvalid('delete: pass either ids or filters; where="true" deletes everything')
        self._lake.refuse_read_only()
        clause, values = with_ids(trace_ids) if trace_ids else chosen_by.clause()
        with self._lake.cursor() as cursor, chosen_by.query_errors(cursor, self._lake.path):
            rows = cursor.execute(_FOUND.format(clause), values).fetchall()
            require_each(trace_ids, [trace_id for trace_id, _ in rows], store=self.path)
            # Exactly these: a `where` with random() would choose others now.
            kept = keep(cursor, *with_ids([trace_id for trace_id, _ in rows])) if undoable else None
        if rows:
            remove(self._lake, [(str(trace_id), time) for trace_id, time in rows])
        return Deleted(len(rows)) if kept is None else Deletion(self._lake, self.path, kept)

    def compact(self, *, progress: Progress = True) -> LakeCompaction:  # type: ignore[override]
        """Merges small files of a day, sorts their rows, and removes files that no version of the last 7 days needs.

        Others read, append and delete meanwhile. Worth it where `info().compact_due` is true.
        """
        return compact(self._lake, progress=progress)

    def info(self) -> LakeInfo:
        """Which lake this is, and its numbers; those of the journal are from before what waits was committed."""
        waiting = self._lake.waiting
        n_waiting = 0 if waiting is None else waiting.n_rows
        with self._lake.cursor() as cursor:
            sources = cursor.execute(_SOURCES).fetchall()
            files = self._lake.traces.files()
            others = self._lake.scores.files()
        return LakeInfo(
            path=str(self.path),
            n_traces=sum(n for _, n in sources),
            size_bytes=sum(file.n_bytes for file in (*files, *others)),
            oldest=from_microseconds(min(file.since for file in files)) if files else None,
            newest=from_microseconds(max(file.until for file in files)) if files else None,
            schema_version=LAKE_SCHEMA_VERSION,
            compact_due=n_small(files) > _MOST_SMALL,
            sources=tuple(sources),
            version=self._lake.traces.version,
            files=len(files) + len(others),
            journal=None if waiting is None else str(waiting.path),
            waiting=n_waiting,
        )

    hold = _refused("hold", "each read is of one version; as_of= holds one for as long as you like")
    backup = _refused("backup", "older versions are kept for 7 days (as_of=); pull the traces into a store, or export")
    verify = _refused("verify", "the storage checks its files; count() and export() read them")
    migrate = _refused("migrate", "a lake of another version is refused when it is opened")
    health = _refused("health", "connect() and info() say what is wrong")
    queue = _refused("queue", "pull the traces into a store, and make the queue there")
    selections = _refused("selections", "select(...) without a name returns the traces")
    unselect = _refused("unselect", "select(...) without a name stores nothing")

    def select(self, name: str | None = None, **options: Any) -> Any:
        """As for a store, but without a name: a lake stores no selections. QueryInvalid for a `name`."""
        if name is not None or options.get("version") is not None:
            raise QueryInvalid(f"{self.path}: a lake stores no selections; leave out name and version of select()")
        return super().select(**options)


def _checked_version(as_of: Any) -> int | datetime | None:
    if as_of is None or (isinstance(as_of, int) and not isinstance(as_of, bool) and as_of >= 0):
        return as_of
    if isinstance(as_of, datetime):
        return as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of
    raise QueryInvalid(f"as_of={short(as_of)}: must be a version, from 0, or a datetime (UTC without an offset)")
