"""Other processes for the tests: their programs are texts, which get their arguments in `sys.argv` as scripts do."""

import multiprocessing
import os
import subprocess
import sys

# The package's own imports take half a second; a process that has them already starts in a hundredth of that.
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tunix_rt.store", "tunix_rt.store.ingest.load", "tests.processes"])

# So long a test waits for a process before it fails; nothing here takes a tenth of it on a machine at rest.
PATIENCE = 120


class Program(subprocess.Popen):
    """A process that ends with the test that started it: Popen would wait for one that hangs, and for ever."""

    def __exit__(self, kind, *more):
        if kind is not None:
            self.kill()
        super().__exit__(kind, *more)


def python(program, *arguments, **options):
    """A new Python that runs the program: what it does from its first import to its exit is seen."""
    command = [sys.executable, "-W", "error", "-W", _FORK_WITH_THREADS, "-c", program, *map(str, arguments)]
    return Program(command, **options)


# Python 3.12 warns of every fork with threads, which is what data loaders do and what is tested here.
_FORK_WITH_THREADS = "ignore:This process:DeprecationWarning"


def without_coverage():
    """The environment of a process that cannot write a coverage file: of another user, or on a disk that is full."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def told_by(program, *arguments, **options):
    """The lines that the program printed; it must end well and print nothing on standard error."""
    with python(program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        said, complained = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complained) == (0, "")
    return said.splitlines()


def start(program, *arguments, output):
    """A process forked from one that has the package imported; what it prints is appended to the file `output`."""
    process = _server.Process(target=_run, args=(program, list(map(str, arguments)), str(output)), daemon=True)
    process.start()
    return process


def ended(process):
    """The process's exit status, when it has ended; that of a signal is negative."""
    process.join(PATIENCE)
    assert process.exitcode is not None
    return process.exitcode


def _run(program, arguments, output):
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.argv = ["-c", *arguments]
    exec(program, {"__name__": "__main__"})  # noqa: S102 - a program of the tests' own
