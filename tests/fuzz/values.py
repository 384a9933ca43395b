"""Random values: texts, what JSON has, what it has not, and traces with any of these in them."""

import dataclasses
import enum
import io
import json
import math
import random
from collections import UserDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa

import tunix_rt as rt
from tests.test_values import FOREIGN

_TEXTS = [
    "", " ", "\n", "\0", "a\0b", "\ud800", "\udfff", "\ud83d\ude00", "\\u0000", "\ufeff", "\uffff", "\U0010ffff",
    "\x1b[31m", "\x9b", "\u202e", "\u2028", "é", "é", "世界", "<script>alert(1)</script>", "<think>", "</think>",
    "'", '"', "\\", "%", "_", "?", "$1", "{}", "[]", "null", "true", "NaN", "-0", "1e999", "9" * 400, "1.0", "1.1",
    "'; drop table traces; --", "2026-01-31", "9999-12-31T23:59:59.999999-23:59", "0001-01-01", "a.b", "a/b~c", "*",
    "../../x", "file:///etc/passwd", "C:\\x", "İ", "ß", "ǅ", '{"role": "user"}', "$$x$$", "````", "=1+1",
]  # fmt: skip
_NUMBERS = [
    0, 1, -1, 2, 7, 100, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 2**128, 10**308, 10**309, 10**4_299,
    0.0, -0.0, 0.5, -1.5, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 1e16, 1e-7, True, False,
]  # fmt: skip


class Touched(Exception):
    """Raised by a value's own code."""


class Angry:
    """What raises wherever it is touched."""

    def __init__(self, *methods):
        self.__class__ = type("Angry", (), dict.fromkeys(methods, self._raise))

    @staticmethod
    def _raise(*_):
        raise Touched


class Never:
    """An iterable without an end."""

    def __iter__(self):
        while True:
            yield 1


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


class Kind(enum.Enum):
    A = "a"
    B = object()
    C = math.nan


def text(rng):
    """A text; mostly short, sometimes hostile, rarely huge."""
    match rng.randrange(12):
        case 0 | 1 | 2 | 3:
            return rng.choice(_TEXTS)
        case 4 | 5:
            return "".join(rng.choice(_TEXTS) for _ in range(rng.randrange(6)))
        case 6:
            return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(8)))
        case 7:
            return rng.choice(["a", "é", "\n", "😀", "$", "<", '"', "\\"]) * rng.choice(
                [64, 65, 20_000, 20_001, 50_001]
            )
        case 8:
            return rng.choice(["x", "世", '"']) * rng.randrange(2_000_000) if not rng.randrange(20) else "x" * 300
    return "".join(rng.choice("abc xyz 0123 .,;+-=\n") for _ in range(rng.randrange(40)))


def nested(rng, innermost):
    """The value inside of many lists or objects."""
    for _ in range(rng.choice([3, 50, 98, 99, 100, 101, 199, 200, 201, 1_000, 5_000])):
        innermost = [innermost] if rng.randrange(2) else {"a": innermost}
    return innermost


def json_value(rng, depth=3):
    """What JSON has, and NaN and infinities."""
    made = [
        lambda: text(rng),
        lambda: text(rng),
        lambda: rng.choice(_NUMBERS),
        lambda: rng.uniform(-1e6, 1e6),
        lambda: rng.randrange(-1_000, 1_000),
        lambda: rng.choice([None, True, False, [], {}]),
        lambda: [json_value(rng, depth - 1) for _ in range(rng.randrange(5))],
        lambda: {text(rng): json_value(rng, depth - 1) for _ in range(rng.randrange(5))},
        lambda: large(rng) if not rng.randrange(10) else {text(rng): json_value(rng, depth - 1)},
    ]
    return rng.choice(made if depth else made[:6])()


def large(rng):
    """A value that is deep or long."""
    if rng.randrange(3):
        return nested(rng, json_value(rng, 0))
    return [rng.random() for _ in range(rng.choice([1_000, 20_000]))]


