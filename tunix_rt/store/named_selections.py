"""Selections that are stored by name, in versions: the same call returns the same traces, in any notebook."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.selection import Choice, Selection, chosen, digest
from tunix_rt.validation import short

# As the names of scorers, without the sign of a version: it is written as a filter, train@2.
_NAME = re.compile(r"[^\s!<>=,\"@\x00-\x1f\x7f](?:[^<>=!,\"@\x00-\x1f\x7f]{0,98}[^\s<>=!,\"@\x00-\x1f\x7f])?")
_VERSIONS = "select version, query::varchar from selections where name = ? order by version"
_IDS = """
select trace_id::varchar as id from selected where name = ? and version = ? order by created_at desc, trace_id desc
"""
_INSERT = """
insert into selected
select ?, ?, make_timestamptz(created_at), id::uuid from incoming_selection order by created_at, id
"""
_LIST = """
select
    name, version, n_traces as traces, coalesce(missing, 0) as deleted_since, query, sha256, made_at
from selections
left join (
    select name, version, count(*) as missing from selected
    where trace_id not in (select id from traces)
    group by name, version
) using (name, version)
order by name, version
"""


class _Stored(NamedTuple):
    """A version of a selection, and the query of it as JSON."""

    version: int
    query: str


def select_named(
    session: Access, path: Path, name: str, filters: Filters, how: Choice, *, version: int | None
) -> Selection:
    """The stored selection, which is made where there is none of this query; see `TraceStore.select`."""
    _check("select", name, version)
    query = _as_json(how)
    asked = bool(filters) or how.limit is not None

    def find(versions: list[_Stored]) -> _Stored | None:
        if asked and versions and _choice(versions[-1]).is_queue:
            raise QueryInvalid(f"select: {short(name)} is a queue, which does not change; choose another name")
        return _found(versions, name, version, query if asked else None)

    return _found_or_made(session, path, name, filters, how=how, find=find)


def queue_named(session: Access, path: Path, name: str, filters: Filters, how: Choice) -> Selection:
    """The queue of this name, which is drawn where there is none; see `TraceStore.queue`."""
    _check("queue", name, None)
    query = _as_json(how)
    asked = bool(filters) or how != Choice({}, None, 0, is_queue=True)

    def find(versions: list[_Stored]) -> _Stored | None:
        if not versions and how.limit is None:
            raise QueryInvalid(f"queue: there is no queue {short(name)}; pass n= to draw one of that many traces")
        if not versions:
            return None
        (*_, there) = versions
        if not _choice(there).is_queue:
            raise QueryInvalid(f"queue: {short(name)} is the name of a selection; choose another one")
        if asked and there.query != query:
            raise QueryInvalid(
                f"queue: {short(name)} was drawn otherwise: {_choice(there).said}; pass the name alone to continue "
                "with it, or choose another name"
            )
        return there

    return _found_or_made(session, path, name, filters, how=how, find=find)


def _found_or_made(
    session: Access,
    path: Path,
    name: str,
    filters: Filters,
    *,
    how: Choice,
    find: Callable[[list[_Stored]], _Stored | None],
) -> Selection:
    """The version that `find` finds among the stored ones; where there is none, the next one."""
    with session.cursor() as cursor:
        found = find(_versions(cursor, name))
    if found is None:
        # Read before the transaction, which then takes no longer than to write the ids.
        table = chosen(session, filters, how)
        if how.is_queue and not len(table):
            raise QueryInvalid("queue: no trace passes the filters; nothing was drawn")
        with session.transaction() as cursor:
            # Another process may have made it since.
            versions = _versions(cursor, name)
            found = find(versions)
            if found is None:
                found = _Stored(versions[-1].version + 1 if versions else 1, _as_json(how))
                _insert(cursor, name, found, table)
    with session.cursor() as cursor:
        ids = cursor.sql(_IDS, params=[name, found.version]).to_arrow_table()["id"].combine_chunks()
    return Selection(session, path, ids, _choice(found), name=name, version=found.version)


def _as_json(how: Choice) -> str:
    return json.dumps(how.to_dict(), ensure_ascii=False, sort_keys=True)


def _choice(stored: _Stored) -> Choice:
    return Choice(**json.loads(stored.query))


def selections(session: Access) -> SqlResult:
    """The stored selections; see `TraceStore.selections`."""
    with session.cursor() as cursor:
        relation = cursor.sql(_LIST)
        return SqlResult(relation.to_arrow_table(), tuple(map(str, relation.types)))


def unselect(session: Access, name: str, version: int | None) -> int:
    """Deletes the versions of a stored selection, or one of them, and returns how many; the traces stay."""
    _check("unselect", name, version)
    with session.transaction() as cursor:
        there = [one.version for one in _versions(cursor, name)]
        gone = [one for one in there if version in (None, one)]
        if not gone:
            raise _none(cursor, name, there)
        for table in ("selected", "selections"):
            cursor.execute(f"delete from {table} where name = ? and version in (select unnest(?::int[]))", [name, gone])
    return len(gone)


def faults(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """What is wrong with the stored selections, in words."""
    found = []
    for name, version, n_traces, sha256 in cursor.execute(
        "select name, version, n_traces, sha256 from selections order by name, version"
    ).fetchall():
        ids = [one for (one,) in cursor.execute(_IDS, [name, version]).fetchall()]
        if len(ids) != n_traces or digest(ids) != sha256:
            found.append(f"selection {name}, version {version}: its ids differ from those that were stored")
    return found


def _check(call: str, name: Any, version: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise QueryInvalid(
            f'{call}: {short(name)} is not a name; it has 1 to 100 characters, none of them < > = ! , @ or "'
        )
    if version is not None:
        whole_number("version", version, 1, None)


def _versions(cursor: duckdb.DuckDBPyConnection, name: str) -> list[_Stored]:
    return [_Stored(*row) for row in cursor.execute(_VERSIONS, [name]).fetchall()]


def _found(versions: list[_Stored], name: str, version: int | None, query: str | None) -> _Stored | None:
    """The version that is meant; None where it is to be made, which takes a query."""
    newest = versions[-1].version if versions else 0
    if version is not None and version > newest + (query is not None):
        raise QueryInvalid(f"select: {short(name)} has no version {version}; the newest is {newest or 'none'}")
    matching = [one for one in versions if version in (None, one.version) and query in (None, one.query)]
    if matching:
        return matching[-1]
    if version is not None and version <= newest:
        raise QueryInvalid(
            f"select: {short(name)} has a version {version} that was chosen otherwise, or was deleted; leave the "
            "version out"
        )
    if query is None:
        raise QueryInvalid(
            f'select: there is no selection {short(name)}; pass filters to make one, where="true" for all traces'
        )
    return None


def _insert(cursor: duckdb.DuckDBPyConnection, name: str, made: _Stored, table: pa.Table) -> None:
    cursor.register("incoming_selection", table)
    try:
        cursor.execute(_INSERT, [name, made.version])
    finally:
        cursor.unregister("incoming_selection")
    now = round(datetime.now(UTC).timestamp() * 1_000_000)
    cursor.execute(
        "insert into selections values (?, ?, ?, ?, ?, make_timestamptz(?::bigint))",
        [name, made.version, made.query, len(table), digest(table["id"].to_pylist()), now],
    )


def _none(cursor: duckdb.DuckDBPyConnection, name: str, versions: list[int]) -> QueryInvalid:
    if versions:
        return QueryInvalid(f"{short(name)} has the versions {', '.join(map(str, versions))}, and no other")
    names = [one for (one,) in cursor.execute("select distinct name from selections order by name").fetchall()]
    return QueryInvalid(f"there is no selection {short(name)}; there are {', '.join(names) or 'none'}")
