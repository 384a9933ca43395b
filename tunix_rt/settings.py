"""The settings of a store, from the environment (`TUNIX_RT_*`) and from a `.env` file in the working directory."""

import getpass
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import platformdirs
from pydantic import AnyHttpUrl, ByteSize, Field, TypeAdapter, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunix_rt.errors import SettingsInvalid
from tunix_rt.paths import MEMORY, checked_path

# A trace of 10 MiB of numbers, or of 250,000 steps, is stored, read and exported with so much; with 320 MB it is not.
MEMORY_LIMIT_LEAST = 400_000_000

# Part of the name of a scorer, `label:NAME`.
ANNOTATOR = re.compile(r"[\w.@+-](?:[\w.@+ -]{0,78}[\w.@+-])?")

_PREFIX = "TUNIX_RT_"
_URL = TypeAdapter(AnyHttpUrl)
_PATH = re.compile(r'/[!-"$->@-~]*')
# What may be shown of a value: a number or a word, as far as a slip of the keyboard goes.
_SHOWN = re.compile(r"[\w.+-]{0,20}")


def default_database() -> Path:
    """The store that is used when none is named: `traces.duckdb` in the user's data folder."""
    return platformdirs.user_data_path("tunix-rt", appauthor=False) / "traces.duckdb"


def user_name() -> str:
    """The name of the user; "me" where the system knows none, as in some containers, or an odd one."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "me"
    return name if ANNOTATOR.fullmatch(name) else "me"


class Settings(BaseSettings):
    """Where the store lies, how much it takes on, and RediAI: from the environment, then `.env`, then the defaults.

    Raises SettingsInvalid, which names the variable and what is allowed; of the value it shows only a number or a word,
    for a text may hold a password.

    >>> Settings(pool_size=10).pool_size
    10
    >>> Settings(pool_size=51)
    Traceback (most recent call last):
    tunix_rt.errors.SettingsInvalid: TUNIX_RT_POOL_SIZE=51: must be a whole number from 1 to 50
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    database: Path = Field(default_factory=default_database, description="The store's DuckDB file.")
    pool_size: int = Field(default=5, ge=1, le=50, description="Threads at work in the store at once.")
    max_overflow: int = Field(default=10, ge=0, le=50, description="Further threads let in when that many are at work.")
    pool_timeout: int = Field(default=30, ge=1, le=300, description="Seconds to wait for the store before StoreBusy.")
    memory_limit: ByteSize = Field(
        default=ByteSize(512_000_000),
        ge=MEMORY_LIMIT_LEAST,
        description="Memory for the store's DuckDB, in bytes or as 512MB or 2GB; beyond it, it spills to disk.",
    )
    trace_max_bytes: int = Field(
        default=1_048_576, ge=1_024, le=10_485_760, description="The largest trace as JSON, in bytes."
    )
    workers: int = Field(
        default=4, ge=0, le=64, description="Processes that read large files, at most one per core; 0: this one alone."
    )

    annotator: str = Field(default_factory=user_name, description="Whose labels a label is, where nobody is named.")

    rediai_mode: Literal["off", "mock", "real"] = Field(
        default="off", description="Whether health asks RediAI: not, as a mock that is always healthy, or over HTTP."
    )
    rediai_base_url: str = Field(default="http://localhost:8080", description="Where RediAI answers.")
    rediai_health_path: str = Field(default="/health", description="The path there that tells its health.")
    rediai_health_cache_ttl_seconds: int = Field(
        default=30, ge=0, le=300, description="Seconds for which an answer of RediAI is good."
    )

    def __init__(self, **given: Any) -> None:
        for name in given.keys() - type(self).model_fields.keys():
            # Unknown lines of .env are other programs'; an unknown option is a slip.
            raise SettingsInvalid(f"{name}: unknown setting; known are {', '.join(type(self).model_fields)}")
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsInvalid("\n".join(map(_words, error.errors(include_url=False)))) from None
        except UnicodeDecodeError:
            raise SettingsInvalid(".env: must be text in UTF-8; it is in the working folder") from None
        except OSError as error:
            raise SettingsInvalid(f".env: cannot be read ({error.strerror}); it is in the working folder") from None

    @field_validator("database", mode="before")
    @classmethod
    def _check_database(cls, given: Any) -> Path:
        if isinstance(given, str | Path) and not Path(given).name:
            raise ValueError("must be the path of a file")
        return Path(MEMORY) if str(given) == MEMORY else checked_path(given)

    @field_validator("annotator")
    @classmethod
    def _check_annotator(cls, name: str) -> str:
        if not ANNOTATOR.fullmatch(name):
            raise ValueError("must be a name of 1 to 80 letters, digits, spaces and . _ - + @")
        return name

    @field_validator("rediai_base_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = _URL.validate_python(url)
        except ValidationError:
            raise ValueError("must be a URL that begins with http:// or https://") from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have only a scheme, host, port and path: no user, password, query or fragment")
        return str(parts).rstrip("/")

    @field_validator("rediai_health_path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not _PATH.fullmatch(path):
            raise ValueError("must begin with / and contain only ASCII characters, without spaces, ? and #")
        return path


def _words(fault: Any) -> str:
    name, value = ".".join(map(str, fault["loc"])), str(fault["input"])
    field = Settings.model_fields.get(name)
    is_choice = field is not None and get_origin(field.annotation) is Literal
    is_number = field is not None and field.annotation is int
    is_shown = (is_choice or is_number) and _SHOWN.fullmatch(value)
    shown = f"{_PREFIX}{name.upper()}={value if is_shown else '…'}"
    if field is not None and is_choice:
        return f"{shown}: must be one of {', '.join(get_args(field.annotation))}"
    if field is not None and field.annotation is ByteSize:
        return f"{shown}: must be a number of bytes, or a size such as 512MB or 2GB, of at least {MEMORY_LIMIT_LEAST:,}"
    if field is None or not is_number:
        return f"{shown}: {fault['msg'].removeprefix('Value error, ')}"
    bounds = {key: getattr(bound, key) for bound in field.metadata for key in ("ge", "le") if hasattr(bound, key)}
    return f"{shown}: must be a whole number from {bounds['ge']:,} to {bounds['le']:,}"
