"""Where a page begins: an offset, or a cursor, which is a position in an order."""

import base64
import struct
import zlib
from datetime import date, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.rows import from_microseconds, to_microseconds
from tunix_rt.store.filter_values import as_time
from tunix_rt.store.score_filter import scorer_names
from tunix_rt.validation import short

MAX_LIMIT = 100
# DuckDB accepts no larger one, and no store has that many traces.
_MOST_OFFSET = 2**62
_POSITION = struct.Struct(">q16s")
_CHECK = struct.Struct(">I")
_NUMBER = struct.Struct(">d")


class Cursor(NamedTuple):
    """The position after a trace in an order; opaque as text, stable while traces are added and deleted.

    `order` identifies an order other than newest first; the trace has a number or a text there, or neither.
    """

    created_at: datetime
    id: UUID
    number: float | None = None
    text: str | None = None
    order: int | None = None

    def __str__(self) -> str:
        packed = _POSITION.pack(to_microseconds(self.created_at), self.id.bytes)
        if self.order is not None:
            packed += _CHECK.pack(self.order)
            packed += b"" if self.number is None else b"n" + _NUMBER.pack(self.number)
            packed += b"" if self.text is None else b"t" + self.text.encode()
        return base64.urlsafe_b64encode(packed + _CHECK.pack(zlib.crc32(packed))).decode().rstrip("=")

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """The position that a text encodes; QueryInvalid, with the option's name, if it is not a valid cursor."""
        try:
            whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4) if isinstance(text, str) else b"")
            packed, check = whole[: -_CHECK.size], whole[-_CHECK.size :]
            if check == _CHECK.pack(zlib.crc32(packed)):
                return cls._unpacked(packed)
        except (ValueError, TypeError, struct.error, OverflowError):
            pass
        raise QueryInvalid(f"{name}={short(text)}: is not a valid cursor; use `next` or `previous` of a page")

    @classmethod
    def _unpacked(cls, packed: bytes) -> Self:
        microseconds, id_bytes = _POSITION.unpack(packed[: _POSITION.size])
        position = (from_microseconds(microseconds), UUID(bytes=id_bytes))
        order, key = packed[_POSITION.size :][: _CHECK.size], packed[_POSITION.size + _CHECK.size :]
        if not order:
            return cls(*position)
        number = _NUMBER.unpack(key[1:])[0] if key[:1] == b"n" else None
        text = key[1:].decode() if key[:1] == b"t" else None
        return cls(*position, number, text, _CHECK.unpack(order)[0])


def cursor_at(moment: datetime | date | str) -> str:
    """The cursor before all traces created before this moment, which is given like the filter `until`.

    `page(after=…)` begins with the newest of them, and `page(before=…)` ends with the oldest of the others: a jump to a
    moment that leads both ways, where a filter would hide what is newer.
    """
    # No id is lower, so traces of the moment itself come before this cursor.
    return str(Cursor(as_time("until", moment), UUID(int=0)))


class PageRequest(NamedTuple):
    """The requested page: its limit, an offset or a cursor, after which or before which it is, the scores to read."""

    limit: int
    offset: int
    after: Cursor | None
    before: Cursor | None
    scores: tuple[str, ...]

    @classmethod
    def checked(cls, *, limit: int, offset: int, after: str | None, before: str | None, scores: Any = None) -> Self:
        """The page that these options of `TraceStore.page` request; QueryInvalid if one of them is not valid."""
        whole_number("limit", limit, 1, MAX_LIMIT)
        whole_number("offset", offset, 0, None)
        if before is not None and (offset or after is not None):
            raise QueryInvalid("`before` cannot be combined with `after` or `offset`")
        return cls(
            limit,
            min(offset, _MOST_OFFSET),
            None if after is None else Cursor.parse("after", after),
            None if before is None else Cursor.parse("before", before),
            scorer_names("scores", scores),
        )

    def check_order(self, order: int | None) -> None:
        """Raises QueryInvalid if a cursor is of another order."""
        for name, cursor in (("after", self.after), ("before", self.before)):
            if cursor is not None and cursor.order != order:
                raise QueryInvalid(
                    f"{name}={short(str(cursor))}: is a cursor of a page in another order; give the same order_by and "
                    "descending as for that page"
                )


def whole_number(name: str, value: Any, least: int, most: int | None) -> None:
    """Raises QueryInvalid if an option is not a whole number between these bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise QueryInvalid(f"{name}={short(value)}: must be a whole number {allowed}")
