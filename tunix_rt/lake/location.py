"""Where a lake is, how its storage is reached, and what its errors say: nothing of a URL or a key that could be secret.

Credentials come from the environment only (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
`AWS_REGION`, `AWS_ENDPOINT_URL`, …), where Delta reads them; none is kept here.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tunix_rt.errors import (
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnusable,
    TunixRTError,
)
from tunix_rt.paths import local_path, status_of

_LOCAL = "delta:"
_REMOTE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=+-][\w .=+-]*)+/?", re.ASCII)
# Delta's own are ten tries within three minutes.
_PATIENCE = {"connect_timeout": "5s", "timeout": "60s", "max_retries": "3", "retry_timeout": "15s"}
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_MESSAGE_CHARS = 300
# The process that has used Delta first: this one, or one that it was forked from.
_process: int | None = None
# Of HTTP; a number alone may be the milliseconds that a request took.
_STATUS = r"\bstatus(?: code)?(?: ↳|:)? "
# What Delta says, where: in object storage, in a folder, or anywhere (None). The first that matches explains it.
_FAULTS: tuple[tuple[re.Pattern[str], bool | None, type[StoreUnusable], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), is_remote, kind, message)
    for pattern, is_remote, kind, message in (
        (
            rf"no space left|disk quota|file too large|{_STATUS}507",
            None,
            StoreFull,
            "the storage is full ({}); free some space and try again",
        ),
        (
            (
                r"privilege|denied|forbidden|signature|InvalidAccessKey|credential|Unauthorized|NoSuchBucket"
                rf"|list request.*{_STATUS}404|{_STATUS}40[13]"
            ),
            True,
            StoreUnusable,
            (
                "the storage refuses the credentials, or has no such bucket ({}); set AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_REGION, and AWS_ENDPOINT_URL if it is not Amazon's"
            ),
        ),
        (
            rf"error sending request|connect|timed? ?out|dns error|broken pipe|reset by peer|{_STATUS}50[0-4]|retries",
            True,
            StoreUnreachable,
            (
                "the storage does not answer ({}); what was added is safe in the journal. Try again when it is up, or "
                "check AWS_ENDPOINT_URL"
            ),
        ),
        (
            r"read-only file system|permission denied|could not create local directory|os error 13",
            False,
            StoreReadOnly,
            "cannot be written ({}); give this user the right to write there",
        ),
        (
            r"concurrent|conflict|already exists",
            None,
            StoreBusy,
            "others changed the same files all the time ({}); try again",
        ),
        (
            r"invalid table|corrupt|parquet|not ?found|no such file|LogSegment|JSON",
            None,
            StoreDamaged,
            "a file of the lake is missing or broken ({})",
        ),
    )
)


class LakeLocation(NamedTuple):
    """A lake's address: `target` as `connect` takes it, and `uri`, under which its tables are folders.

    `folder` is None for object storage.
    """

    target: str
    uri: str
    folder: Path | None

    @classmethod
    def of(cls, target: Any) -> "LakeLocation":
        """The location of `delta:FOLDER` or `s3://BUCKET/PREFIX`; StoreUnusable for any other address.

        An address with a user, a password or a query is refused without being repeated.
        """
        if not isinstance(target, str):
            raise StoreUnusable(f"a lake's address must be a string, not a value of type {type(target).__name__}")
        if target.startswith(_LOCAL):
            folder = local_path(target.removeprefix(_LOCAL), StoreUnusable).absolute()
            status = status_of(folder, StoreUnusable)
            if status is not None and not folder.is_dir():
                raise StoreUnusable(f"{folder}: is not a folder; a lake is one")
            return cls(f"{_LOCAL}{folder}", str(folder), folder)
        if not target.startswith("s3://"):
            raise StoreUnusable("not the address of a lake: delta:/folder/name or s3://bucket/name")
        if not _REMOTE.fullmatch(target):
            # Not repeated: what was meant as a password may be in it.
            raise StoreUnusable(
                "the address of a lake in object storage must be s3://bucket/name, of letters, digits and . _ - + =, "
                "without a user, a password or a query; credentials come from the environment (AWS_ACCESS_KEY_ID, …)"
            )
        uri = target.rstrip("/")
        return cls(uri, uri, None)

    @property
    def path(self) -> Path:
        """The location as a path, which only names it where it is not a folder."""
        return Path(self.target) if self.folder is None else self.folder

    @property
    def options(self) -> dict[str, str] | None:
        """How Delta reaches the storage, beside what it reads from the environment."""
        return None if self.folder is not None else dict(_PATIENCE)

    def table_uri(self, name: str) -> str:
        """The address of one of its tables."""
        return f"{self.uri}/{name}"

    def refuse_forked(self) -> None:
        """Raises StoreUnusable in a child that was forked after Delta was used; the threads of Delta are not in it."""
        if is_forked():
            raise StoreUnusable(
                f"{self.target}: cannot be read in a process that was forked from one that used a lake; start "
                'processes by multiprocessing.get_context("spawn") or "forkserver". What is added here is safe in the '
                "journal"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Around work with the storage: its errors become those of this package, without addresses and keys."""
        from deltalake.exceptions import DeltaError

        self.refuse_forked()
        try:
            yield
        except TunixRTError:
            raise
        except (DeltaError, OSError) as error:
            raise self.fault(str(error)) from None

    def fault(self, said: str) -> StoreUnusable:
        """The error of this package for what the storage said."""
        said = scrubbed(said)
        for pattern, is_remote, kind, message in _FAULTS:
            if is_remote in (None, self.folder is None) and pattern.search(said):
                return kind(f"{self.target}: {message.format(_essence(said))}")
        return StoreUnusable(f"{self.target}: cannot be used as a lake ({said[:_MESSAGE_CHARS]})")


def is_forked() -> bool:
    """Whether this process was forked from one that has used Delta, which then ends each call with a panic."""
    global _process  # noqa: PLW0603 - Delta has one pool of threads for a process
    if _process is None:
        _process = os.getpid()
    return _process != os.getpid()


def scrubbed(said: str) -> str:
    """A message of the storage in one line, without addresses, keys and what the environment holds of them."""
    # Delta's messages have colours.
    said = re.sub(r"\x1b\[[\d;]*m", "", said)
    for name in _SECRETS:
        value = os.environ.get(name)
        if value:
            said = said.replace(value, "…")
    said = re.sub(r"https?://\S+", "(address)", said)
    said = re.sub(r"(?i)(AKIA|ASIA)[A-Z0-9]{12,}|(signature|credential|token|secret|password)[=:]\S+", "…", said)
    # The server's reply may repeat the key.
    said = re.sub(r"<[^>]*>[^<]*", "", said)
    return " ".join(said.split())


def _essence(said: str) -> str:
    """What went wrong in the end; Delta's messages begin with what it was doing."""
    parts = [part.strip(" -") for part in re.split("↳|->", said)]
    return next((part for part in reversed(parts) if part), said)[:_MESSAGE_CHARS]


def is_lake(target: Any) -> bool:
    """Whether the target of `connect` names a lake and not the file of a store."""
    return isinstance(target, str) and (target.startswith(_LOCAL) or "://" in target)
