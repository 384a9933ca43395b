"""A fresh store in a temporary folder, and traces to put into it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import tunix_rt as rt

# No test asserts a time.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings, the `.env` or the store of whoever runs it."""
    for name in os.environ:
        if name.startswith("TUNIX_RT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TUNIX_RT_DATABASE", str(tmp_path / "default.duckdb"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def store(tmp_path: Path) -> rt.TraceStore:
    return rt.TraceStore(tmp_path / "traces.duckdb")


@pytest.fixture
def make_trace() -> Callable[..., rt.Trace]:
    """A trace like any other; each field can be named."""

    def make(prompt: str = "27 × 19?", **fields: Any) -> rt.Trace:
        given = {"steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"} | fields
        return rt.Trace(prompt=prompt, **given)

    return make


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where `CI` is set nothing may be left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("tests were skipped, and CI leaves none out", red=True)
