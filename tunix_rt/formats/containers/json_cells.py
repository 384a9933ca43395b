"""Values in the cells of a CSV file: lists and objects, written as JSON or as Python writes them."""

import warnings
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.meta_values import literal
from tunix_rt.formats.rows.row import Rejection, Row
from tunix_rt.json_values import parsed

# A column is judged by so many rows, which are in memory together.
_SAMPLE_ROWS = 20
_SAMPLE_CHARS = 2**24
# Python's parser takes some hundred times the memory of what it parses.
_MOST_LITERAL_CHARS = 2**21
_MISSING = {"", "nan", "None", "null"}
# Columns of texts: a model may well answer in JSON. Only lists of objects, as messages are, are values there.
TEXT_COLUMNS = {
    "prompt", "question", "problem", "query", "instruction", "input", "user_prompt", "response", "output",
    "completion", "generation", "generated_solution", "answer", "final_answer", "model_answer", "prediction",
    "pred", "solution", "text", "content", "rationale", "cot", "reasoning", "thinking", "gold", "target",
    "label", "expected_answer", "ground_truth", "reference",
}  # fmt: skip


def with_values(rows: Iterator[Row | Rejection]) -> Iterator[Row | Rejection]:
    """The rows, with values for texts in columns where each cell of the first rows holds a list or an object."""
    sample: list[Row | Rejection] = []
    size = 0
    for row in islice(rows, _SAMPLE_ROWS):
        sample.append(row)
        size += sum(map(len, row.value.values())) if isinstance(row, Row) else 0
        if size > _SAMPLE_CHARS:
            break
    values = [row.value for row in sample if isinstance(row, Row)]
    names = [name for name in (values[0] if values else ()) if _is_of_values(name, [row[name] for row in values])]
    for row in chain(sample, rows):
        if isinstance(row, Row):
            for name in names:
                if (value := _value(row.value[name])) is not None:
                    row.value[name] = value
        yield row


def _is_of_values(name: str, cells: list[str]) -> bool:
    written = [cell for cell in cells if cell.strip() not in _MISSING]
    if not written or not all(cell.lstrip()[:1] in ("[", "{") for cell in written):
        return False
    values = [_value(cell) for cell in written]
    if any(value is None for value in values):
        return False
    return name.lower() not in TEXT_COLUMNS or all(map(_is_of_objects, values))


def _is_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _value(cell: str) -> list[Any] | dict[str, Any] | None:
    """The list or the object that the text is; None where it is none."""
    if cell.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        value = parsed(cell)
    except (ValueError, RecursionError):
        value = _literal(cell) if len(cell) <= _MOST_LITERAL_CHARS else None
    return value if isinstance(value, list | dict) else None


def _literal(cell: str) -> Any:
    try:
        with warnings.catch_warnings():
            # Of escapes in a text that Python does not know.
            warnings.simplefilter("ignore")
            return literal(cell, "cell")
    except TraceInvalid:
        return None
