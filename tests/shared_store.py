"""Stores for tests: an empty one that is copied, and one that the tests of a module share."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tunix_rt as rt


def leave(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Goes to `folder / "work"`, away from the settings, the `.env` and the store of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("TUNIX_RT_", "TQDM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TUNIX_RT_DATABASE", str(folder / "default.duckdb"))
    work = folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def copied(empty_store: Path, folder: Path) -> rt.TraceStore:
    for file in empty_store.iterdir():
        shutil.copyfile(file, folder / file.name)
    return rt.TraceStore(folder / "traces.duckdb")


@contextmanager
def shared(
    empty_store: Path, folders: pytest.TempPathFactory, fill: Callable[[rt.TraceStore], object] = lambda _: None
) -> Iterator[rt.TraceStore]:
    """A store for the tests of a module that change nothing in it, which is checked at the end.

    A store of its own costs a test 60 ms.
    """
    folder = folders.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        leave(patch, folder)
        store = copied(empty_store, folder)
    fill(store)
    with store:
        before = contents(store)
        yield store
        assert contents(store) == before


def contents(store: rt.TraceStore) -> list[list[Any]]:
    return [store.sql(f"from {table} order by all").rows for table in ("traces", "scores")]
