"""Numbers, sizes, times and ids for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

_UNIT = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB")
_WHOLE = 10  # from here on a decimal says nothing
_GROUP_ENDS = (18, 23, 36)


class Ids(tuple[str, ...]):
    """Ids of examples in a cell: a terminal shows the first, a page all, none of them broken."""

    __slots__ = ()


class _Interval(Protocol):
    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


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


def short_ids(lists: Sequence[Sequence[str]]) -> list[Ids]:
    """The ids of each list, cut to the same length, at which all of them are distinct; see `prefix_length`."""
    n = prefix_length(UUID(each) for ids in lists for each in ids)
    return [Ids(each[:n] for each in ids) for ids in lists]


def share(k: int, n: int, estimate: _Interval) -> str:
    """`k` of `n`, with the share and its interval where the estimate has one.

    >>> from types import SimpleNamespace as Any
    >>> share(8, 10, Any(value=0.8, low=0.49, high=0.9434)), share(2, 3, Any(value=2 / 3, low=None, high=None))
    ('8 of 10: 80.0% (95 % interval 49.0% to 94.3%)', '2 of 3')
    """
    counts = f"{k:,} of {n:,}"
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return counts
    return f"{counts}: {estimate.value:.1%} (95 % interval {estimate.low:.1%} to {estimate.high:.1%})"
