"""What a SQL text can do, in `sql()` and in `where=`: read, or be refused with one error; and Ctrl-C in the middle."""

import datetime as dt
import decimal
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pytest

import tunix_rt as rt
from tests.processes import told_by
from tunix_rt.store.engine.statement import ACTING, READING

# Longer than anybody waits.
ENDLESS = "(select sum(hash(range)) from range(20000000000000)) > 0"

PROGRESS_BARS = """
import sys, duckdb, tunix_rt as rt
setting = "select value from duckdb_settings() where name = 'enable_progress_bar'"
store = rt.TraceStore(sys.argv[1])
with store._session.cursor() as cursor:
    print(cursor.execute(setting).fetchall())
print(store._session._files.database._running().execute(setting).fetchall())
print(duckdb.connect().execute(setting).fetchall())
"""

# What DuckDB 2.0 has and no SQL text may call. A function that is in neither list is new: see whether it only reads.
REFUSED = {
    "add_grammar_extension",
    "arrow_scan",
    "arrow_scan_dumb",
    "checkpoint",
    "create_external_resource",
    "deregister_external_resource",
    "destroy_external_resource",
    "disable_logging",
    "disable_profiling",
    "enable_logging",
    "enable_profiling",
    "force_checkpoint",
    "json_execute_serialized_sql",
    "pandas_scan",
    "python_arrow_scan",
    "python_map_function",
    "query",
    "query_table",
    "register_external_resource",
    "register_external_resource_type",
    "remove_grammar_extension",
    "seq_scan",
    "truncate_duckdb_logs",
}
# Functions whose value changes from call to call, which is all that they do.
CHANGING = {
    "current_connection_id",
    "current_query",
    "current_query_id",
    "current_transaction_id",
    "currval",
    "error",
    "gen_random_uuid",
    "getvariable",
    "random",
    "setseed",
    "sleep_ms",
    "stats",
    "uuid",
    "uuidv4",
    "uuidv7",
    "vector_type",
}


def calls(store, tmp_path, **filters):
    """Each call that takes filters."""
    return [
        lambda: store.page(**filters),
        lambda: store.count(**filters),
        lambda: store.latest(**filters),
        lambda: list(store.scan(**filters)),
        lambda: list(store.records(**filters)),
        lambda: store.export(tmp_path / "out.jsonl", **filters),
        lambda: store.delete(**filters),
    ]


def settings(store):
    return store.sql("select name, value from duckdb_settings() order by name").arrow().to_pylist()


@pytest.mark.slow
def test_duckdb_shows_no_progress_bar_of_its_own(tmp_path):
    """By default it does where it finds a prompt or a notebook, as in a program that is no file."""
    program = [sys.executable, "-W", "error", "-c", PROGRESS_BARS, tmp_path / "runs.duckdb"]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["[('false',)]", "[('false',)]", "[('true',)]"]


def test_every_function_of_duckdb_is_known_to_read_or_refused():
    with duckdb.connect() as connection:
        found = connection.execute(
            "select distinct function_name from duckdb_functions() where function_type in ('table', 'table_macro')"
        ).fetchall()
        changing = connection.execute(
            "select distinct function_name from duckdb_functions() "
            "where function_type = 'scalar' and (has_side_effects or stability = 'VOLATILE')"
        ).fetchall()
    assert {name for (name,) in found} == READING | REFUSED
    assert {name for (name,) in changing} - ACTING <= CHANGING


@pytest.mark.parametrize("name", sorted(REFUSED | ACTING))
def test_functions_that_act_are_refused_wherever_they_are(same_store, name):
    for query in (
        f"select * from {name}()",
        f'from system.main."{name.upper()}"() t',
        f"explain analyze select * from {name}('x')",
        f"with a as (from {name}(1)) from a",
        f"select 1 where exists (from {name}('x'))",
        f"describe from {name}()",
        f"pivot (from {name}()) on a in (1) using count(*)",
    ):
        with pytest.raises(rt.QueryInvalid, match=f"SQL: {name} may do more than read"):
            same_store.sql(query)
    with pytest.raises(rt.QueryInvalid, match=f"where=.* {name} may do more than read"):
        same_store.count(where=f"exists (from {name}('x'))")


