"""`python -m tests.fuzz` from the root of the repository: random input to all that takes input, for some minutes.

Each part runs in a process of its own, so that one that crashes or hangs is seen. What is found is printed with the
command that draws it again. The exit status is 1 where something was found.
"""

import argparse
import faulthandler
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from importlib import import_module
from pathlib import Path

from tests.fuzz.finding import name_of, shown, smallest, tried
from tests.fuzz.values import seeded

PARTS = ("add", "load", "sql", "filters", "http")
# For one draw, with all that is done with it.
_HANGS_SECONDS = 60


def main() -> int:
    """Runs the parts one after the other, and prints what was drawn."""
    given = _arguments()
    if given.only is not None or given.inside:
        return _run(given)
    parts = [given.part] if given.part else PARTS
    totals, failed = Counter(), False
    for part in parts:
        failed |= _supervised(part, given.seed, given.minutes * 60 / len(parts), totals)
    _say("", "| part | kind | draws | accepted | refused | findings |", "|---|---|---|---|---|---|")
    for part, kind in sorted({(part, kind) for part, kind, _ in totals}):
        numbers = [totals[part, kind, what] for what in ("accepted", "refused", "finding")]
        _say(f"| {part} | {kind} | {sum(numbers):,} | " + " | ".join(f"{n:,}" for n in numbers) + " |")
    _say("", f"{sum(totals.values()):,} draws, seed {given.seed}; {'findings above' if failed else 'no findings'}")
    return int(failed)


def _supervised(part: str, seed: int, seconds: float, totals: Counter) -> bool:
    """A process that draws; another one behind the draw at which it ended early."""
    end, first, failed = time.monotonic() + seconds, 0, False
    with tempfile.TemporaryDirectory(prefix="tunix-rt-fuzz-") as folder:
        while (left := end - time.monotonic()) > 0:
            log = Path(folder) / "log"
            command = [sys.executable, "-m", "tests.fuzz", "--inside", folder, "--part", part]
            command += ["--seed", str(seed), "--first", str(first), "--minutes", str(left / 60)]
            status = subprocess.run(command, check=False).returncode
            *_, last = log.read_text().splitlines() or ["{}"]
            told = json.loads(last)
            for kind, what, n in told.get("counts", ()):
                totals[part, kind, what] += n
            failed |= status != 0
            if told.get("done"):
                break
            first = told.get("n", first) + 1
            _say(f"ended with {status}, hung or crashed: {_command(part, seed, first - 1)}")
            if status in (-2, 130):
                raise KeyboardInterrupt
    return failed


def _run(given: argparse.Namespace) -> int:
    """Draws until the time is over, and keeps in the log how far it came."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    folder = Path(given.inside or tempfile.mkdtemp(prefix="tunix-rt-fuzz-"))
    work = folder / f"{given.part}-{os.getpid()}"
    work.mkdir()
    sys.path.insert(0, str(Path.cwd()))
    os.chdir(work)
    part = import_module(f"tests.fuzz.{given.part}").Part(work)
    counts, known = Counter(), set()
    end = time.monotonic() + given.minutes * 60
    n = given.first if given.only is None else given.only
    with (folder / "log").open("a") as log:
        while time.monotonic() < end:
            _note(log, n, counts)
            faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)
            try:
                case = part.draw(seeded(given.part, given.seed, n))
            except Exception:  # noqa: BLE001
                # Nested too deep, or too odd, for what draws it: not for what is tested.
                counts["what cannot be drawn", "refused"] += 1
                n += 1
                continue
            found = tried(case, case.given)
            faulthandler.cancel_dump_traceback_later()
            what = "finding" if isinstance(found, BaseException) else "accepted" if found else "refused"
            counts[case.kind, what] += 1
            if isinstance(found, BaseException) and (name := f"{case.kind} {name_of(found)}") not in known:
                known.add(name)
                _say("", _command(given.part, given.seed, n))
                _say(shown(case, *smallest(case, found)))
            elif given.only is not None:
                _say(f"{case.kind}: {what}")
            n += 1
            if given.only is not None:
                break
        _note(log, n, counts, done=True)
    part.close()
    return int(bool(known))


def _command(part: str, seed: int, n: int) -> str:
    return f"python -m tests.fuzz --part {part} --seed {seed} --only {n}"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - what the command is for


def _note(log, n: int, counts: Counter, *, done: bool = False) -> None:
    table = [[kind, what, number] for (kind, what), number in counts.items()]
    log.write(json.dumps({"n": n, "counts": table, "done": done}) + "\n")
    log.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="in all; each part takes its share")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--only", type=int, metavar="N", help="the draw with this number, of one part")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
