"""The files of a running job: each comes in once, when it is whole, while others are still being written."""

import gzip
import itertools
import json
import shutil
import threading
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.processes import ended, start
from tests.test_load import ROW, counts, lines, parquet, rows, write
from tunix_rt.store.ingest import watch as watching

EVERY = 0.01


@pytest.fixture
def watcher(store, runs, monkeypatch):
    """Looks at the folder when it is called, and gives what that look brought: (added, known, rejected), or None."""
    # However long a load took, the next look may read the file again.
    monkeypatch.setattr(watching, "_SHARE_OF_TIME", float("inf"))
    watch = watching.Watch(store._session, runs, None)

    def look(*, last=False):
        report = watch.poll(last=last)
        return counts(report) if report.added or report.rejected_count else None

    return look


WRITER = """
import json, os, sys, time
folder, n_files, n_rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
for file in range(n_files):
    with open(f"{folder}/step-{file}.jsonl", "wb", buffering=0) as out:
        for row in range(n_rows):
            line = json.dumps({"prompt": f"{file}, {row}?", "steps": ["…"], "final_answer": str(row)}).encode() + b"\\n"
            # In pieces, so that a look may come in the middle of a row.
            for at in range(0, len(line), 30):
                out.write(line[at : at + 30])
            time.sleep(0.001)
"""


@pytest.mark.slow
def test_the_files_of_a_running_job_come_in_while_it_writes_each_row_once(store):
    # Not there yet: the job makes it.
    writer = start(WRITER, "rollouts", 5, 60, output="writer.txt")
    reports = list(store.watch("rollouts", every=EVERY, stop=lambda: writer.poll() is not None))
    assert ended(writer) == 0
    assert sum(report.added for report in reports) == 300
    assert sum(report.rejected_count for report in reports) == 0
    assert {report.source for report in reports} == {"rollouts"}
    assert len({record.payload.prompt for record in store.records()}) == store.count() == 300


@pytest.mark.slow
def test_what_is_there_comes_in_at_once_and_an_event_ends_the_watch(store, runs):
    write(runs / "a.jsonl", lines(rows(3)))
    stop = threading.Event()
    for report in store.watch(runs, every=EVERY, stop=stop):
        assert counts(report) == (3, 0, 0)
        write(runs / "late.jsonl", lines(rows(4)[3:]))
        if store.count() == 3 and not stop.is_set():
            stop.set()
            break
    # Whoever goes on later finds what has come in between.
    (report,) = store.watch("runs/*.jsonl", every=EVERY, stop=stop)
    assert counts(report) == (1, 3, 0)
    assert list(store.watch(runs, every=EVERY, stop=stop)) == []


def test_an_interrupt_ends_the_watch_without_an_error(store, runs):
    write(runs / "a.jsonl", lines(rows(3)))
    asked = []

    def interrupted():
        asked.append(store.count())
        if asked[-1]:
            raise KeyboardInterrupt
        return False

    assert [counts(report) for report in store.watch(runs, every=EVERY, stop=interrupted)] == [(3, 0, 0)]


def test_of_a_growing_file_the_whole_lines_come_in_and_half_a_line_waits(runs, watcher):
    text = lines(rows(4)).encode()
    ends = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    write(runs / "a.jsonl", text[: ends[1] + 10])
    assert watcher() == (2, 0, 0)
    assert watcher() is None
    write(runs / "a.jsonl", text[: ends[2] + 1])
    assert watcher() == (1, 2, 0)
    write(runs / "a.jsonl", text)
    assert watcher() == (1, 3, 0)
    assert watcher() is None


def test_half_a_line_that_stays_is_told_once_the_file_has_been_quiet(runs, watcher):
    write(runs / "a.jsonl", lines(rows(2)) + '{"prompt": "cut o')
    assert watcher() == (2, 0, 0)
    looks = [watcher() for _ in range(10)]
    assert [look for look in looks if look] == [(0, 2, 1)]
    # And still comes in if its writer was only slow.
    write(runs / "a.jsonl", lines(rows(2)) + json.dumps(ROW | {"prompt": "cut off?"}) + "\n")
    assert watcher() == (1, 2, 0)


