"""Zip archives, read in place: the samples of an Inspect log, `samples/*.json`, as rows; the members of any other.

A name in an archive is only ever compared, never a path. Inspect packs with deflate or, since 2025, with zstd (method
93), which zipfile knows from Python 3.14 on: Arrow unpacks that.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.containers.listing import ENDINGS_READ, is_named_as_source
from tunix_rt.formats.containers.pickles import pickle_refused
from tunix_rt.formats.rows.row import REJECTED_TEXT_CHARS, Rejection, Row
from tunix_rt.json_values import parsed

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD = 93
# Others could be unpacked too, but not within a bound: zipfile takes all that their unpackers return at once.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, _ZSTD}
_ENCRYPTED = 0x1
_LOCAL_HEADER_BYTES = 30
# The log's own header; while the evaluation is still running, that of its beginning.
_HEADERS = ("header.json", "_journal/start.json")


# PyTorch's archives have their pickle under this name.
_PICKLE = "data.pkl"


class _MemberInvalid(Exception):
    pass


# What reading a member may raise.
ERRORS = (
    _MemberInvalid,
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


def opened(seekable: IO[bytes], path: Path | str) -> zipfile.ZipFile | None:
    """The archive, whose members are read as files; None for the log of Inspect, which is read by `sample_rows`.

    Raises SourceInvalid where it is damaged, or holds what is never opened or no rows.
    """
    archive = _archive(seekable, path)
    names = archive.namelist()
    if any(name.rpartition("/")[2] == _PICKLE for name in names):
        archive.close()
        raise pickle_refused(path, "a PyTorch file")
    if not any(map(_is_sample, names)) and any(map(is_named_as_source, names)):
        return archive
    return None


def members(archive: zipfile.ZipFile, path: Path | str) -> list[zipfile.ZipInfo]:
    """The members in the order in which they are in the file. Raises SourceInvalid where they share bytes."""
    found = sorted(archive.infolist(), key=lambda member: member.header_offset)
    _refuse_overlaps(found, path)
    return found


def sample_rows(seekable: IO[bytes], path: Path | str, most_bytes: int) -> Iterator[Row | Rejection]:
    """The samples of the archive in their order, each as a row with the log's `eval` beside its fields.

    A member that cannot be read, or is larger than `most_bytes` when unpacked, is a Rejection. Raises SourceInvalid
    where the archive itself is damaged or not a log.
    """
    with _archive(seekable, path) as archive:
        in_order = members(archive, path)
        # A sample that was scored again is appended under its name; the last one counts.
        samples = list({member.filename: member for member in in_order if _is_sample(member.filename)}.values())
        if not samples:
            raise SourceInvalid(
                f"{path}: is a zip archive without samples/*.json, so it is not an Inspect log, and without files of "
                f"traces; their names end in {ENDINGS_READ}"
            )
        shared = _header(archive, in_order, most_bytes)
        for line, member in enumerate(samples, start=1):
            try:
                raw = _unpacked(archive, member, most_bytes)
            except _MemberInvalid as error:
                yield Rejection(str(path), line, None, f"{member.filename}: {error}", "")
                continue
            try:
                value = parsed(raw)
            except (ValueError, RecursionError) as error:
                start = raw[: 4 * REJECTED_TEXT_CHARS].decode(errors="replace")[:REJECTED_TEXT_CHARS]
                yield Rejection(str(path), line, None, f"{member.filename}: invalid JSON: {error}", start)
                continue
            yield Row(str(path), line, value={**shared, **value} if isinstance(value, dict) else value)


def _archive(seekable: IO[bytes], path: Path | str) -> zipfile.ZipFile:
    seekable.seek(0)
    try:
        return zipfile.ZipFile(seekable)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceInvalid(f"{path}: damaged zip archive: {error}") from None


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def _refuse_overlaps(members: list[zipfile.ZipInfo], path: Path | str) -> None:
    """Members that share their bytes are how a small archive unpacks to more than any disk holds."""
    end = 0
    for member in members:
        if member.header_offset < end:
            raise SourceInvalid(f"{path}: damaged zip archive: {member.filename[:80]} overlaps the member before it")
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size


def _header(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], most_bytes: int) -> dict[str, Any]:
    """What the samples share; nothing where the header is missing or damaged, for they can be read without it."""
    by_name = {member.filename: member for member in members}
    for name in _HEADERS:
        try:
            header = parsed(_unpacked(archive, by_name[name], most_bytes))
            return {"eval": header["eval"]}
        except (KeyError, TypeError, ValueError, RecursionError, _MemberInvalid):
            continue
    return {}


def stream_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_packed: int) -> IO[bytes]:
    """The unpacked bytes of a member as a stream; raises one of ERRORS, as reading it does."""
    if member.flag_bits & _ENCRYPTED:
        raise _MemberInvalid("is encrypted")
    if member.compress_type not in _METHODS:
        raise _MemberInvalid(f"is packed by method {member.compress_type}, which cannot be read; pack it with deflate")
    if member.compress_type != _ZSTD:
        return archive.open(member)
    file = archive.fp
    if file is None:
        raise _MemberInvalid("is damaged: the archive is closed")
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(MAGIC[0]):
        raise _MemberInvalid("is damaged: there is no header before it")
    # The name and the extra field are between the header and the data, with lengths of their own.
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    packed = file.read(min(member.compress_size, most_packed))
    return cast("IO[bytes]", pa.CompressedInputStream(pa.BufferReader(packed), "zstd"))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_bytes: int) -> bytes:
    try:
        with stream_of(archive, member, most_bytes) as stream:
            raw = bytes(stream.read(most_bytes + 1))
    except _MemberInvalid:
        raise
    except ERRORS as error:
        raise _MemberInvalid(f"is damaged: {error}") from None
    if len(raw) > most_bytes:
        raise _MemberInvalid(f"exceeds maximum of {most_bytes:,} bytes for a row")
    if member.compress_type == _ZSTD and zlib.crc32(raw) != member.CRC:
        raise _MemberInvalid("is damaged: its checksum does not match")
    return raw