@pytest.mark.parametrize("name", sorted(ACTING))
def test_expressions_that_act_are_refused(store, name):
    for expression in (f"{name}('x')", f"list_transform([1], lambda x: {name}(x))", f"prompt.{name}()"):
        with pytest.raises(rt.QueryInvalid, match=f"SQL: {name} may"):
            store.sql(f"select {expression} from traces")
        for call in (store.count, store.delete):
            with pytest.raises(rt.QueryInvalid, match=f"{name} may"):
                call(where=f"{expression} is null")


@pytest.mark.parametrize(
    "query",
    [
        "explain analyze copy (select 1) to 'written.csv'",
        "EXPLAIN /* a comment */ ANALYZE copy (select 1) to 'written.csv'",
        "explain (analyze, format json) copy (select 1) to 'written.csv'",
        "-- a comment\nexplain copy (select 1) to 'written.csv'",
        "explain analyze set global threads = 1",
        "explain analyze create temp secret s (type http)",
        "explain analyze create table main.t as select 1",
        "explain analyze delete from traces",
        "from enable_logging(storage = 'file', storage_path = 'written')",
        "with gone as (delete from traces returning id) from gone",
        "select * from (with gone as (delete from traces) from traces)",
        "copy traces to 'written.csv'",
        "export database 'written'",
        "attach 'written.duckdb'",
        "detach store",
        "use memory",
        "set search_path = 'memory'",
        "set variable x = 1",
        "create temp table traces (a int)",
        "create temp macro length(x) as 1",
        "prepare p as select 1",
        "execute p",
        "call checkpoint()",
        "pragma enable_profiling",
        "pivot traces on source",
        "from 'https://example.invalid/x.csv'",
        "begin",
        "commit",
        "select 1; copy traces to 'written.csv'",
        "from written",
    ],
)
def test_a_text_changes_neither_files_nor_settings_nor_what_others_see(same_filled, query):
    written = "a variable of the caller's, which no SQL text reads"
    before = settings(same_filled)
    with pytest.raises(rt.QueryInvalid, match=r"^SQL: "):
        same_filled.sql(query)
    assert written
    assert not list(Path().iterdir())
    assert settings(same_filled) == before
    assert same_filled.count() == 25
    assert same_filled.sql("select max(length(prompt)) from traces").rows == [(7,)]


def test_what_a_text_leaves_behind_ends_with_it(filled):
    Path("a.csv").write_text("a,b\n1,2\n3\n")
    assert filled.sql("from read_csv('a.csv', store_rejects = true, rejects_table = 'traces')").n_rows == 1
    filled.sql("select setseed(0.5)")
    assert filled.count() == 25
    tables = filled.sql("select table_name from duckdb_tables() order by all").rows
    assert tables == [("schema_history",), ("scores",), ("selected",), ("selections",), ("store_state",), ("traces",)]
    assert filled.sql("select random()").rows != filled.sql("select random()").rows


def test_the_configuration_is_locked_beneath_all_that(filled):
    with filled._session.cursor() as cursor:
        with pytest.raises(duckdb.Error, match="configuration has been locked"):
            cursor.execute("from enable_logging(storage = 'file', storage_path = 'written')")
        with pytest.raises(duckdb.Error, match="configuration has been locked"):
            cursor.execute("set global threads = 1")
    assert settings(filled) == settings(filled)


def test_files_of_the_user_can_be_read(store):
    Path("a.csv").write_text("a,b\n1,2\n")
    Path("a.json").write_text('{"a": 1}')
    for query in (
        "select a from 'a.csv'",
        "select a from read_csv('a.csv')",
        "select a from read_json('a.json')",
        "select 1 from read_text('a.csv')",
        "select 1 from glob('*.csv')",
        "select 1 from sniff_csv('a.csv')",
        "explain analyze from 'a.csv'",
    ):
        assert store.sql(query).n_rows == 1
    assert store.count(where="1 in (select a from 'a.csv')") == 0


@pytest.mark.parametrize(
    "where",
    [
        "exists (from 'missing.csv')",
        "exists (from 'https://example.invalid/x.csv')",
        "exists (from read_parquet('a.csv'))",
        "prompt::int > 0",
        "no_such_function(prompt)",
        "no_such_column = 1",
        "error(prompt) is null",
        "prompt",
        "regexp_matches(prompt, '(')",
        "now() > 5",
        "id = ?",
    ],
)
def test_a_where_that_fails_is_told_as_such_and_the_store_goes_on(same_filled, tmp_path, where):
    Path("a.csv").write_text("a\n")
    for call in calls(same_filled, tmp_path, where=where, min_steps=1):
        same_filled.count()
        duckdb_before = same_filled._session._files.database._duckdb
        with pytest.raises(rt.QueryInvalid, match=r"^where=.*, min_steps=1: "):
            call()
        assert same_filled._session._files.database._duckdb is duckdb_before
        assert same_filled._session._files.database.attached
    assert same_filled.count() == 25