def test_a_last_line_without_its_end_counts_when_the_file_has_been_quiet(runs, watcher):
    write(runs / "a.jsonl", lines(rows(2)).rstrip("\n"))
    assert [look for look in (watcher() for _ in range(10)) if look] == [(1, 0, 0), (1, 1, 0)]


def test_a_file_that_grows_all_the_time_is_not_read_all_the_time(runs, watcher, monkeypatch):
    monkeypatch.setattr(watching, "_SHARE_OF_TIME", 1e-9)
    write(runs / "a.jsonl", lines(rows(2)))
    assert watcher() == (2, 0, 0)
    for n in (3, 4, 5):
        write(runs / "a.jsonl", lines(rows(n)))
        assert watcher() is None
    # As soon as it rests, it is.
    assert watcher() == (3, 2, 0)


def test_a_bad_row_is_told_once_however_often_its_file_grows(runs, watcher):
    text = lines(rows(1)) + "{broken}\n"
    write(runs / "a.jsonl", text)
    assert watcher() == (1, 0, 1)
    write(runs / "a.jsonl", text + lines(rows(3)[1:]))
    assert watcher() == (2, 1, 0)
    write(runs / "a.jsonl", text + lines(rows(3)[1:]) + "[]\n")
    assert watcher() == (0, 3, 1)


def test_a_look_ends_early_and_the_next_one_goes_on(runs, store):
    write(runs / "a.jsonl", lines(rows(9)))
    write(runs / "b.jsonl", lines([ROW, ROW]))
    watch = store.watch(runs)
    asked = itertools.count()
    # Asked at each row; before, at the folder, at each of its two names, at the file, and at each piece read of it.
    report = watch.poll(stopped=lambda: next(asked) > 9)
    assert counts(report) == (4, 0, 0)
    assert (store.count(), watch.waiting, watch.n_files) == (4, [runs / "a.jsonl"], 0)
    for _ in range(3):
        watch.poll()
    assert (counts(watch.total), store.count(), watch.waiting, watch.n_files) == ((11, 0, 0), 11, [], 2)


@pytest.mark.slow
def test_a_file_that_could_not_be_stored_is_tried_again_in_each_look(runs, store, monkeypatch):
    write(runs / "a.jsonl", lines(rows(3)))
    watch = store.watch(runs)

    def busy():
        raise rt.StoreBusy("held elsewhere")

    with monkeypatch.context() as held:
        held.setattr(watch._session, "transaction", busy)
        for _ in range(10):
            with pytest.raises(rt.StoreBusy):
                watch.poll()
    assert counts(watch.poll()) == counts(watch.total) == (3, 0, 0)


