"""The store as its users call it."""

import shutil
from collections.abc import Sized
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path

import tunix_rt as rt
from tests.benchmarks.places import PAGE, Places
from tests.benchmarks.timing import Cost, here


class Ours:
    """The calls that are measured on an open store."""

    def __init__(self, path: Path, places: Places, to_add: list[rt.Trace]) -> None:
        self._store = rt.TraceStore(path)
        self._places = places
        self._ids = cycle(places.ids)
        self._to_add = cycle(to_add)

    def hold(self) -> AbstractContextManager[None]:
        return self._store.hold()

    def first_page(self) -> Sized:
        return self._store.page(limit=PAGE)

    first_page_by_rowid = first_page

    def deep_page(self) -> Sized:
        return self._store.page(limit=PAGE, after=self._places.cursor)

    deep_page_by_rowid = deep_page

    def deep_page_by_offset(self) -> Sized:
        return self._store.page(limit=PAGE, offset=self._places.offset)

    def get(self) -> rt.TraceRecord:
        return self._store.get(next(self._ids))

    def find_common(self) -> Sized:
        return self._store.page(limit=PAGE, text=self._places.common_word)

    def find_absent(self) -> Sized:
        return self._store.page(limit=PAGE, text=self._places.absent_word)

    def add(self) -> rt.TraceRecord:
        return self._store.add(next(self._to_add))

    def count(self) -> int:
        return self._store.count()


def load(path: Path, source: Path) -> Cost:
    """Validates a file of JSON Lines into a new store in a folder of its own."""
    shutil.rmtree(path.parent, ignore_errors=True)
    store = rt.TraceStore(path)

    def work() -> None:
        report = store.load(source, progress=False)
        assert not report.rejected_count, report

    return here(work)


def export(path: Path, target: Path) -> Cost:
    """Writes the whole store as JSON Lines."""
    store = rt.TraceStore(path)
    return here(lambda: store.export(target))


def opening(path: Path, other: Path) -> Cost:
    """Opens a store, in a process that has opened another one before."""
    rt.TraceStore(other)
    return here(lambda: rt.TraceStore(path))


def opening_to_page(path: Path, other: Path) -> Cost:
    """Opens a store and shows its newest page, in a process that has done so with another one before."""
    rt.TraceStore(other).page(limit=PAGE)
    return here(lambda: rt.TraceStore(path).page(limit=PAGE))
