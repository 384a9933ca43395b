"""Restricts a SQL text to reading, and decides whether an error is about the text or about the store.

DuckDB's only switch against reaching outside is global, and takes away reading files as well; a READ ONLY transaction
still copies to a file. So there are three locks: the parsed text is a SELECT whose functions all read, the transaction
is READ ONLY, and the configuration is locked (`database.py`).
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import duckdb

from tunix_rt.errors import QueryInvalid
from tunix_rt.validation import short

# Of DuckDB's table functions those that only read. What is not here is refused: those that act (`checkpoint`,
# `enable_logging`, …), run a text as SQL (`query`, …) or follow an address in memory (`arrow_scan`, …), and new ones.
_READING = """
    duckdb_approx_database_count duckdb_available_metrics duckdb_columns duckdb_connection_count duckdb_constraints
    duckdb_coordinate_systems duckdb_databases duckdb_dependencies duckdb_dialects duckdb_eviction_queues
    duckdb_extension_repositories duckdb_extensions duckdb_external_file_cache duckdb_external_resource_types
    duckdb_external_resources duckdb_functions duckdb_grammar_extensions duckdb_indexes duckdb_keywords
    duckdb_live_query_metrics duckdb_log_contexts duckdb_logs duckdb_logs_parsed duckdb_memory duckdb_optimizers
    duckdb_prepared_statements duckdb_profiling_settings duckdb_schemas duckdb_secret_type_parameters
    duckdb_secret_types duckdb_secrets duckdb_sequences duckdb_settings duckdb_table_sample duckdb_tables
    duckdb_temporary_files duckdb_triggers duckdb_types duckdb_variables duckdb_views generate_series glob histogram
    histogram_values icu_calendar_names json_each json_tree parquet_bloom_probe parquet_file_metadata
    parquet_full_metadata parquet_kv_metadata parquet_metadata parquet_page_index parquet_scan parquet_schema
    pg_timezone_names pragma_collations pragma_database_size pragma_metadata_info pragma_platform pragma_show
    pragma_storage_info pragma_table_info pragma_user_agent pragma_version range read_blob read_csv read_csv_auto
    read_duckdb read_json read_json_auto read_json_objects read_json_objects_auto read_ndjson read_ndjson_auto
    read_ndjson_objects read_parquet read_single_csv_file read_single_json_file read_single_parquet_file read_text
    repeat repeat_row sniff_csv summary test_all_types test_vector_types unnest which_secret
"""
READING = frozenset(_READING.split())
# Functions within an expression that act, or take a text as SQL.
ACTING = frozenset({"json_serialize_plan", "nextval", "setval", "write_log"})

# The texts of `where` are among them.
_MOST_PARSED = 256
_parsed: dict[str, duckdb.Statement] = {}

_NAME = r'"function_name":"((?:[^"\\]|\\.)*)"'
_FUNCTIONS = re.compile(_NAME)
# Quotes inside a string are escaped in the JSON, so a string cannot match these.
_TABLE_FUNCTION = '"type":"TABLE_FUNCTION"'
_TABLE_FUNCTIONS = re.compile(r'"function":\{"class":"FUNCTION",[^{}\[\]]*?' + _NAME)
_CHANGES = re.compile(r'"type":"((?:INSERT|UPDATE|DELETE|MERGE)\w*)_QUERY_NODE"')
_EXPLAIN = re.compile(
    r"((?:\s|--[^\n]*\n|/\*.*?\*/)*explain\b(?:\s+analyze\b|\s*\([\w\s,]*\))?)", re.IGNORECASE | re.DOTALL
)
_MESSAGE_CHARS = 10_000
# What says that the store failed, or the files of a lake, whatever the query was.
_OF_THE_STORE = re.compile(
    r"Corrupt database file|Failed to commit|No space left|Disk quota|[Dd]isk.* full"
    r"|/(?:traces|scores)/day(?:=|%3D)[\d-]+/[\w-]+\.parquet"
)


def n_statements(query: str) -> int:
    """How many statements a text is; a duckdb.Error if it is not SQL."""
    return len(_parser(os.getpid()).cursor().extract_statements(query))


@lru_cache(maxsize=1)
def _parser(process: int) -> duckdb.DuckDBPyConnection:  # noqa: ARG001 - a forked child has one of its own
    # Without threads: DuckDB's own default connection has some, and at its end a forked child waited for them and died.
    return duckdb.connect(config={"threads": 1, "async_threads": 0})


def check_query(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raises QueryInvalid unless the text is one statement that only reads: a SELECT, or an EXPLAIN of one."""
    statements = cursor.extract_statements(query)
    if len(statements) != 1:
        raise QueryInvalid(f"SQL: {len(statements)} statements; run one at a time")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN and (begin := _EXPLAIN.match(query)):
        # The explained statement must be valid by itself; otherwise it is not a SELECT.
        query = query[begin.end() :]
        kind = _kind(cursor, query)
    if kind == duckdb.StatementType.MULTI:
        raise QueryInvalid("SQL: a PIVOT without IN creates a type, which sql() cannot do; write PIVOT … ON … IN (…)")
    if kind != duckdb.StatementType.SELECT:
        raise QueryInvalid(
            f"SQL: {kind.name} writes or changes settings, and sql() only reads; "
            "use add, load and delete to change the store, export to write files"
        )
    _check_functions(cursor, query, "SQL")


