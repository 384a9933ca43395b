"""The command `tunix-rt` in processes, on terminals and in shells; they are forked, as those of `processes.python`."""

import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.processes import PATIENCE, python

# In a Python of its own, from its first import.
COMMAND = [sys.executable, "-W", "error", "-m", "tunix_rt"]
# What the installed command does.
PROGRAM = "import sys; sys.argv[0] = 'tunix-rt'\nfrom tunix_rt.cli import app\napp()"

# In the place of the command in a shell: it hands its streams over, and ends as the command does.
STAND_IN = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    given = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode(errors="surrogateescape")
    socket.send_fds(asked, [len(given).to_bytes(4)], [0, 1, 2])
    asked.sendall(given)
    status = int(asked.recv(20))
# Of a process that a signal has ended, as a shell says it.
sys.exit(128 - status if status < 0 else status)
"""


def surroundings(**more):
    """The environment without a width, which readline puts into that of this process."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | more


def start(*words, **options):
    streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return python(PROGRAM, *words, text=True, **streams | {"env": surroundings()} | options)


def run(*words, input=None, status=0, **options):
    """What the command put out and what it said."""
    process = start(*words, stdin=subprocess.PIPE, **options)
    put, said = process.communicate(input, timeout=PATIENCE)
    assert process.returncode == status, said
    return put, said


@contextmanager
def shell_command():
    """A command line of a shell that runs `tunix-rt`."""
    with TemporaryDirectory(prefix="tunix") as folder, socket.socket(socket.AF_UNIX) as listening:
        script, path = Path(folder, "stand_in"), Path(folder, "socket")
        script.write_text(STAND_IN)
        listening.bind(str(path))
        listening.listen()
        accepting = threading.Thread(target=_serve, args=(listening,))
        accepting.start()
        yield f"{sys.executable} -I -S {script} {path}"
        # It ends the thread.
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join(PATIENCE)


def _serve(listening):
    # Shut down, it accepts nothing.
    with suppress(OSError):
        while True:
            threading.Thread(target=_answer, args=(listening.accept()[0],)).start()


def _answer(asking):
    with asking:
        size, streams, *_ = socket.recv_fds(asking, 4, 3)
        with asking.makefile("rb") as given:
            words, directory, environment = json.loads(given.read(int.from_bytes(size)))
        ends = dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
        try:
            process = python(PROGRAM, *words, cwd=directory, env=environment, **ends)
        finally:
            for stream in streams:
                os.close(stream)
        # Where nobody waits for it any more, the shell was ended.
        with suppress(BrokenPipeError):
            asking.sendall(str(process.wait(PATIENCE)).encode())


def run_in_shell(line, status=0, *, forked=True):
    """What a bash puts out that runs the line, in which `tunix-rt` is the command; forked, it has three streams."""
    with shell_command() if forked else nullcontext(" ".join(COMMAND)) as command:
        defined = f'tunix-rt() {{ {command} "$@"; }}; set -o pipefail; {line}'
        done = subprocess.run(["bash", "-c", defined], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def on_terminal(*words, columns=80, until=None, stdin=None):
    """What a terminal of so many columns got, and the exit status; `until` is called with what came so far."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = python(PROGRAM, *words, stdin=stdin or far, stdout=far, stderr=far, env=surroundings())
    os.close(far)
    shown = b""
    while True:
        try:
            piece = os.read(near, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if until is not None:
            until(shown.decode(errors="replace"))
    os.close(near)
    return shown.decode().replace("\r\n", "\n"), process.wait(PATIENCE)
