"""A lake beside a store: the same calls, the same results, over a folder of Delta tables."""

import errno
import os
import pickle
import shutil
import sys
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

import tunix_rt as rt
from tunix_rt.lake import lake as lake_module
from tunix_rt.lake import location as location_module
from tunix_rt.lake import rewriting as rewriting_module
from tunix_rt.lake import session as session_module
from tunix_rt.lake import table as table_module
from tunix_rt.lake import waiting as waiting_module
from tunix_rt.lake.kinds import TRACES
from tunix_rt.lake.location import LakeLocation, scrubbed
from tunix_rt.lake.table import LakeTable
from tunix_rt.store.engine import forks

MORNING = datetime(2026, 1, 31, 9, tzinfo=UTC)
HOSTILE = "'; drop table traces; -- <script> created_at >= '2026-01-01 00:00:00+00'::TIMESTAMP WITH TIME ZONE"


def rows(n: int = 60) -> list[dict]:
    """Rows of three days, of which several have the same prompt, and one a hostile text."""
    return [
        {
            "id": f"0190d000-0000-7000-8000-{at:012x}",
            "created_at": (MORNING + timedelta(hours=at)).isoformat(),
            "trace_version": "1.0",
            "prompt": HOSTILE if at == 7 else f"What is {at % 12} + 1?",
            "steps": [{"i": 0, "type": "reason", "content": "add one " * (1 + at % 5)}],
            "final_answer": str(at % 12 + at % 2),
            "meta": {
                "source": ("a", "b", HOSTILE)[at % 3],
                "model": "toy",
                "reward": at / 7,
                "expected_answer": str(at % 12 + 1),
            },
        }
        for at in range(n)
    ]


@pytest.fixture
def lake(tmp_path: Path) -> rt.TraceStore:
    return rt.connect(f"delta:{tmp_path}/lake")


