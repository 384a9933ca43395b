"""The times, ids and rows of new traces: each time later than the one before, whatever the machine's clock does."""

import os
import threading
import time
from collections.abc import Sequence

from tunix_rt.formats import TraceFields
from tunix_rt.model import Trace
from tunix_rt.store.engine.rows import NewRow, encode

_lock = threading.Lock()
_last = 0


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a forked child must not wait for a thread that only its parent has
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def new_times(n: int) -> range:
    """`n` times from now on, a microsecond apart and after all given out before, in microseconds since 1970."""
    global _last  # noqa: PLW0603 - one clock for a process, so that the traces of two stores in it sort together too
    with _lock:
        first = max(time.time_ns() // 1_000, _last + 1)
        _last = first + n - 1
    return range(first, first + n)


def new_row(trace: Trace | TraceFields, trace_max_bytes: int) -> NewRow:
    """The row of a trace that is added now; TraceTooLarge where its line is longer than `trace_max_bytes`."""
    line, digest = encode(trace, trace_max_bytes)
    created_at = new_times(1)[0]
    return NewRow(new_ids([created_at])[0], created_at, digest, line.joined())


def new_ids(times: Sequence[int]) -> list[bytes]:
    """The 16 bytes of a UUIDv7 for each of these times in microseconds since 1970, so that ids sort as times do.

    An id carries its time to the microsecond; for a time before 1970 it carries zero.
    48 bits of milliseconds, the version, the part of the millisecond in 12 bits, the variant, 62 random bits
    (RFC 9562, section 6.2, method 3).
    """
    random = memoryview(os.urandom(8 * len(times))).cast("Q")
    return [
        (
            max(0, us) // 1_000 << 80 | 7 << 76 | max(0, us) % 1_000 * 4_096 // 1_000 << 64 | 2 << 62 | bits >> 2
        ).to_bytes(16)
        for us, bits in zip(times, random, strict=True)
    ]
