"""What is refused by its kind: pickles run code when they are opened, so none ever is."""

from pathlib import Path

from tunix_rt.errors import SourceInvalid

_PROTOCOLS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_NUMPY = b"\x93NUMPY"
# The oldest protocols are text, without a mark at the beginning.
_ENDINGS = (".pkl", ".pickle")


def refuse_pickle(path: Path | str, head: bytes) -> None:
    """Raises SourceInvalid where a file that begins so is a pickle, or an array of NumPy, which may have one in it."""
    if head.startswith(_PROTOCOLS) or (str(path).lower().endswith(_ENDINGS) and head.rstrip().endswith(b".")):
        raise pickle_refused(path, "a pickle")
    if head.startswith(_NUMPY):
        raise pickle_refused(path, "a NumPy array")


def pickle_refused(path: Path | str, kind: str) -> SourceInvalid:
    """The refusal of a file of this kind."""
    return SourceInvalid(
        f"{path}: is {kind}, and what is pickled in it could run code, so it is never opened. Where it was made, save "
        "its rows as JSON Lines or Parquet"
    )
