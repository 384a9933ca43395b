"""The times and ids of new traces: each time later than the one before, whatever the machine's clock does."""

import threading
import time
from datetime import datetime
from uuid import UUID

import uuid_utils.compat

from tunix_rt.store.rows import from_microseconds, to_microseconds

_lock = threading.Lock()
_last = 0


def new_time() -> datetime:
    """Now, in UTC, at least a microsecond after the time given out before."""
    global _last  # noqa: PLW0603 - one clock for a process, so that the traces of two stores in it sort together too
    with _lock:
        _last = max(time.time_ns() // 1_000, _last + 1)
        return from_microseconds(_last)


def new_id(created_at: datetime) -> UUID:
    """A UUIDv7 that carries this time to the microsecond, so that ids sort as times do; before 1970 it carries zero.

    The part of the millisecond stands in the twelve bits behind it (RFC 9562, section 6.2, method 3).
    """
    microseconds = max(0, to_microseconds(created_at))
    drawn = uuid_utils.compat.uuid7(nanoseconds=microseconds * 1_000).int
    fraction = microseconds % 1_000 * 4_096 // 1_000
    return UUID(int=drawn & ~(0xFFF << 64) | fraction << 64)
