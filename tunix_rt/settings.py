"""The settings of a store, from the environment (`TUNIX_RT_*`) and from a `.env` file in the working directory."""

from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunix_rt.errors import SettingsInvalid

_PREFIX = "TUNIX_RT_"


def default_database() -> Path:
    """The store that is used when none is named: `traces.duckdb` in the user's data folder."""
    return platformdirs.user_data_path("tunix-rt", appauthor=False) / "traces.duckdb"


class Settings(BaseSettings):
    """Where the store lies and how much it takes on: from the environment, then `.env`, then the defaults.

    Raises SettingsInvalid, which names the variable, its value and what is allowed.

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
    trace_max_bytes: int = Field(
        default=1_048_576, ge=1_024, le=10_485_760, description="The largest trace as JSON, in bytes."
    )

    def __init__(self, **given: Any) -> None:
        for name in given.keys() - type(self).model_fields.keys():
            # Unknown lines of .env are other programs'; an unknown option is a slip.
            raise SettingsInvalid(f"{name}: unknown setting; known are {', '.join(type(self).model_fields)}")
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsInvalid("\n".join(map(_words, error.errors(include_url=False)))) from None

    @field_validator("database")
    @classmethod
    def _expand_home(cls, path: Path) -> Path:
        if not path.name:
            raise ValueError("must be the path of a file")
        return path.expanduser()


def _words(fault: Any) -> str:
    name = ".".join(map(str, fault["loc"]))
    shown = f"{_PREFIX}{name.upper()}={fault['input']}"
    field = Settings.model_fields.get(name)
    if field is None or field.annotation is not int:
        return f"{shown}: {fault['msg'].removeprefix('Value error, ')}"
    bounds = {key: getattr(bound, key) for bound in field.metadata for key in ("ge", "le") if hasattr(bound, key)}
    return f"{shown}: must be a whole number from {bounds['ge']:,} to {bounds['le']:,}"