def foreign(rng, depth=2):
    """What JSON does not have."""
    inner = lambda: any_value(rng, depth - 1) if depth else 1  # noqa: E731
    made = [
        lambda: rng.choice(list(FOREIGN.values()))[0],
        lambda: {inner_key(rng): inner() for _ in range(3)},
        lambda: (inner(), inner()),
        lambda: [inner()] * 2,
        lambda: Point(inner(), inner()),
        lambda: rng.choice(list(Kind)),
        lambda: Text(text(rng)),
        lambda: UserDict({text(rng): inner()}),
        lambda: MappingProxyType({text(rng): inner()}),
        lambda: objects(inner(), inner(), None),
        lambda: np.array(rng.choice(_NUMBERS[:8]), dtype=rng.choice(["f2", "f4", "f8", "g", "c8", "O", "U", "S5"])),
        lambda: np.array([[1, 2], [3, 4]], dtype=rng.choice(["i1", "u8", "M8[Y]", "m8[as]", "M8[ns]", "m8[M]"])),
        lambda: np.datetime64(rng.randrange(-(2**62), 2**62), rng.choice(["Y", "M", "W", "D", "h", "s", "ns", "as"])),
        lambda: np.timedelta64(rng.randrange(-(2**62), 2**62), rng.choice(["Y", "M", "W", "D", "h", "s", "ns", "as"])),
        lambda: Decimal(rng.choice(["0.1", "1e400", "-1e-400", "sNaN", "-Infinity", "9" * 5_000])),
        lambda: Fraction(1, 3),
        lambda: complex(1, 2),
        lambda: rng.randbytes(rng.randrange(20)),
        lambda: memoryview(rng.randbytes(5)),
        lambda: {rng.randrange(5), text(rng), None, (1, text(rng))},
        lambda: frozenset({frozenset({1}), "a"}),
        lambda: datetime.max.replace(tzinfo=timezone(timedelta(hours=rng.randrange(-23, 24)))),
        lambda: datetime(1, 1, 1, tzinfo=timezone(timedelta(minutes=rng.randrange(1, 900)))),
        lambda: rng.choice([date.min, timedelta.max, timedelta.min, datetime.min]),  # noqa: DTZ901
        lambda: rng.choice(
            [pd.NaT, pd.NA, pd.Timestamp("2026", tz="Asia/Kolkata"), pd.Timestamp.max, pd.Timedelta.min]
        ),
        lambda: rng.choice([pd.Series([1, None]), pd.DataFrame({"a": [1]}), pd.Index([1]), pd.Categorical(["a"])]),
        lambda: rng.choice([pd.Interval(0, 1), pd.Period("2026-01"), pd.array([1, None], dtype="Int8")]),
        lambda: pa.scalar(rng.choice([1, "a", None, [1, None], {"a": 1}])),
        lambda: pa.scalar(2**62, rng.choice([pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.duration("s")])),
        lambda: rng.choice([range(10**12), range(3), object(), type, len, io, Ellipsis, NotImplemented, io.BytesIO()]),
        lambda: UUID(int=rng.getrandbits(128)),
        lambda: rt.Step(i=0, type="t", content="c"),
        lambda: rt.Trace(prompt="p", steps=["s"], final_answer="a", meta={"x": [1]}),
        Never,
        lambda: Angry(rng.choice(["tolist", "item", "__len__", "__iter__", "__getattr__", "__str__", "as_py", "keys"])),
        lambda: nested(rng, inner()),
        lambda: holds_itself(rng),
    ]
    return rng.choice(made)()


def objects(*items):
    """An array of objects, one for each item, whatever it is."""
    found = np.empty(len(items), dtype=object)
    for at, item in enumerate(items):
        found[at] = item
    return found


def inner_key(rng):
    keys = [text(rng), rng.randrange(3), 0.5, None, True, math.nan, (1, 2), b"k", b"\xff", datetime.now(UTC), Kind.A]
    return rng.choice(keys)


def holds_itself(rng):
    value = [] if rng.randrange(2) else {}
    if isinstance(value, list):
        value.append({"a": value})
    else:
        value["a"] = [value]
    return value


def any_value(rng, depth=2):
    """Anything."""
    return foreign(rng, depth) if rng.randrange(2) else json_value(rng, depth)


def trace(rng, value=json_value):
    """A dictionary shaped like a trace: mostly right, some of it `value`."""

    def steps():
        if rng.randrange(3):
            return [text(rng) or "s" for _ in range(rng.randrange(1, 4))]
        n = rng.choice([0, 1, 3, 1_000, 1_001]) if not rng.randrange(10) else 2
        return [{"i": rng.choice([k, k, k, 2**63 - 1]), "type": "t", "content": "c"} for k in range(n)]

    found = {
        "trace_version": rng.choice(["1.0", "1.1", "1.1", "2", text(rng)]),
        "prompt": text(rng),
        "steps": steps(),
        "final_answer": rng.choice([text(rng), text(rng), None]),
        "meta": {text(rng): value(rng) for _ in range(rng.randrange(4))} if rng.randrange(3) else None,
    }
    if not rng.randrange(4):
        del found["trace_version"]
    if not rng.randrange(6):
        found[rng.choice([*found, text(rng)])] = value(rng)
    if not rng.randrange(12):
        found.pop(rng.choice(list(found)))
    if isinstance(found.get("steps"), list) and found["steps"] and not rng.randrange(8):
        found["steps"][rng.randrange(len(found["steps"]))] = value(rng)
    if isinstance(found.get("steps"), Never):
        # Steps may come one by one from anywhere; those without an end are the caller's own.
        found["steps"] = []
    return found


def as_text(value):
    """The value as JSON; a broken text where it is nested too deep for Python to write."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return '{"prompt": ' + '{"a": [' * 500 + "]}" * 499


def fits_json(value):
    """The value as it must come back, NaN and infinities null; NotImplemented inside what JSON does not have."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in (str, int, bool, type(None)):
        return value
    if kind is list:
        return [fits_json(item) for item in value]
    if kind is dict and all(type(key) is str for key in value):
        return {key: fits_json(item) for key, item in value.items()}
    raise NotImplementedError(kind)


def seeded(*names):
    """A generator that draws the same for the same names."""
    return random.Random(":".join(map(str, names)))
