"""Rows in a JSON document: the elements of an array, or objects one after the other, over any number of lines."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any, cast

from tunix_rt.formats.containers.wrapped_rows import conversation_of, speaker_of
from tunix_rt.formats.rows.row import REJECTED_TEXT_CHARS, Rejection, Row
from tunix_rt.json_values import parsed

_CHUNK_CHARS = 2**20
_DECODER = json.JSONDecoder()
_BETWEEN_VALUES = re.compile(r"[\s,]*")


def is_document(head: bytes) -> bool:
    """Whether a file that begins so is a JSON document rather than a row to a line."""
    text = head.decode(errors="replace").lstrip()
    if text.startswith("["):
        return True
    first_line, _, rest = text.partition("\n")
    several = _holds_several(first_line)
    if several or _parses(first_line) or not rest.strip():
        return several
    try:
        _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        # A broken row has its error on its own line; an object over several lines has it later, if at all.
        return error.pos > len(first_line) and not _parses(rest.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        # Too deep, or a number of thousands of digits, wherever it is.
        return not first_line.rstrip().endswith("}")
    return True


def documents(stream: io.BufferedReader, file: str, most_chars: int) -> Iterator[Row | Rejection]:
    """The objects of the document, each with the line it begins on; an array of messages is one, with `messages`.

    After an error the values cannot be separated any more: it ends the reading with a Rejection.
    """
    reading = _Reading(stream, file, most_chars)
    try:
        while character := reading.next_character():
            if character == "[":
                yield from _or_one_conversation(_elements(reading), most_chars)
            else:
                yield reading.next_row()
    except json.JSONDecodeError as error:
        yield reading.rejection(error.msg, error.pos)
    except _TooLargeError as error:
        yield Rejection(file, reading.line, None, f"{error}; nothing after it was read", reading.start())
    except (ValueError, RecursionError) as error:
        yield reading.rejection(str(error))


def _elements(reading: "_Reading") -> Iterator[Row]:
    """The elements of the array that begins here."""
    reading.advance(reading.at + 1)
    while (character := reading.next_character()) != "]":
        if not character:
            raise ValueError("the array is not closed; the file may be cut off")
        yield reading.next_row()
    reading.advance(reading.at + 1)


def _or_one_conversation(rows: Iterator[Row], most_chars: int) -> Iterator[Row]:
    """The rows, or if all of them are messages the conversation that they are together."""
    held: list[Row] = []
    speakers: list[str] = []
    size = 0
    try:
        for row in rows:
            speaker = speaker_of(_value(row))
            size += len(row.raw or b"")
            held.append(row)
            if speaker is None or size > most_chars:
                break
            speakers.append(speaker)
    except (ValueError, RecursionError, _TooLargeError):
        # Of a conversation that is cut off, nobody knows what its answer was.
        yield from () if conversation_of(speakers) else held
        raise
    if len(speakers) < len(held):
        yield from held
        yield from rows
    elif name := conversation_of(speakers):
        joined = b'{"%s":[%s]}' % (name.encode(), b",".join(row.raw or b"" for row in held))
        yield Row(held[0].file, held[0].line, raw=joined)
    else:
        yield from held


class _TooLargeError(Exception):
    pass


class _Reading:
    """A window of text that moves over the stream."""

    def __init__(self, stream: io.BufferedReader, file: str, most_chars: int) -> None:
        self._stream = stream
        self._file = file
        self._most_chars = most_chars
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._text = ""
        self._ended = False
        self.at = 0
        self.line = 1

    def advance(self, to: int) -> None:
        self.line += self._text.count("\n", self.at, to)
        self.at = to

    def next_character(self) -> str:
        """The first character of the next value, or of the array's end; empty at the end of the file."""
        while True:
            self.advance(cast("re.Match[str]", _BETWEEN_VALUES.match(self._text, self.at)).end())
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._grow()

    def next_row(self) -> Row:
        """The next value as a row."""
        line = self.line
        # A byte that is not UTF-8 goes with its row, which is refused for it, and not with all after it.
        return Row(self._file, line, raw=self.next_value().encode(errors="surrogateescape"))

    def next_value(self) -> str:
        """The text of the next value."""
        while True:
            try:
                end = _DECODER.raw_decode(self._text, self.at)[1]
            except json.JSONDecodeError:
                if self._ended:
                    raise
                if len(self._text) - self.at > self._most_chars:
                    raise _TooLargeError(f"exceeds maximum of {self._most_chars:,} characters for a row") from None
                self._grow()
            else:
                text = self._text[self.at : end]
                self.advance(end)
                return text

    def rejection(self, reason: str, position: int | None = None) -> Rejection:
        position = self.at if position is None else position
        line = self.line + self._text.count("\n", self.at, position)
        column = position - self._text.rfind("\n", 0, position)
        return Rejection(
            self._file,
            line,
            None,
            f"invalid JSON at line {line:,}, column {column:,}: {reason}; nothing after it was read",
            self.start(),
        )

    def start(self) -> str:
        """How the value begins that is being read."""
        return self._text[self.at : self.at + REJECTED_TEXT_CHARS]

    def _grow(self) -> None:
        # Twice the window each time, so that a large value is not parsed again for each small piece.
        data = self._stream.read(max(_CHUNK_CHARS, len(self._text) - self.at))
        self._ended = not data
        self._text = self._text[self.at :] + self._utf8.decode(data, final=self._ended)
        self.at = 0


def _holds_several(line: str) -> bool:
    """Whether one object stands behind the other on the line, with nothing or blanks between."""
    try:
        end = _DECODER.raw_decode(line)[1]
    except (ValueError, RecursionError):
        return False
    return line[:1] == "{" and line[end:].lstrip().startswith("{")


def _value(row: Row) -> Any:
    # Not `row.value`, which stays: all that is held would be in memory twice.
    try:
        return parsed(row.raw or b"")
    except (ValueError, RecursionError):
        return None


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
