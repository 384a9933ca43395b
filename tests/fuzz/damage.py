"""Damage to bytes: flipped, cut, doubled, moved, in another encoding, packed, packed twice, half packed."""

import bz2
import gzip
import lzma

from tests.data_sets import zstd

_ENCODINGS = ["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "cp1252", "latin-1", "shift_jis", "utf-7"]
_BITS = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\r\n", b"\n", b'"', b"\\", b",", b"{", b"}", b"[", b"]",
    b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"-", b"\xc0\x80", b"\xed\xa0\x80", b"PAR1", b"PK\x03\x04", b"\x1f\x8b",
    b"9" * 4_400, b"[" * 5_000, b'{"a":' * 3_000, b";", b"\t", b"''", b"/*", b"\x28\xb5\x2f\xfd", b"\x1a",
]  # fmt: skip


def damaged(rng, data):
    """The bytes with up to three faults; some have none."""
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3])):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        end = min(end, at + rng.choice([1, 4, 100, len(data)]))
        match rng.randrange(9):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:]
            case 3 | 4:
                data = data[:at] + rng.choice(_BITS) + data[at:]
            case 5 if data:
                flipped = bytearray(data)
                flipped[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
                data = bytes(flipped)
            case 6:
                data = data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[end:]
            case 7:
                data = data.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b" "]))
            case 8:
                data = data.decode(errors="replace").encode(rng.choice(_ENCODINGS), errors="replace")
    return data


def packed(rng, data):
    """The bytes as they are, or packed, mostly well."""
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        data = rng.choice([gzip.compress, zstd, bz2.compress, lzma.compress])(data)
        if not rng.randrange(4):
            data = damaged(rng, data)
    return data