@pytest.mark.slow
def test_a_where_that_takes_too_much_memory_is_told_as_such_and_the_store_goes_on(filled, tmp_path):
    for call in calls(filled, tmp_path, where="(select list(range) from range(40000000)) is null"):
        with pytest.raises(rt.MemoryLimitReached, match="the 512 MB of memory that the store may use"):
            call()
    assert filled.count() == 25


@pytest.mark.parametrize(
    "where",
    [
        "true) or (true",
        "true) union select (true",
        "true) limit (1",
        "true -- ",
        "1) /* ",
        "true]) or ([true",
        "true; delete from traces",
        "with gone as (delete from traces) select 1",
        "exists (with gone as (delete from traces returning 1) from gone)",
    ],
)
def test_a_where_is_one_expression_that_leaves_the_other_filters_alone(same_filled, tmp_path, where):
    for call in calls(same_filled, tmp_path, where=where, source="nowhere")[1::5]:
        with suppress(rt.QueryInvalid):
            assert call() == 0
    assert same_filled.count() == 25


# RE2 takes no pattern of this length.
@pytest.mark.parametrize("text", ["a" * 1_000_000, "é" * 1_000_000], ids=["ASCII", "not ASCII"])
def test_a_text_that_is_longer_than_any_trace_is_in_none(filled, tmp_path, text):
    for call in calls(filled, tmp_path, text=text)[:2]:
        assert not call()
    assert filled.count() == 25


@pytest.mark.parametrize("query", [None, b"select 1", 3, "", " ", ";", "--", "\ud800", "select '\ud800'", "\0"])
def test_what_is_no_sql_text_is_told(same_store, query):
    with pytest.raises(rt.QueryInvalid, match=r"^SQL: "):
        same_store.sql(query)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.int64(3), 3),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (np.datetime64("2026-01-31"), dt.date(2026, 1, 31)),
        (decimal.Decimal("1.5"), decimal.Decimal("1.5")),
        (dt.time(1, 2), dt.time(1, 2)),
        (None, None),
        ([1, 2], [1, 2]),
        ("a\0b", "a\0b"),
    ],
)
def test_parameters_of_many_types_are_bound(same_store, value, found):
    assert same_store.sql("select ? as x", value).rows == [(found,)]


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, "\ud800", 10**40, 1 + 2j, [object()], {"a": object()}, {"\ud800": 1}, type, range(3)]
)
def test_a_parameter_that_duckdb_has_no_type_for_is_told(same_store, value):
    with pytest.raises(rt.QueryInvalid, match=r"^SQL: "):
        same_store.sql("select ?", value)


def test_a_parameter_that_is_nested_without_end_or_fails_by_itself_is_told(store):
    class Deleted:
        @property
        def item(self):
            raise RuntimeError("the buffer has been deleted")

    deep = []
    for _ in range(2_000):
        deep = [deep]
    for value in (deep, {"a": deep}, Deleted()):
        with pytest.raises(rt.QueryInvalid, match=r"^SQL: "):
            store.sql("select ?", value)


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("date '10000-01-01'", "10000-01-01"),
        ("timestamp '290000-01-01'", "9089348860800000000"),
        ("[timestamp 'infinity']", "9223372036854775807"),
        ("{'a': {'b': date '10000-01-01'}}", "10000-01-01"),
        ("170141183460469231731687303715884105727::hugeint", "170141183460469231731687303715884105727"),
        ("union_value(a := 1)", "1"),
        ("map {'a': 1}", "a"),
        ("interval 3 month", "3"),
        ("1::variant", "metadata"),
        ("'101'::bit", "x05"),
        ("'a'::enum('a', 'b')", "a"),
        ("time with time zone '12:00:00+05'", "12:00"),
        ("time '24:00:00'", "00:00"),
        ("(1, 2)", "2"),
        ("1 as a, 2", "2"),
    ],
)
def test_results_of_odd_types_are_shown(same_store, expression, shown):
    result = same_store.sql(f"select {expression} as a")
    assert shown in str(result)
    assert shown in result._repr_html_()
    assert len(result.rows) == 1
    # pandas has no type for some of them, and says so.
    with suppress(rt.QueryInvalid):
        assert len(result.df()) == 1


