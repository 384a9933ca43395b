"""What a source says of an answer, and lists that run parallel to its samples."""

from collections.abc import Mapping
from typing import Any

from tunix_rt.formats.rows.meta_values import is_number


def verdict_in(value: Any) -> dict[str, Any] | None:
    """`correct` for a boolean, and for the numbers 0 and 1; `reward` for another number; None for what is neither.

    >>> verdict_in(1.0), verdict_in(0.25), verdict_in("yes")
    ({'correct': True}, {'reward': 0.25}, None)
    """
    if isinstance(value, bool):
        return {"correct": value}
    if not is_number(value):
        return None
    return {"correct": bool(value)} if value in (0, 1) else {"reward": value}


def parallel(fields: Mapping[str, Any], length: int, *names: str) -> dict[str, list[Any]]:
    """Those of these fields that are lists with an item for each of `length` samples.

    Of a list of another length nobody knows which item is missing: it stays in the row as it is.
    """
    lists = {name: fields.get(name) for name in names}
    return {name: items for name, items in lists.items() if isinstance(items, list) and len(items) == length}


def sample_meta(index: int, length: int) -> dict[str, Any]:
    """The number of a sample; one alone has none."""
    return {"sample": index} if length > 1 else {}
