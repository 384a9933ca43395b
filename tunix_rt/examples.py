"""The example traces that ship with the package: small, in different domains, to try things on.

>>> names()
['binary_search', 'burning_hydrogen', 'collatz', ...]
>>> get("fahrenheit").final_answer
'20°C'
"""

from pathlib import Path

from tunix_rt.errors import TraceNotFound
from tunix_rt.model import Trace
from tunix_rt.validation import short

# A wheel carries the folder inside the package; in a checkout it is the repository's own.
_HERE = Path(__file__).parent
_FOLDER = next(folder for folder in (_HERE / "_examples", _HERE.parent / "examples") if folder.is_dir())


def folder() -> Path:
    """The folder of the examples, for `store.load(examples.folder())`."""
    return _FOLDER


def names() -> list[str]:
    """The names of the examples."""
    return sorted(file.stem for file in _FOLDER.glob("*.json"))


def path(name: str) -> Path:
    """The file of an example; TraceNotFound if there is no example of this name."""
    if name not in names():
        raise TraceNotFound(f"example {short(name)} not found; there are {', '.join(names())}")
    return _FOLDER / f"{name}.json"


def get(name: str) -> Trace:
    """The trace of this name."""
    return Trace.from_json(path(name).read_bytes())