def check_expression(cursor: duckdb.DuckDBPyConnection, expression: str) -> None:
    """Raises QueryInvalid unless the text is one SQL expression that only reads."""
    _check_functions(cursor, in_parentheses(expression), f"where={short(expression)}")


def in_parentheses(expression: str) -> str:
    """A SELECT with the expression as its condition."""
    # The line break ends a comment, which could otherwise hide the closing parenthesis.
    return f"select 1 where ({expression}\n)"


def in_brackets(expression: str) -> str:
    """A SELECT with the expression in a list: where both parse, it closes no parenthesis that it has not opened."""
    return f"select [{expression}\n]"


def parsed(cursor: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    """One statement as DuckDB has parsed it, for any cursor: reading the text took 0.2 ms of the 1.0 ms of a page."""
    statement = _parsed.get(query)
    if statement is None:
        (statement,) = cursor.extract_statements(query)
        if len(_parsed) >= _MOST_PARSED:
            _parsed.clear()
        _parsed[query] = statement
    return statement


@contextmanager
def interruptible() -> Iterator[None]:
    """Around DuckDB's work: an interrupt is KeyboardInterrupt, as everywhere in Python, and not an error of DuckDB."""
    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None


@contextmanager
def query_errors(what: str, path: Path) -> Iterator[None]:
    """Around a query with input of the user (`what`): its errors are QueryInvalid; those of the store's file are not.

    `path` is the store's file.
    """
    try:
        with interruptible():
            yield
    except duckdb.Error as error:
        if _of_the_store(error, path):
            raise
        # RE2 repeats a pattern that is too large for it.
        raise QueryInvalid(f"{what}: {str(error)[:_MESSAGE_CHARS]}") from None
    except UnicodeDecodeError as error:
        # DuckDB quotes a value up to the middle of a character, and its error cannot be made.
        said = error.object.decode(errors="replace")
        raise QueryInvalid(f"{what}: {said[:_MESSAGE_CHARS]}") from None


def shown(filters: Mapping[str, object]) -> str:
    """The filters in a message, each shortened."""
    return ", ".join(f"{name}={short(value)}" for name, value in filters.items())


def _kind(cursor: duckdb.DuckDBPyConnection, query: str) -> duckdb.StatementType:
    try:
        statements = cursor.extract_statements(query)
    except duckdb.ParserException:
        return duckdb.StatementType.EXPLAIN
    return statements[0].type if len(statements) == 1 else duckdb.StatementType.EXPLAIN


def _check_functions(cursor: duckdb.DuckDBPyConnection, select: str, what: str) -> None:
    parsed = cursor.execute("select json_serialize_sql(?::varchar)", [select]).fetchall()[0][0]
    if not parsed.startswith('{"error":false'):
        raise QueryInvalid(f"{what}: cannot be read as a SELECT: {parsed}")
    if change := _CHANGES.search(parsed):
        raise QueryInvalid(f"{what}: {change[1]} inside a WITH changes the store; only reading is allowed")
    of_tables = _TABLE_FUNCTIONS.findall(parsed)
    if len(of_tables) != parsed.count(_TABLE_FUNCTION):
        raise QueryInvalid(f"{what}: this version of DuckDB does not report which functions are called")
    acting = {name for name in of_tables if name.lower() not in READING}
    acting |= {name for name in _FUNCTIONS.findall(parsed) if name.lower() in ACTING}
    if acting:
        raise QueryInvalid(f"{what}: {', '.join(sorted(acting))} may do more than read; only reading is allowed")


def _of_the_store(error: duckdb.Error, path: Path) -> bool:
    """Whether the store or DuckDB itself failed, and not the query."""
    said = str(error)
    kinds = duckdb.FatalException | duckdb.InternalException | duckdb.ConnectionException | duckdb.OutOfMemoryException
    if isinstance(error, kinds):
        return True
    return bool(_OF_THE_STORE.search(said)) or (isinstance(error, duckdb.IOException) and str(path) in said)
