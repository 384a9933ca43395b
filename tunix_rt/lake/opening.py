"""`connect`: one way to a store of this machine and to a shared lake."""

from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING

from tunix_rt.errors import QueryInvalid, StoreUnusable
from tunix_rt.lake.location import is_lake
from tunix_rt.settings import Settings

if TYPE_CHECKING:
    from tunix_rt.store.store import TraceStore


def connect(
    target: str | PathLike[str], *, settings: Settings | None = None, as_of: int | datetime | None = None
) -> "TraceStore":
    """The store at a path (or ":memory:"), or the lake at `delta:/shared/traces` or `s3://bucket/traces`.

    A lake has the calls of a store, for many machines at once; REFERENCE.md says of each whether a lake has it. It is
    made where there is none, and needs the extra `lake`. Credentials for S3 come from the environment. `as_of` opens a
    lake as it was: a version, or a datetime. Raises StoreUnusable where the target cannot be opened, StoreUnreachable
    where the storage does not answer, and QueryInvalid for `as_of` of a store's file.

    >>> connect(":memory:").count()
    0
    """
    if not is_lake(target):
        from tunix_rt.store.store import TraceStore

        if as_of is not None:
            raise QueryInvalid("as_of: only a lake has older versions; leave it out for the file of a store")
        return TraceStore(target, settings=settings)  # type: ignore[arg-type]
    try:
        import deltalake  # noqa: F401 - only whether it is there
    except ImportError:
        raise StoreUnusable('connect: a lake needs the package deltalake: pip install "tunix-rt[lake]"') from None
    from tunix_rt.lake.lake import Lake

    return Lake(str(target), settings=settings, as_of=as_of)
