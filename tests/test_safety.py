"""What keeps a store safe: backups, verifying, reading only, and migrations up and down."""

import gzip
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import tunix_rt as rt
from tests.processes import Program
from tunix_rt.store.engine import schema

# Of a DuckDB file.
_HEADER_BYTES, _BLOCK_BYTES = 3 * 4_096, 2**18
STORES = Path(__file__).parent / "stores"


def unpacked(version, folder):
    """A store file as schema version `version` wrote it."""
    path = folder / f"schema_{version}.duckdb"
    path.write_bytes(gzip.decompress((STORES / f"{path.name}.gz").read_bytes()))
    return path


def test_a_backup_is_the_store_at_one_moment(store, make_trace, tmp_path):
    records = store.add_many([make_trace(f"{n}?") for n in range(50)])
    path = store.backup(tmp_path / "backup.duckdb")
    store.add(make_trace("later"))
    backup = rt.TraceStore(path)
    assert list(backup.records(newest_first=False)) == records
    assert backup.verify().ok
    assert store.count() == 51


@pytest.mark.slow
def test_a_backup_is_consistent_while_others_write(store, tmp_path):
    program = (
        "import sys, tunix_rt as rt\n"
        "store = rt.TraceStore(sys.argv[1])\n"
        "for n in range(300):\n"
        "    store.add(rt.Trace(prompt=str(n), steps=['s'], final_answer='a'))\n"
        "    print(n, flush=True)\n"
    )
    with Program([sys.executable, "-c", program, str(store.path)], stdout=subprocess.PIPE) as writer:
        for n in range(5):
            acknowledged = int(writer.stdout.readline())
            path = store.backup(tmp_path / f"{n}.duckdb")
            prompts = [int(record.payload.prompt) for record in rt.TraceStore(path).records(newest_first=False)]
            assert prompts == list(range(len(prompts)))
            assert len(prompts) > acknowledged
        writer.stdout.read()
        assert writer.wait(timeout=60) == 0
    assert store.count() == 300


def test_a_backup_replaces_nothing_and_leaves_no_half_file(store, tmp_path):
    there = tmp_path / "there.duckdb"
    there.write_text("mine")
    with pytest.raises(rt.ExportFailed, match=r"there\.duckdb: already exists and was not changed"):
        store.backup(there)
    with pytest.raises(rt.ExportFailed, match="already exists"):
        store.backup(store.path)
    with pytest.raises(rt.ExportFailed, match=r"backup\.duckdb: cannot be written \(No such file"):
        store.backup(tmp_path / "nowhere" / "backup.duckdb")
    assert there.read_text() == "mine"
    assert not list(tmp_path.glob(".*partial"))
    assert store.count() == 0


def test_verify_reads_everything(store, make_trace):
    assert store.verify().ok
    store.add_many([make_trace(f"{n}?", meta={"big": 10**40, "small": 0.1, "é": [None, {}]}) for n in range(100)])
    report = store.verify(progress=False)
    assert (report.ok, report.n_traces, report.problems) == (True, 100, ())
    assert "traces read  100" in str(report)
    assert "<td><bdi>none</bdi></td>" in report._repr_html_()


def test_verify_finds_what_was_changed_behind_its_back(store, make_trace):
    records = store.add_many([make_trace(f"{n}?") for n in range(5)])
    store.close()
    with duckdb.connect(store.path) as connection:
        connection.execute("update traces set final_answer = '42' where id = ?", [records[1].id])
        connection.execute("update traces set n_steps = 7 where id = ?", [records[2].id])
        connection.execute("update traces set prompt = '' where id = ?", [records[3].id])
        connection.execute("insert into traces select * from traces where id = ?", [records[4].id])
    problems = "\n".join(store.verify().problems)
    assert "the file has 6 traces, but 5 were counted" in problems
    assert "1 traces have the id of another trace" in problems
    assert f"trace {records[1].id}: differs from what was stored under this id" in problems
    assert f"trace {records[2].id}: its counts of steps and characters are wrong" in problems
    assert f"trace {records[3].id}: prompt: " in problems
    assert str(records[0].id) not in problems


@pytest.mark.slow
def test_verify_tells_a_damaged_block(store, make_trace):
    store.add_many([make_trace("x" * 400 + f"{n}" * 40_000) for n in range(9)])
    store.close()
    query = "select max(block_id) from pragma_storage_info('traces') where column_name = 'prompt' and block_id >= 0"
    ((block,),) = store.sql(query).rows
    store.close()
    damaged = bytearray(store.path.read_bytes())
    damaged[_HEADER_BYTES + block * _BLOCK_BYTES + 1_000] ^= 0xFF
    store.path.write_bytes(damaged)
    report = rt.TraceStore(store.path).verify()
    assert not report.ok
    assert any("cannot be read" in problem and "is damaged (Corrupt" in problem for problem in report.problems)
    with pytest.raises(rt.StoreDamaged, match=r"traces\.duckdb: is damaged .* Restore a backup"):
        list(store.records())
    store.close()
    assert store.path.read_bytes() == damaged


