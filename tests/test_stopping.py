"""A load, a watch and a form are stopped also while they find no row: where bytes and names are read."""

import gzip
import itertools
import os
import threading

import pytest

import tunix_rt as rt
from tests.test_load import counts, lines, rows, write
from tunix_rt.formats.containers import files
from tunix_rt.store.ingest import tail as whole

ROWLESS = {
    "blank lines": b"\n" * 20_000,
    "one endless line": b"x" * 20_000,
    "an endless object": b'{"prompt": "' + b"x" * 20_000,
    "an endless array": b"[" + b" " * 20_000,
    "garbage": bytes(range(128, 256)) * 200,
    "packed zeros": gzip.compress(bytes(20_000)),
    "a cell without an end": b'prompt,final_answer\n"' + b"x\n" * 10_000,
    "an array that is not JSON": b"[" * 20_000,
}


@pytest.fixture
def small_pieces(monkeypatch):
    """Files are read a thousand bytes at a time."""
    monkeypatch.setattr(files, "_HEAD_BYTES", 1_000)
    monkeypatch.setattr(whole, "_HEAD_BYTES", 1_000)
    monkeypatch.setattr(whole, "_TAIL_BYTES", 1_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("error", [InterruptedError, ValueError, RecursionError, rt.SourceInvalid, KeyboardInterrupt])
@pytest.mark.parametrize("content", ROWLESS)
def test_what_the_function_raises_stops_a_load_that_finds_no_row(same_store, content, error):
    told = []

    def stop(done, total):
        told.append((done, total))
        if len(told) == 3:
            raise error("somebody pressed Stop")

    path = write("t", ROWLESS[content])
    with pytest.raises(error, match="somebody pressed Stop"):
        same_store.load(path, progress=stop)
    assert len(told) == 3
    assert told == sorted(told)
    assert told[0] == (0, path.stat().st_size)


def test_a_load_is_stopped_while_a_folder_is_listed(store, runs):
    for n in range(600):
        (runs / f"{n}.txt").touch()
    told = []

    def stop(*done):
        told.append(done)
        raise InterruptedError("somebody pressed Stop")

    with pytest.raises(InterruptedError):
        store.load(runs, progress=stop)
    assert told == [(0, 0)]


def test_a_load_of_rows_that_hold_nothing_is_stopped(store):
    told = []

    def stop(done, _total):
        told.append(done)
        if done > 1_000:
            raise InterruptedError("somebody pressed Stop")

    with pytest.raises(InterruptedError):
        store.load(({} for _ in itertools.count()), format="inspect", progress=stop)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("content", ROWLESS)
def test_a_look_is_stopped_wherever_it_reads(store, runs, content):
    write(runs / "a.jsonl", ROWLESS[content])
    watch = store.watch(runs)
    for last in (False, False, True):
        asked = itertools.count()
        assert counts(watch.poll(last=last, stopped=lambda asked=asked: next(asked) >= 3)) == (0, 0, 0)
        assert next(asked) <= 4
    # The next look does what this one left.
    write(runs / "a.jsonl", lines(rows(2)))
    watch.poll()
    assert watch.total.added == 2


def test_a_look_is_stopped_while_a_folder_is_listed(store, runs):
    for n in range(20):
        (runs / f"{n}.txt").touch()
    write(runs / "a.jsonl", lines(rows(2)))
    asked = itertools.count()
    watch = store.watch(runs)
    assert counts(watch.poll(stopped=lambda: next(asked) == 10)) == (0, 0, 0)
    assert next(asked) == 11
    assert counts(watch.poll()) == (2, 0, 0)


@pytest.fixture
def endless():
    """A pipe that gives blank lines for as long as somebody reads."""
    os.mkfifo("endless")

    def write_on():
        try:
            with open("endless", "wb", buffering=0) as pipe:  # noqa: PTH123 - without a buffer
                while True:
                    pipe.write(b"\n" * 10_000)
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write_on)
    writer.start()
    yield "endless"
    writer.join()


def test_cancel_ends_a_load_that_finds_no_row(store, front, endless):
    form = rt.UploadForm(store)
    end = front(form)
    loading = end.say("load_path", path=endless)
    end.do("cancel")
    reply = end.hear(loading)
    assert reply["failed"]
    assert "endless: cancelled" in reply["problem"]
    # Another load goes as ever.
    write("t.jsonl", lines(rows(2)))
    assert end.do("load_path", path="t.jsonl").get("failed") is None
    assert store.count() == 2
