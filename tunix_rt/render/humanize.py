"""Numbers, sizes, times and ids for people."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

_UNIT = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB")
_WHOLE = 10  # from here on a decimal says nothing
_GROUP_ENDS = (18, 23, 36)


def count(n: int, noun: str) -> str:
    """The number with its noun.

    >>> count(1, "step"), count(1234, "character")
    ('1 step', '1,234 characters')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def size(n_bytes: int) -> str:
    """A size in binary units, one decimal below ten.

    >>> size(512), size(1536), size(123 * 1024**2)
    ('512 bytes', '1.5 KiB', '123 MiB')
    """
    if n_bytes < _UNIT:
        return count(n_bytes, "byte")
    units = iter(_UNITS)
    value, unit = n_bytes / _UNIT, next(units)
    while round(value) >= _UNIT and unit != _UNITS[-1]:
        value, unit = value / _UNIT, next(units)
    return f"{value:.1f} {unit}" if round(value, 1) < _WHOLE else f"{value:,.0f} {unit}"


def utc(moment: datetime) -> str:
    """The moment in UTC, to the second.

    >>> utc(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
    '2026-01-02 03:04:05'
    """
    return _in_utc(moment).replace(tzinfo=None).isoformat(" ", "seconds")


def utc_exact(moment: datetime) -> str:
    """The moment in UTC, to the microsecond, in ISO 8601.

    >>> utc_exact(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
    '2026-01-02T03:04:05.678901+00:00'
    """
    return _in_utc(moment).isoformat(timespec="microseconds")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        # Within a day of the calendar's ends, in a zone that leads over it.
        return moment


def prefix_length(ids: Iterable[UUID]) -> int:
    """How many characters make these ids distinct, in complete groups of the written form.

    At least the three groups that hold a UUIDv7's time to the microsecond, so that pages made alike look alike.

    >>> prefix_length([UUID("019b76e9-0000-7000-8000-000000000000"), UUID("019b76e9-0000-7abc-8000-000000000000")])
    18
    """
    written = {str(each) for each in ids}
    return next(n for n in _GROUP_ENDS if len({each[:n] for each in written}) == len(written))
