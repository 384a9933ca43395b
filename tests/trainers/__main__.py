"""`python -m tests.trainers FOLDER`: the package beside real trainers, where they are installed, without a network.

TRL reads and trains on what an export writes; its GRPO and that of google/tunix are recorded, and the recordings
compared with what the trainers saw. Models and tokenizers are made here, and know nothing.
"""

import argparse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.trainers import exported, recorded_inspect, recorded_trl, recorded_tunix, recorded_verl, trajectories_tunix

_CHECKS = {
    "trl": {"exports": exported.check, "recording GRPOTrainer": recorded_trl.check},
    "google-tunix": {"recording GRPOLearner": recorded_tunix.check, "trajectory store": trajectories_tunix.check},
    "verl": {"recording a reward function": recorded_verl.check},
    "inspect-ai": {"recording an evaluation": recorded_inspect.check},
}


def main() -> None:
    """A line for each check; the first one that fails ends it with its traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder, or none, for the store and the files")
    folder: Path = parser.parse_args().folder
    for package, checks in _CHECKS.items():
        try:
            found = f"{package} {version(package)}"
        except PackageNotFoundError:
            print(f"– {package} is not installed")  # noqa: T201 - this is what it is for
            continue
        for name, check in checks.items():
            own = folder / name.replace(" ", "_")
            own.mkdir(parents=True)
            try:
                check(own)
            except ModuleNotFoundError as error:
                print(f"– {found}: {name}: not in this release ({error.name})")  # noqa: T201
            else:
                print(f"✓ {found}: {name}")  # noqa: T201


if __name__ == "__main__":
    main()
