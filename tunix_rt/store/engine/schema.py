"""The tables of a store, made by numbered migrations; each runs in one transaction, once, on opening."""

from typing import NamedTuple

import duckdb

from tunix_rt._version import __version__
from tunix_rt.errors import StoreUnusable


class Migration(NamedTuple):
    """A step from one schema version to the next, and back."""

    version: int
    up: str
    down: str


# Steps are in the row itself: a child table made whole-trace reads 50 times slower. Preview, counts and source are kept
# so that a page never reads the bodies. No index on created_at: the rows' physical order is what makes pages fast, and
# an index changed none of the measured times. `digest` finds a trace that is already stored.
_TRACES = """
create table traces (
    id uuid not null,
    created_at timestamptz not null,
    trace_version varchar not null,
    preview varchar not null,
    n_steps integer not null,
    n_chars bigint not null,
    source varchar,
    digest uuid not null,
    prompt varchar not null,
    steps struct(i bigint, "type" varchar, content varchar)[] not null,
    final_answer varchar,
    meta json
)
"""

# What a scan gives; the digest is the store's own.
COLUMNS = (
    "id",
    "created_at",
    "trace_version",
    "preview",
    "n_steps",
    "n_chars",
    "source",
    "prompt",
    "steps",
    "final_answer",
    "meta",
)

# One row: which store it is, how many changes it has seen, the traces after the last of them, and how many changes have
# left small row groups behind since these were merged.
_STATE = """
create table store_state (
    store_id uuid not null, generation bigint not null, n_traces bigint not null, loose integer not null
);
insert into store_state select uuid(), 0, count(*), 0 from traces;
"""

# What somebody or something said of a trace; rows are only added, and deleted with their trace. `created_at` is the
# trace's: with it in both tables, a page under a score filter reads only the row groups of its range. `params` is
# canonical JSON, '{}' for none; `step` is null for the whole trace; a boolean is 0 or 1 in `value`. What has neither a
# value nor a label has a reason.
_SCORES = """
create table scores (
    scorer varchar not null,
    version varchar not null,
    params varchar not null,
    created_at timestamptz not null,
    trace_id uuid not null,
    step integer,
    sample integer not null,
    value double,
    label varchar,
    answer varchar,
    explanation varchar,
    reason varchar,
    metadata json,
    scored_at timestamptz not null
);
create view labels as select * from scores where starts_with(scorer, 'label:');
"""

# Selections by name: which traces they chose, and how. The ids stay when a trace is deleted, so that what was chosen
# can still be checked: `sha256` is that of the ids, a line each, newest first. `query` is JSON; `created_at` is the
# trace's, as in `scores`.
_SELECTIONS = """
create table selections (
    name varchar not null,
    version integer not null,
    query json not null,
    n_traces bigint not null,
    sha256 varchar not null,
    made_at timestamptz not null
);
create table selected (
    name varchar not null, version integer not null, created_at timestamptz not null, trace_id uuid not null
);
"""

MIGRATIONS = (
    Migration(1, _TRACES, "drop table traces"),
    Migration(2, _STATE, "drop table store_state"),
    Migration(3, _SCORES, "drop view labels; drop table scores"),
    Migration(4, _SELECTIONS, "drop table selected; drop table selections"),
)
SCHEMA_VERSION = MIGRATIONS[-1].version

_HISTORY = """
create table schema_history (
    version integer not null,
    applied_at timestamptz not null default now(),
    applied_by varchar not null
)
"""
_APPLIED = "insert into schema_history (version, applied_by) values (?, ?)"


def prepare(connection: duckdb.DuckDBPyConnection, *, read_only: bool = False) -> None:
    """Brings the store to this package's schema; StoreUnusable, and the file untouched, where it cannot."""
    found = current_version(connection)
    if found == SCHEMA_VERSION:
        return
    if found > SCHEMA_VERSION:
        raise StoreUnusable(
            f"{_file(connection)}: was written by a newer tunix_rt (schema {found}; this version supports up to "
            f"{SCHEMA_VERSION}); install tunix-rt {_written_by(connection)} or newer. The file was not changed"
        )
    if found == 0 and (tables := connection.sql("select table_name from duckdb_tables() order by all").fetchall()):
        names = ", ".join(name for (name,) in tables[:5])
        raise StoreUnusable(
            f"{_file(connection)}: is a DuckDB file, but not a trace store (its tables: {names}); it was not changed"
        )
    if read_only:
        raise StoreUnusable(
            f"{_file(connection)}: was written by an older tunix_rt (schema {found}; this version needs "
            f"{SCHEMA_VERSION}); open it once without read_only to upgrade it"
        )
    migrate(connection, SCHEMA_VERSION)


def migrate(connection: duckdb.DuckDBPyConnection, to: int) -> None:
    """Goes up or down to a schema version, each step in a transaction; one that fails leaves the file as it was."""
    found = current_version(connection)
    up = [(step.version, step.up) for step in MIGRATIONS[found:to]]
    down = [(step.version, step.down) for step in reversed(MIGRATIONS[to:found])]
    for version, statements in up or down:
        connection.begin()
        try:
            if version == 1:
                connection.execute(_HISTORY)
            connection.execute(statements)
            if up:
                connection.execute(_APPLIED, [version, f"tunix-rt {__version__}"])
            else:
                connection.execute("delete from schema_history where version = ?", [version])
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def current_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The schema version of the open file; 0 where it has none yet."""
    try:
        return int(connection.sql("select coalesce(max(version), 0) from schema_history").fetchall()[0][0])
    except duckdb.CatalogException:
        return 0


def _written_by(connection: duckdb.DuckDBPyConnection) -> str:
    query = "select applied_by from schema_history order by version desc limit 1"
    return str(connection.sql(query).fetchall()[0][0]).removeprefix("tunix-rt ")


def _file(connection: duckdb.DuckDBPyConnection) -> str:
    query = "select path from duckdb_databases() where database_name = current_database()"
    return str(connection.sql(query).fetchall()[0][0])