def fill(store: rt.TraceStore, at_once: int) -> None:
    """Sixty traces, so many in each load, and two scores of each."""
    for at in range(0, 60, at_once):
        store.load(rows()[at : at + at_once], progress=False)
    store.score("answer", progress=False)
    store.score(lambda trace: len(trace.steps[0].content) > 20, name="long", version="1", progress=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[rt.TraceStore, rt.TraceStore]:
    """A store, and a lake of many files with the same traces and scores."""
    folder = tmp_path_factory.mktemp("both")
    settings = rt.Settings(database=folder / "traces.duckdb", workers=0)
    store, lake = rt.TraceStore(settings=settings), rt.connect(f"delta:{folder}/lake", settings=settings)
    for one in (store, lake):
        fill(one, 10)
        one.label(rows()[3]["id"], "good", annotator="ann")
        one.label(rows()[3]["id"], "bad", annotator="ann", note="a second look")
    return store, lake


SAME = {
    "filters": lambda one: [
        one.count(**filters)
        for filters in (
            {},
            {"source": "a"},
            {"source": HOSTILE},
            {"text": "DROP table"},
            {"since": MORNING + timedelta(hours=20), "until": MORNING + timedelta(hours=30)},
            {"meta": {"reward": rt.lt(3)}, "min_chars": 30},
            {"score": {"answer": True}},
            {"score": ["!long", "label:ann=bad"]},
            {"where": "n_chars > (select avg(n_chars) from traces)"},
            {"where": "id in (select trace_id from scores where scorer = 'long' and value = 1)"},
            {"ids": [rows()[5]["id"], rows()[50]["id"]]},
        )
    ],
    "pages": lambda one: [
        [str(record.id) for record in page]
        for page in (
            one.page(limit=7),
            one.page(limit=7).next_page(),
            one.page(limit=7).next_page().next_page().previous_page(),
            one.page(limit=5, offset=41),
            one.page(limit=5, score={"answer": True}).next_page(),
            one.page(limit=9, order_by="meta.reward"),
            one.page(limit=9, order_by="n_chars", descending=True).next_page(),
            one.page(limit=9, order_by="score.answer"),
        )
    ],
    "summaries": lambda one: [
        (record.preview, record.created_at, record.n_chars, record.facts, record.scores)
        for record in one.page(limit=60, scores="long").judged()
    ],
    "records": lambda one: list(one.records(newest_first=False, source="b")),
    "scan": lambda one: pa.Table.from_batches(one.scan(newest_first=False)),
    "get": lambda one: (one.get(rows()[3]["id"]), one.latest(), one.get(rows()[11]["id"][-40:])),
    "scores": lambda one: one.scores().arrow().drop_columns(["scored_at"]).to_pylist(),
    "labels": lambda one: one.sql("select trace_id, sample, label, explanation from labels order by sample").rows,
    "sql": lambda one: one.sql("select source, count(*), max(meta->'reward') from traces group by all order by 1").rows,
    "types": lambda one: one.sql("select * from traces join scores on id = trace_id limit 0").types,
    "groups": lambda one: one.groups().df().to_csv(),
    "runs": lambda one: len(one.runs()),
    "agreement": lambda one: str(one.agreement("answer", "long")),
    "disagreements": lambda one: [record.id for record in one.disagreements("answer", "long")],
    "flags": lambda one: str(one.flags()),
    "select": lambda one: (one.select(limit=9, seed=3).ids, one.select(source="a").digest),
    "compare": lambda one: (
        str(one.compare(rows()[3]["id"], rows()[4]["id"])),
        str(rt.compare(one.select(source="a"), one.select(source="b"))),
    ),
    "suggestions": lambda one: one.page(limit=1, score={"nobody": True}).note,
}


@pytest.mark.parametrize("call", SAME)
def test_a_lake_returns_what_a_store_returns(both, call):
    store, lake = both
    assert SAME[call](lake) == SAME[call](store)


def test_an_export_of_a_lake_is_that_of_the_store(both, tmp_path):
    written = []
    for one in both:
        one.export(tmp_path / f"{len(written)}.jsonl", scores=False, progress=False)
        written.append((tmp_path / f"{len(written)}.jsonl").read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 60
    with_scores = both[1].export(tmp_path / "scores.jsonl", progress=False)
    again = rt.TraceStore(":memory:")
    report = again.load(tmp_path / "scores.jsonl", progress=False)
    assert (report.added, report.scores_added) == (60, with_scores.scores) == (60, 122)


def test_a_page_reads_only_the_files_of_its_time(both, monkeypatch):
    lake = both[1]
    asked = []
    paths = LakeTable.paths
    monkeypatch.setattr(LakeTable, "paths", lambda self, files: asked.append(len(list(files))) or paths(self, files))
    lake.count(since=MORNING + timedelta(hours=30), until=MORNING + timedelta(hours=31))
    assert max(asked) <= 2 < len(lake._lake.traces.files())


def test_one_trace_is_read_from_its_file_alone(both, monkeypatch):
    lake = both[1]
    asked = []
    paths = LakeTable.paths
    monkeypatch.setattr(LakeTable, "paths", lambda self, files: asked.append(len(list(files))) or paths(self, files))
    # Its id says another time: the ids of all files are looked at, by what the files say of them.
    assert lake.get(rows()[33]["id"]).payload.prompt == rows()[33]["prompt"]
    assert asked[-1] <= 2 < max(asked) == len(lake._lake.traces.files())
    of_ids = "select bloom_filter_offset from parquet_metadata(?) where path_in_schema = 'id'"
    first = paths(lake._lake.traces, lake._lake.traces.files()[:1])[0]
    assert lake.sql(of_ids, first).rows[0][0] > 0


def test_adds_wait_in_a_journal_on_disk_and_every_read_of_this_process_sees_them(lake, tmp_path):
    records = lake.add_many([{"prompt": f"p{at}", "steps": ["s"], "final_answer": "x"} for at in range(20)])
    assert lake._lake.waiting.n_rows == 20
    assert not lake._lake.traces.files()
    # Another process of this machine, which shares the journal, commits them as well.
    assert rt.connect(f"delta:{tmp_path}/lake").count() == 20
    assert [record.id for record in lake.page()] == [record.id for record in reversed(records)]
    info = lake.info()
    assert (info.n_traces, info.waiting, info.files, info.version) == (20, 0, 1, 1)
    assert info.journal in str(info)
    assert "after 5 s" in str(info)
    assert lake.add({"prompt": "last", "steps": ["s"], "final_answer": "x"}).id == lake.latest().id
    lake.close()
    assert pickle.loads(pickle.dumps(lake)).count() == 21  # noqa: S301


def test_a_batch_is_committed_once_whatever_happens_to_its_writer(lake, monkeypatch):
    table = lake._lake.traces
    lake.add({"prompt": "once", "steps": ["s"], "final_answer": "x"})

    def killed(*_, **__):
        raise SystemExit("killed between data and commit")

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(LakeTable, "_commit", killed)
        lake.flush()
    table.refresh()
    assert table.files() == []
    assert len(list(Path(table.uri).rglob("*.parquet"))) == 1
    # Or between commit and the journal's forgetting.
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(type(lake._lake.waiting), "forget", killed)
        lake.flush()
    assert lake.count() == 1
    assert len(lake._lake.traces.files()) == 1
    batch = pa.Table.from_batches(table.read(table.files()[0]))
    assert table.append(batch, app="task", number=4)
    assert not table.append(batch, app="task", number=4)
    assert not table.append(batch, app="task", number=5, before=3)
    assert not table.append(batch.slice(0, 0), app="task", number=9)
    assert table.committed("task") == 4
    assert table.committed("nobody") is None


def test_writers_that_meet_try_again_and_a_reply_that_was_lost_is_noticed(lake, monkeypatch):
    table = lake._lake.traces
    batch = lake._lake._written([])
    lake.load(rows(3), progress=False)
    batch = pa.Table.from_batches(table.read(table.files()[0]))
    commit, tries = deltalake.DeltaTable.create_write_transaction, []

    def lost(self, *args, **options):
        commit(self, *args, **options)
        tries.append(1)
        raise CommitFailedError("the reply was lost")

    with monkeypatch.context() as patched:
        patched.setattr(table_module.DeltaTable, "create_write_transaction", lost)
        assert table.append(batch, app="a", number=1)
    assert len(tries) == 1
    assert lake.count() == 6
    with pytest.raises(rt.IdAmbiguous, match="2 ids"):
        lake.get(rows()[0]["id"])

    def refused(*_, **__):
        raise CommitFailedError("Concurrent transaction failed")

    monkeypatch.setattr(table_module.DeltaTable, "create_write_transaction", refused)
    monkeypatch.setattr(table_module, "_MOST_TRIES", 2)
    with pytest.raises(rt.StoreBusy, match="others changed the same files"):
        table.append(batch, app="a", number=2)


@pytest.mark.slow
def test_delete_rewrites_the_files_says_until_when_and_can_be_undone(lake):
    lake.load(rows(20), progress=False)
    lake.score("answer", progress=False)
    before = lake.info().version
    deleted = lake.delete(rows()[4]["id"], rows()[9]["id"])
    assert deleted == 2
    assert timedelta(days=6) < deleted.kept_until - datetime.now(UTC) <= timedelta(days=7)
    assert lake.count() == 18
    assert len(lake.scores()) == 18
    with pytest.raises(rt.TraceNotFound):
        lake.get(rows()[4]["id"])
    with pytest.raises(rt.TraceNotFound):
        lake.delete(rows()[4]["id"], rows()[1]["id"])
    undoable = lake.delete(source="a", undoable=True)
    assert lake.count(source="a") == 0
    assert undoable.undo() == len(undoable) == 6
    assert lake.count() == 18
    assert len(lake.scores()) == 18
    assert lake.delete(source="nobody") == 0
    then = rt.connect(f"delta:{lake.path}", as_of=before)
    assert then.count() == 20
    assert len(then.scores()) == 20
    assert rt.connect(f"delta:{lake.path}", as_of=datetime.now(UTC)).count() == 18
    for change in (
        lambda: then.add({"prompt": "p", "steps": ["s"], "final_answer": "x"}),
        lambda: then.delete(where="true"),
        then.compact,
    ):
        with pytest.raises(rt.StoreReadOnly):
            change()
    assert lake.delete(where="true") == 18
    assert lake.page().records == ()
    assert list(lake.records()) == []
    with pytest.raises(rt.QueryInvalid):
        lake.delete()


@pytest.mark.slow
def test_compact_merges_the_files_of_a_day_in_order_while_others_append(lake):
    for at in range(0, 30, 3):
        lake.load(rows(30)[at : at + 3][::-1], progress=False)
    before = list(lake.records())
    files = lake.info().files
    report = lake.compact(progress=False)
    assert files == report.files_before > report.files_after == 2
    assert report.moved == 30
    assert "30 rows" in str(report)
    table = lake._lake.traces
    for file in table.files():
        times = pa.Table.from_batches(table.read(file, ["created_at"]))["created_at"].to_pylist()
        assert times == sorted(times)
        assert {str(time.date()) for time in times} == {file.day}
    assert list(lake.records()) == before
    gone = table.files()
    lake.add({"prompt": "meanwhile", "steps": ["s"], "final_answer": "x"})
    other = rt.connect(f"delta:{lake.path}")
    assert other.delete(where="true") == 31
    # What another has replaced is not replaced again.
    assert not table.replace(gone, [], changes_data=False)
    assert lake.count() == 0


def test_clocks_that_differ_change_neither_order_nor_bounds(lake):
    """Batches come from machines whose clocks are an hour apart: the rows' own times decide."""
    for at in (9, 2, 7, 0, 5):
        lake.load(rows(10)[at : at + 1], progress=False)
    with_its_time = lake.add({"prompt": "now", "steps": ["s"], "final_answer": "x"})
    assert lake.get(with_its_time.id) == with_its_time
    assert lake.delete(with_its_time.id) == 1
    with pytest.raises(rt.TraceNotFound):
        lake.get(with_its_time.id)
    assert [record.created_at.hour for record in lake.page()] == [18, 16, 14, 11, 9]
    assert lake.count(since=MORNING + timedelta(hours=3), until=MORNING + timedelta(hours=8)) == 2


def test_what_is_no_lake_or_a_newer_one_is_refused_and_left_as_it_is(tmp_path, lake):
    kinds = TRACES.schema
    deltalake.DeltaTable.create(str(tmp_path / "other" / "traces"), kinds)
    newer = {"tunix_rt.schema": "99", "tunix_rt.version": "9.9"}
    deltalake.DeltaTable.create(
        str(tmp_path / "newer" / "traces"), kinds, configuration=newer, raise_if_key_not_exists=False
    )
    for name, said in (("other", "not one of tunix_rt"), ("newer", "tunix-rt 9.9 or newer")):
        with pytest.raises(rt.StoreUnusable, match=said):
            rt.connect(f"delta:{tmp_path}/{name}")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(rt.StoreUnusable, match="not a folder"):
        rt.connect(f"delta:{file}")
    with pytest.raises(rt.StoreUnusable, match="no older version"):
        rt.connect(f"delta:{tmp_path}/nothing", as_of=1)
    for as_of in (99, -1, "yesterday", True):
        with pytest.raises(rt.QueryInvalid, match="as_of"):
            rt.connect(f"delta:{lake.path}", as_of=as_of)
    with pytest.raises(rt.QueryInvalid, match="only a lake"):
        rt.connect(":memory:", as_of=1)
    lake.load(rows(1), progress=False)
    for data in (tmp_path / "lake").rglob("*.parquet"):
        data.unlink()
    # The query is not to blame.
    works = (lambda: lake.page(text="x"), lambda: lake.count(where="n_steps > 0"), lambda: lake.sql("from traces"))
    for work in (lambda: lake.get(rows()[0]["id"]), *works):
        with pytest.raises(rt.StoreDamaged, match="missing or broken"):
            work()


@pytest.mark.parametrize(
    "target",
    [
        "s3://user:hunter2@host/x",  # pragma: allowlist secret
        "s3://bucket",
        "s3://bucket/a?key=hunter2",
        "s3://b/..",
        "gs://hunter2/x",
        "s3:///x",
    ],
)
def test_an_address_is_checked_and_what_may_be_a_password_not_repeated(target):
    with pytest.raises(rt.StoreUnusable) as caught:
        rt.connect(target)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(rt.StoreUnusable) as caught:
        rt.TraceStore(target)
    with pytest.raises(rt.StoreUnusable):
        LakeLocation.of(b"s3://x/y")


def test_a_store_refuses_the_address_of_a_lake_and_names_connect(tmp_path):
    for target in ("s3://bucket/traces", f"delta:{tmp_path}"):
        with pytest.raises(rt.StoreUnusable, match=r"connect"):
            rt.TraceStore(target)
    store = rt.connect(tmp_path / "store.duckdb")
    assert type(store) is rt.TraceStore
    assert store.count() == 0


def test_messages_of_the_storage_lose_their_keys(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    said = scrubbed("GET http://user:pw@host/x?sig=1 very-secret <Key>AKIAABCDEFGHIJKLMNOP</Key> token=abc \x1b[31m↳")
    assert "secret" not in said
    assert "AKIA" not in said
    assert "pw" not in said
    assert "abc" not in said
    location = LakeLocation.of("s3://bucket/traces")
    cases = {
        "error sending request for url (http://h/)": rt.StoreUnreachable,
        "403 Forbidden": rt.StoreUnusable,
        "list request ↳ GET http://h/ in 1ms - Server returned non-2xx status code ↳ 404 Not Found ↳": rt.StoreUnusable,
        # Numbers are those of milliseconds.
        "GET http://h/ in 403.9ms, after 2 retries - HTTP error ↳ Connection refused": rt.StoreUnreachable,
        "list request ↳ GET http://h/ in 1.404s - HTTP error ↳ Connection refused": rt.StoreUnreachable,
        "GET http://h/ in 1ms - Server returned non-2xx status code ↳ 401 ↳": rt.StoreUnusable,
        "Server returned error response: status code: 507 Insufficient Storage": rt.StoreFull,
        "No space left on device": rt.StoreFull,
        "something else": rt.StoreUnusable,
    }
    for text, kind in cases.items():
        assert type(location.fault(text)) is kind
        assert "http:" not in str(location.fault(text))


def test_what_a_lake_does_not_have_is_refused_by_name(lake):
    for name in ("hold", "backup", "verify", "migrate", "health", "queue", "selections", "unselect"):
        with pytest.raises(rt.QueryInvalid, match=rf"no {name}\(\)"):
            getattr(lake, name)()
    with pytest.raises(rt.QueryInvalid, match="stores no selections"):
        lake.select("train")
    assert lake.schema_version == 1
    assert lake_module.LAKE_SCHEMA_VERSION == 1


def test_without_the_extra_one_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(rt.StoreUnusable, match=r'pip install "tunix-rt\[lake\]"'):
        rt.connect(f"delta:{tmp_path}/lake")


def test_enough_adds_are_committed_without_a_read_and_a_storage_that_fails_is_logged(lake, monkeypatch, caplog):
    session = lake._lake
    session.check_writable()
    monkeypatch.setattr(waiting_module, "FLUSH_ROWS", 3)
    lake.add_many([{"prompt": "p", "steps": ["s"], "final_answer": "x"}] * 3)
    session._timer.join()
    other = LakeTable(session.location, TRACES)
    assert other.n_rows == 3
    with monkeypatch.context() as patched:
        patched.setattr(LakeTable, "append", lambda *_, **__: (_ for _ in ()).throw(rt.StoreFull("no room")))
        session_module._flush_quietly(weakref.ref(session))
        assert "no room" not in caplog.text
        lake.add({"prompt": "p", "steps": ["s"], "final_answer": "x"})
        session_module._flush_quietly(weakref.ref(session))
    assert "were not committed: no room" in caplog.text
    assert lake.count() == 4
    lake.close()
    # At exit nothing more is tried, which would fail where the folder was a temporary one.
    shutil.rmtree(session.waiting.path.parent)
    caplog.clear()
    session_module._flush_quietly(weakref.ref(session))
    assert caplog.text == ""


def test_what_others_replace_meanwhile_is_looked_at_again_and_large_files_are_left(lake, monkeypatch):
    for at in range(0, 12, 3):
        lake.load(rows(12)[at : at + 3], progress=False)
    replace, told = LakeTable.replace, []

    def late(self, *args, **options):
        told.append(1)
        return len(told) > 1 and replace(self, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(LakeTable, "replace", late)
        assert lake.delete(rows()[1]["id"]) == 1
    assert lake.count() == 11
    with monkeypatch.context() as patched, pytest.raises(rt.StoreBusy, match="some traces are not deleted"):
        patched.setattr(LakeTable, "replace", lambda *_, **__: False)
        lake.delete(rows()[2]["id"])
    monkeypatch.setattr(rewriting_module, "_MERGED_BYTES", 1)
    assert lake.compact(progress=False).moved == 0


def test_a_forked_child_adds_and_is_refused_the_rest_and_its_parent_goes_on(lake, monkeypatch):
    assert lake.count() == 0
    before = rt.connect(f"delta:{lake.path}", as_of=0)
    lake.add({"prompt": "before", "steps": ["s"], "final_answer": "x"})
    forks._before()
    assert not lake._lake.waiting._journal.file.is_open
    forks._after_in_parent()
    assert lake.count() == 1
    # As in the child; tests/test_lake_processes.py has real ones.
    forks._before()
    forks._after_in_child()
    with monkeypatch.context() as patched:
        patched.setattr(location_module, "_process", 0)
        lake.add({"prompt": "child", "steps": ["s"], "final_answer": "x"})
        for work in (
            lake.count,
            before.count,
            lambda: lake.load(rows(1), progress=False),
            lambda: rt.connect("s3://bucket/traces"),
        ):
            with pytest.raises(rt.StoreUnusable, match="forked from one that used a lake"):
                work()
        session_module._flush_quietly(weakref.ref(lake._lake))
        lake.close()
    assert [record.preview for record in lake.page()] == ["child", "before"]


def test_a_file_that_does_not_fit_is_not_left_in_part(lake, monkeypatch):
    lake.load(rows(1), progress=False)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(rt.StoreFull, match="the storage is full"):
        patched.setattr(os, "fsync", full)
        lake.load(rows(3)[1:], progress=False)
    assert len(list(Path(lake._lake.traces.uri).rglob("*.parquet"))) == 1
    assert lake.load(rows(3), progress=False).added == 2


def test_sql_that_cannot_be_planned_says_what_a_store_says(both):
    for query in ("select nonsense from traces", "select * from traces where created_at > 'no time'", "from nowhere"):
        said = []
        for one in both:
            with pytest.raises(rt.QueryInvalid) as caught:
                one.sql(query)
            said.append(str(caught.value))
        assert said[0].splitlines()[0] == said[1].splitlines()[0]
    for since in ("0044-03-15 (BC) 12:00:00", "infinity", "290000-01-01"):
        counted = [
            one.sql("select count(*) from traces where created_at >= ?::timestamptz", since).rows for one in both
        ]
        assert counted[0] == counted[1]
