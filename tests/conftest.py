"""A fresh store in a temporary folder, and traces to put into it."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis.errors import InvalidArgument

import tunix_rt as rt
from tests.shared_store import copied, leave, shared

if TYPE_CHECKING:
    import httpx

    from tests.front_end import FrontEnd
    from tests.served import Served
    from tunix_rt.widgets import TraceBrowser

CI = bool(os.environ.get("CI"))
# How many examples a property test draws, and a slow one; in CI they are the same each time. No test asserts a time;
# where examples share a store or a file, that is meant.
PROFILES = {"everyday": (50, 20), "ci": (300, 20), "weekly": (1_500, 1_500)}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if CI else "everyday")
for name, (examples, _) in PROFILES.items():
    hypothesis.settings.register_profile(
        name,
        deadline=None,
        max_examples=examples,
        derandomize=CI,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has slow property tests draw fewer examples, where they say nothing of it themselves."""
    examples = hypothesis.settings(max_examples=PROFILES[PROFILE][1])
    tests = {item.function for item in items if isinstance(item, pytest.Function) and item.get_closest_marker("slow")}
    for test in tests:
        if hypothesis.is_hypothesis_test(test):
            with suppress(InvalidArgument):
                examples(test)


# Hundreds of processes import the package and its tests; without bytecode each would compile them anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell has what it starts in the background, and all that this starts, ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings, the `.env` or the store of whoever runs it."""
    # IPython's shell puts a module of its own in the place, from which no process can be spawned.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    leave(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty store that nobody uses."""
    folder = tmp_path_factory.mktemp("empty")
    rt.TraceStore(folder / "traces.duckdb").close()
    return folder


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> rt.TraceStore:
    """A store of the test's own; its files are copied, which takes a third of the time that making them takes."""
    return copied(empty_store, tmp_path)


@pytest.fixture(scope="module")
def same_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rt.TraceStore]:
    """An empty store, for tests that change nothing in it."""
    with shared(empty_store, tmp_path_factory) as store:
        yield store


@pytest.fixture
def runs() -> Path:
    """An empty folder `runs` in the working folder, for a job to write into."""
    folder = Path("runs")
    folder.mkdir()
    return folder


@pytest.fixture
def client(served: "Served") -> "httpx.Client":
    """A client of the module's server, whose store is empty."""
    if served.store.count():
        served.store.delete(where="true")
    return served.client


@pytest.fixture(scope="session")
def make_trace() -> Callable[..., rt.Trace]:
    """A trace like any other; each field can be named."""

    def make(prompt: str = "27 × 19?", **fields: Any) -> rt.Trace:
        given = {"steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"} | fields
        return rt.Trace(prompt=prompt, **given)

    return make


@pytest.fixture
def filled(store: rt.TraceStore, make_trace: Callable[..., rt.Trace]) -> rt.TraceStore:
    """A store of 25 traces, 0 the oldest; every third has the source "thirds"."""
    store.add_many(twenty_five(make_trace))
    return store


@pytest.fixture(scope="module")
def same_filled(
    empty_store: Path, tmp_path_factory: pytest.TempPathFactory, make_trace: Callable[..., rt.Trace]
) -> Iterator[rt.TraceStore]:
    """The same 25 traces, for tests that change nothing in the store."""
    with shared(empty_store, tmp_path_factory, lambda store: store.add_many(twenty_five(make_trace))) as store:
        yield store


def twenty_five(make_trace: Callable[..., rt.Trace]) -> list[rt.Trace]:
    return [make_trace(f"{n} × 2?", meta={"source": "thirds"} if n % 3 == 0 else None) for n in range(25)]


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[type["FrontEnd"]]:
    """Made with a form, the other end of its comm; what a test does not close is closed after it."""
    # Here and not above: the other tests do without widgets.
    from tests.front_end import FrontEnd, close_all, record

    record(monkeypatch)
    yield FrontEnd
    close_all()


@pytest.fixture
def form(filled: rt.TraceStore, front: type["FrontEnd"]) -> "TraceBrowser":
    """The list of 25 traces as a form, with pages of 10; they have been counted."""
    from tests.front_end import settled

    form = rt.TraceBrowser(filled, limit=10)
    front(form).wait(n_found=25)
    settled()
    return form


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; at the end of the test nothing may be left in it."""
    from tests.front_end import settled

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    settled()
    assert list(folder.iterdir()) == []


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: browsers, servers and other processes are waited for a third of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Coverage counts what the fast tests run, in this process and its children."""
    # The others would take half as long again.
    measured = sys.modules["coverage"].Coverage.current() if "coverage" in sys.modules else None
    if measured is None or not any(map(item.get_closest_marker, ("browser", "crash", "slow"))):
        return (yield)
    children = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COVERAGE_")}
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()
        os.environ.update(children)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where `CI` is set nothing may be left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("tests were skipped, and CI leaves none out", red=True)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[None]:
    """Reports cross from xdist's workers as UTF-8, which has no lone surrogates; some tests are about those."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case list() | tuple():
            return type(value)(_sendable(one) for one in value)
        case dict():
            return {name: _sendable(one) for name, one in value.items()}
    return value