WHOLE = {
    "a.parquet": parquet([row | {"steps": [{"i": 0, "type": "step", "content": "…"}]} for row in rows(3)]),
    "a.json": json.dumps(rows(3)).encode(),
    "b.json": json.dumps(rows(3), indent=1).encode(),
    "c.json": "\n".join(json.dumps(row, indent=1) for row in rows(3)).encode(),
    "a.jsonl.gz": gzip.compress(lines(rows(3)).encode(), mtime=0),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_read_in_part_waits_until_it_is_whole_and_rests(runs, watcher, name):
    whole = WHOLE[name]
    for part in (whole[:5], whole[: len(whole) // 2], whole[:-3]):
        write(runs / name, part)
        assert [watcher() for _ in range(10)] == [None] * 10
    write(runs / name, whole)
    assert [look for look in (watcher() for _ in range(10)) if look] == [(3, 0, 0)]


@pytest.mark.parametrize("name", WHOLE)
def test_the_last_look_takes_what_there_is_and_tells_what_is_wrong_with_it(runs, watcher, name):
    write(runs / name, WHOLE[name][:-3])
    assert watcher() is None
    _, _, rejected = watcher(last=True)
    assert rejected >= 1


def test_a_file_written_anew_is_read_anew(runs, watcher):
    write(runs / "a.jsonl", lines(rows(3)) + "[]\n")
    assert watcher() == (3, 0, 1)
    write(runs / "a.jsonl", "{}\n" + lines([ROW | {"prompt": "anew"}]))
    assert watcher() == (1, 0, 1)
    write("new", lines(rows(9)[5:]))
    Path("new").replace(runs / "a.jsonl")
    assert watcher() == (4, 0, 0)
    (runs / "a.jsonl").unlink()
    assert watcher() is None


def test_equal_rollouts_in_several_files_are_all_kept(runs, watcher, store):
    write(runs / "step-0.jsonl", lines([ROW, ROW]))
    assert watcher() == (2, 0, 0)
    write(runs / "step-1.jsonl", lines([ROW, ROW, ROW]))
    assert watcher() == (3, 0, 0)
    write(runs / "step-0.jsonl", lines([ROW, ROW, ROW]))
    assert watcher() == (1, 2, 0)
    # As many as the folder holds: loading it finds nothing more.
    assert counts(store.load(runs)) == (0, 6, 0)


def test_other_files_in_the_folder_are_told_once_and_do_not_stop_the_watch(runs, watcher):
    write(runs / "config.json", '{"learning_rate": 0.1}')
    write(runs / "empty.jsonl", "")
    write(runs / "blank.jsonl", "\n\n")
    write(runs / "wide.jsonl", lines(rows(1)).encode("utf-16"))
    write(runs / "notes.txt", "…")
    looks = [look for look in (watcher() for _ in range(10)) if look]
    assert looks == [(0, 0, 2)]
    write(runs / "config.json", '{"learning_rate": 0.1, "group": 8}')
    write(runs / "a.jsonl", lines(rows(1)))
    assert watcher() == (1, 0, 0)


def test_formats_are_told_or_insisted_on_for_each_file(store, runs):
    write(runs / "a.jsonl", json.dumps({"question": "q", "answer": "a\n#### 1"}) + "\n")
    write(runs / "b.jsonl", lines(rows(2)))
    (report,) = store.watch(runs, stop=lambda: True)
    assert (report.added, report.format) == (3, "gsm8k, trace")
    write("c.jsonl", json.dumps({"q": "other", "a": "1"}) + "\n")
    (report,) = store.watch("c.jsonl", mapping={"prompt": "q", "final_answer": "a"}, stop=lambda: True)
    assert (report.added, report.format) == (1, "mapping")
    (report,) = store.watch("c.jsonl", format="gsm8k", stop=lambda: True)
    assert (report.added, report.rejected[0].field) == (0, "question")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every": 0}, "every=0: must be a number of seconds above 0"),
        ({"every": float("nan")}, "every=nan: must be"),
        ({"every": "2s"}, 'every="2s": must be'),
        ({"stop": 3}, "stop=3: must be a function without arguments or a threading.Event"),
        ({"format": "trace", "mapping": {"prompt": "q"}}, "`format` cannot be combined with `mapping`"),
    ],
)
def test_what_cannot_be_asked_is_told_at_the_call(store, options, told):
    with pytest.raises(rt.QueryInvalid, match=told):
        store.watch("runs", **options)
    with pytest.raises(rt.SourceInvalid, match="unknown format"):
        store.watch("runs", format="none")


@pytest.mark.slow
def test_a_watch_outlives_what_happens_to_its_folder(runs, watcher):
    write(runs / "a.jsonl", lines(rows(2)))
    (runs / "gone.jsonl").symlink_to("nowhere")
    assert watcher() == (2, 0, 0)
    shutil.rmtree(runs)
    assert watcher() is None
    runs.mkdir()
    assert watcher() is None
    write(runs / "a.jsonl", lines(rows(3)[1:]))
    # The counts go by trace: of these two one is known.
    assert watcher() == (1, 1, 0)
    shutil.rmtree(runs)
    write(runs, lines(rows(4)[3:]))
    # A file of that name now.
    assert watcher() == (1, 0, 0)
    runs.unlink()
    (runs / "a.jsonl").mkdir(parents=True)
    write(runs / "a.jsonl" / "b.jsonl", lines(rows(5)[4:]))
    assert watcher() == (1, 0, 0)


def test_a_file_that_is_cut_and_written_anew_is_read_anew(runs, watcher):
    write(runs / "a.jsonl", lines(rows(5)))
    assert watcher() == (5, 0, 0)
    write(runs / "a.jsonl", "")
    assert watcher() is None
    write(runs / "a.jsonl", lines(rows(6)[5:]))
    assert watcher() == (1, 0, 0)


def test_a_file_that_grows_without_a_line_end_waits_and_is_not_read_over_and_over(runs, watcher):
    for n in range(1, 20):
        write(runs / "a.jsonl", '{"prompt": "' + "x" * 1_000 * n)
        assert watcher() is None
    write(runs / "a.jsonl", '{"prompt": "' + "x" * 1_000 + '", "steps": ["s"], "final_answer": "a"}\n')
    assert watcher() == (1, 0, 0)


def test_a_single_file_is_watched_before_it_is_there(store):
    watch = store.watch("late.jsonl")
    assert counts(watch.poll()) == (0, 0, 0)
    assert "late.jsonl: no such file or folder" in watch.missing
    write("late.jsonl", lines(rows(2)))
    assert (counts(watch.poll()), watch.missing) == ((2, 0, 0), "")


@pytest.mark.slow
def test_two_watches_on_a_folder_add_each_trace_once(store, runs, monkeypatch):
    monkeypatch.setattr(watching, "_SHARE_OF_TIME", float("inf"))
    first, second = store.watch(runs), store.watch(runs)
    for n in (3, 6):
        write(runs / "a.jsonl", lines(rows(n)))
        first.poll()
        second.poll()
    assert (store.count(), first.total.added, second.total.added) == (6, 6, 0)


def test_files_that_go_away_or_become_shorter_are_named_and_their_traces_stay(runs, store, monkeypatch):
    monkeypatch.setattr(watching, "_SHARE_OF_TIME", float("inf"))
    watch = watching.Watch(store._session, runs, None)
    write(runs / "a.jsonl", lines(rows(3)))
    write(runs / "b.jsonl", lines(rows(6)[3:]))
    watch.poll()
    assert (watch.gone, watch.shorter) == ([], [])
    (runs / "a.jsonl").unlink()
    write(runs / "b.jsonl", lines(rows(7)[6:]))
    watch.poll()
    assert (watch.gone, watch.shorter, store.count()) == ([runs / "a.jsonl"], [runs / "b.jsonl"], 7)
    # It is one of the others again when it is back, and when it has grown.
    write(runs / "a.jsonl", lines(rows(3)))
    write(runs / "b.jsonl", lines(rows(12)[6:]))
    watch.poll()
    assert (watch.gone, watch.shorter) == ([], [])
    shutil.rmtree(runs)
    watch.poll()
    assert (watch.gone, store.count()) == ([runs / "a.jsonl", runs / "b.jsonl"], 12)


@pytest.mark.parametrize("pattern", ["runs/**/*.jsonl", "runs/*/*.jsonl", "runs"])
def test_a_look_that_finds_nothing_ends_early_too(runs, store, pattern):
    for n in range(50):
        (runs / f"{n}" / "empty").mkdir(parents=True)
    looks = itertools.count()
    watching.Watch(store._session, pattern, None).poll(stopped=lambda: next(looks) >= 3)
    assert next(looks) == 4