def test_a_read_only_store_reads_and_changes_nothing(store, make_trace, tmp_path):
    records = store.add_many([make_trace(f"{n}?") for n in range(3)])
    path = store.backup(tmp_path / "published.duckdb")
    path.chmod(0o444)
    published = rt.TraceStore(path, read_only=True)
    assert published.get(records[1].id) == records[1]
    assert published.count(text="?") == 3
    assert len(published.page()) == 3
    for change in (
        lambda: published.add(make_trace()),
        lambda: published.add_many([make_trace()]),
        lambda: published.delete(records[0].id),
        lambda: published.load(rt.examples.folder()),
        lambda: published.migrate(to=1),
    ):
        with pytest.raises(rt.StoreReadOnly, match=r"published\.duckdb: is open with read_only=True; open it without"):
            change()
    assert published.export(tmp_path / "out.jsonl").rows == 3
    assert published.verify().ok
    assert published.info().n_traces == 3
    assert not list(tmp_path.glob("published.[jl]*"))


def test_a_store_that_is_not_there_cannot_be_opened_for_reading(tmp_path):
    with pytest.raises(rt.StoreUnusable, match="no such store; without read_only=True a new one is created"):
        rt.TraceStore(tmp_path / "nothing.duckdb", read_only=True)
    assert not list(tmp_path.glob("nothing*"))


def test_a_store_is_opened_for_reading_and_for_writing_in_one_process(store, make_trace):
    reading = rt.TraceStore(store.path, read_only=True)
    store.add(make_trace())
    assert reading.count() == store.count() == 1
    store.close()
    first = rt.TraceStore(store.path, read_only=True)
    assert first.count() == 1
    store.add(make_trace())
    assert store.count() == first.count() == 2


@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION))
def test_a_store_of_an_earlier_schema_is_brought_up_and_keeps_every_trace(version, tmp_path):
    path = unpacked(version, tmp_path)
    with duckdb.connect(path, read_only=True) as connection:
        before = connection.execute("select id::varchar, digest::varchar, prompt from traces order by id").fetchall()
    with pytest.raises(rt.StoreUnusable, match=rf"schema {version}; .*open it once without read_only to upgrade it"):
        rt.TraceStore(path, read_only=True)
    store = rt.TraceStore(path)
    assert store.schema_version == schema.SCHEMA_VERSION
    assert store.sql("select id::varchar, digest::varchar, prompt from traces order by id").rows == before
    assert store.verify().ok
    assert store.load(rt.examples.folder(), progress=False).added == 0
    history = store.sql("select version, applied_by from schema_history order by version").rows
    assert [applied for applied, _ in history] == list(range(1, schema.SCHEMA_VERSION + 1))
    assert all(by.startswith("tunix-rt ") for _, by in history)


@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION))
def test_a_store_goes_down_to_an_earlier_schema_and_up_again(version, store, make_trace):
    records = store.add_many([make_trace(f"{n}?") for n in range(3)])
    store.migrate(to=version)
    with duckdb.connect(store.path) as connection:
        assert schema.current_version(connection) == version
        connection.execute("insert into traces select * replace (uuid() as id) from traces limit 1")
    assert store.count() == 4
    assert store.schema_version == schema.SCHEMA_VERSION
    assert [store.get(record.id) for record in records] == records
    for nonsense in (0, schema.SCHEMA_VERSION + 1, "1"):
        with pytest.raises(rt.QueryInvalid, match=r"^to="):
            store.migrate(to=nonsense)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_migration_that_fails_leaves_the_file_as_it_was(direction, tmp_path, monkeypatch):
    path = unpacked(1, tmp_path)
    broken = schema.MIGRATIONS[1]._replace(**{direction: "create table half (a int); select nonsense"})
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (schema.MIGRATIONS[0], broken, *schema.MIGRATIONS[2:]))
        with pytest.raises(duckdb.Error, match="nonsense"):
            rt.TraceStore(path).migrate(to=1)
    store = rt.TraceStore(path)
    assert store.count() == 18
    assert store.sql("select count(*) from duckdb_tables() where table_name = 'half'").rows == [(0,)]
    assert store.verify().ok


def test_accepting_a_loss_needs_none(store, make_trace):
    store.add(make_trace())
    assert rt.TraceStore(store.path, accept_loss=True).count() == 1
