"""Other processes for the tests: their programs are texts, which get their arguments in `sys.argv` as scripts do."""

import ctypes
import gc
import multiprocessing
import os
import subprocess
import sys
import warnings
from multiprocessing import forkserver, reduction
from pathlib import Path
from types import ModuleType

# The package's own imports take a second; a process that has them already starts in a hundredth of that.
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        "jupyter_server.serverapp",
        "pandas",
        "tunix_rt.cli",
        "tunix_rt.lake.lake",
        "tunix_rt.store.store",
        "tunix_rt.store.ingest.load",
        "tests.processes",
    ]
)

# So long a test waits for a process before it fails; nothing here takes a tenth of it on a machine at rest.
PATIENCE = 120

# Python 3.12 warns of every fork with threads, which is what data loaders do and what is tested here.
_FORK_WITH_THREADS = "ignore:This process:DeprecationWarning"


class Program(subprocess.Popen):
    """A process that ends with the test that started it: Popen would wait for one that hangs, and for ever."""

    def __exit__(self, kind, *more):
        if kind is not None:
            self.kill()
        super().__exit__(kind, *more)


class _Forked(Program):
    """Forked from a process that has the package imported; it runs the program and ends as a Python of its own does."""

    def _execute_child(self, args, *given):
        directory, environment = given[4:6]
        ends = given[9:15]
        # Of each pair of ends, the child's; without a pipe, what this process has.
        streams = [own if end == -1 else end for own, end in enumerate((ends[0], ends[3], ends[5]))]
        program, *arguments = args
        surroundings = dict(os.environ if environment is None else environment)
        descriptors = [_Descriptor(stream) for stream in streams]
        self._process = _fork(program, arguments, surroundings, directory, descriptors)
        self._child_created, self.pid = True, self._process.pid
        self._close_pipe_fds(*ends)

    def _internal_poll(self, *_, **__):
        self.returncode = self._process.exitcode
        return self.returncode

    def _wait(self, timeout):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode


class _Descriptor:
    """Sent to a process, it is a descriptor of the same file there."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return _detached, (reduction.DupFd(self.number),)


def _detached(duplicate):
    return duplicate.detach()


def python(program, *arguments, **options):
    """A process that runs the program as a new Python would, but for the imports, which are made already."""
    return _Forked([program, *map(str, arguments)], **options)


def new_python(program, *arguments, **options):
    """A new Python that runs the program: what it does from its first import to its exit is seen."""
    command = [sys.executable, "-W", "error", "-W", _FORK_WITH_THREADS, "-c", program, *map(str, arguments)]
    return Program(command, **options)


def without_coverage():
    """The environment of a process that cannot write a coverage file: of another user, or on a disk that is full."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def told_by(program, *arguments, begun_by=python, **options):
    """The lines that the program printed; it must end well and print nothing on standard error."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with begun_by(program, *arguments, **pipes, **options) as process:
        said, complained = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complained) == (0, "")
    return said.splitlines()


def start(program, *arguments, output):
    """A process that runs the program; what it prints is appended to the file `output`."""
    with Path(output).open("ab") as printed:
        return python(program, *arguments, stdout=printed, stderr=subprocess.STDOUT)


def ended(process):
    """The process's exit status, when it has ended; that of a signal is negative."""
    return process.wait(PATIENCE)


def ensure_server():
    """Starts the process that others are forked from, where it does not run; they all measure no coverage."""
    coverage = {name: os.environ.pop(name) for name in set(os.environ) - set(without_coverage())}
    forkserver.ensure_running()
    os.environ.update(coverage)


def _fork(*given):
    ensure_server()
    process = _server.Process(target=_run, args=given, daemon=True)
    process.start()
    return process


def _run(program, arguments, surroundings, directory, streams):
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
        os.close(stream)
    encoding = surroundings.get("PYTHONIOENCODING", "utf-8")
    for own, name in enumerate(("stdin", "stdout", "stderr")):
        by_line = name == "stderr" or os.isatty(own)
        how = {"errors": "backslashreplace"} if name == "stderr" else {}
        stream = open(own, "w" if own else "r", 1 if by_line else -1, encoding, closefd=False, **how)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.environ.clear()
    os.environ.update(surroundings)
    if directory is not None:
        os.chdir(directory)
    warnings.resetwarnings()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)
    sys.argv = ["-c", *arguments]
    sys.modules["__main__"] = ModuleType("__main__")
    # It may have children of its own.
    multiprocessing.current_process()._config["daemon"] = False
    # At its end it need not look through all that was there before it.
    gc.freeze()
    # As `python -c` does both: errors are printed, what is to run at exit runs, and modules are taken down.
    failed = ctypes.pythonapi.PyRun_SimpleString(program.encode())
    ctypes.pythonapi.Py_Exit(-failed)