def test_every_type_of_duckdb_is_shown(store):
    result = store.sql("from test_all_types()")
    assert result.n_rows == 3
    assert str(result)
    assert result._repr_html_()
    assert store.sql("from traces where false").rows == []


@pytest.mark.slow
def test_a_damaged_store_is_no_fault_of_the_query(store, make_trace):
    store.add_many([make_trace("x" * 400 + f"{n}" * 40_000) for n in range(9)])
    store.close()
    query = "select max(block_id) from pragma_storage_info('traces') where column_name = 'prompt' and block_id >= 0"
    ((block,),) = store.sql(query).rows
    store.close()
    damaged = bytearray(store.path.read_bytes())
    damaged[3 * 4_096 + block * 2**18 + 1_000] ^= 0xFF
    store.path.write_bytes(damaged)
    for call in (
        lambda: store.count(where="length(prompt) + random() > 5"),
        lambda: list(store.records(where="contains(prompt, '7')")),
        lambda: store.count(text="7"),
        lambda: store.sql("select prompt from traces"),
    ):
        with pytest.raises(rt.StoreDamaged, match="is damaged"):
            call()


# Sends SIGINT when the main thread has been in one call for a while, which is then one of DuckDB's; and again, for on a
# busy machine that may have been another call.
INTERRUPT = """
import os, signal, sys, threading, time
import tunix_rt as rt
def interrupt():
    main, last, n = threading.main_thread().ident, None, 0
    while n < 50:
        frame = sys._current_frames()[main]
        here = (id(frame), frame.f_lasti)
        n = n + 1 if here == last else 0
        last = here
        time.sleep(0.005)
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
path, endless = sys.argv[1:3]
store = rt.TraceStore(path)
store.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))
store.count()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        "store.sql(f'select 1 where {endless}')",
        "store.count(where=endless)",
        "list(store.records(where=endless))",
        "store.export('out.jsonl', where=endless)",
        "store.delete(where=endless)",
    ],
)
def test_an_interrupt_ends_the_query_and_not_the_store(tmp_path, call):
    program = (
        f"{INTERRUPT}threading.Thread(target=interrupt, daemon=True).start()\n"
        f"try:\n    {call}\nexcept KeyboardInterrupt:\n    print('interrupted', store.count())\n"
    )
    assert told_by(program, tmp_path / "runs.duckdb", ENDLESS, cwd=tmp_path) == ["interrupted 1"]
    assert not list(tmp_path.glob("out*"))


@pytest.mark.slow
def test_the_command_that_is_interrupted_in_a_query_says_so(tmp_path):
    program = (
        f"{INTERRUPT}threading.Thread(target=interrupt, daemon=True).start()\n"
        "store.close()\n"
        "from tunix_rt.cli import app\n"
        "sys.stderr = sys.stdout\n"
        "sys.argv = ['tunix-rt', 'list', '--store', path, '--where', endless]\n"
        "try:\n    app()\nexcept SystemExit as end:\n    print(end.code)\n"
    )
    assert told_by(program, tmp_path / "runs.duckdb", ENDLESS) == ["tunix-rt: interrupted", "130"]


def test_an_interrupt_while_another_thread_is_in_duckdb_is_the_main_threads(filled):
    """A thread's query goes on, as any thread's work does."""
    began = threading.Event()
    found = []

    def read():
        began.set()
        found.append(filled.sql("select sum(hash(range)) is not null from range(20_000_000)").rows)

    thread = threading.Thread(target=read)
    thread.start()
    began.wait()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        thread.join()
    thread.join()
    assert found == [[(True,)]]
    assert filled.count() == 25


def test_an_error_that_quotes_half_a_character_is_told(store):
    store.add({"prompt": "世界", "steps": ["a"], "final_answer": "b"})
    for act in (
        lambda: store.sql("select cast(prompt as bit) from traces"),
        lambda: store.count(where="cast(prompt as bit) is null"),
    ):
        with pytest.raises(rt.QueryInvalid, match="Invalid character encountered in string -> bit"):
            act()
