"""`python -m tests.torture` from the root of the repository: processes that add, beside what endangers a store.

In each run processes add, read and load; some are killed, some stopped for a while. Beside that the store's files are
copied, packed, deleted, moved or replaced, or written to in large rows. Each process notes what was acknowledged to it.
Then all of it is in the store or, where files were taken away on purpose, in those that were taken away; nothing is
there twice, and every error was one of the package's own. The exit status is 1 where that is not so.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.cases import CASES
from tests.torture.run import torture


def main() -> int:
    """Prints a table, a row for each case, and then every fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="of each case")
    parser.add_argument("--adders", type=int, default=8, help="processes that add at once")
    parser.add_argument("--case", choices=CASES, action="append", help="one of the cases; may be given several times")
    parser.add_argument("--seconds", type=float, default=4.0, help="that a run takes, without what is looked at then")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tunix-rt-torture-"))
    _say(f"seed {given.seed}\n\n| case | runs | acknowledged | found | taken away | lost | errors | faults |")
    _say("|---|---|---|---|---|---|---|---|")
    faults = []
    for case in given.case or CASES:
        sums, found = torture(
            case, runs=given.runs, adders=given.adders, seconds=given.seconds, folder=folder, seed=given.seed
        )
        errors = ", ".join(f"{name} {n:,}" for name, n in sorted(sums.errors.items())) or "none"
        numbers = " | ".join(f"{n:,}" for n in (sums.acknowledged, sums.found, sums.taken, sums.lost))
        _say(f"| {case} | {given.runs} | {numbers} | {errors} | {len(found)} |")
        faults += found
    _say("", *faults)
    if faults:
        _say(f"the files of the runs that failed are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(bool(faults))


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - what the command is for


if __name__ == "__main__":
    sys.exit(main())
