"""Where settings come from, their bounds, and what a bad one is told."""

import re
from pathlib import Path

import pytest

import tunix_rt as rt


def test_the_defaults_are_the_documented_ones(monkeypatch):
    monkeypatch.delenv("TUNIX_RT_DATABASE")
    settings = rt.Settings()
    assert (settings.pool_size, settings.max_overflow, settings.pool_timeout) == (5, 10, 30)
    assert settings.trace_max_bytes == 1_048_576
    assert settings.database.name == "traces.duckdb"
    assert settings.database.is_absolute()


def test_the_environment_goes_before_dotenv_and_dotenv_before_the_defaults(monkeypatch):
    Path(".env").write_text("TUNIX_RT_POOL_SIZE=7\nTUNIX_RT_POOL_TIMEOUT=60\nOTHER_PROGRAM=1\n")
    monkeypatch.setenv("TUNIX_RT_POOL_SIZE", "8")
    settings = rt.Settings()
    assert (settings.pool_size, settings.pool_timeout, settings.max_overflow) == (8, 60, 10)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("pool_size", 1, 50),
        ("max_overflow", 0, 50),
        ("pool_timeout", 1, 300),
        ("trace_max_bytes", 1_024, 10_485_760),
        ("rediai_health_cache_ttl_seconds", 0, 300),
    ],
)
def test_each_number_has_its_bounds(monkeypatch, name, lowest, highest):
    variable = f"TUNIX_RT_{name.upper()}"
    for allowed in (lowest, highest):
        monkeypatch.setenv(variable, str(allowed))
        assert getattr(rt.Settings(), name) == allowed
    for refused in (str(lowest - 1), str(highest + 1), "many", "", "1.5"):
        monkeypatch.setenv(variable, refused)
        with pytest.raises(rt.SettingsInvalid) as caught:
            rt.Settings()
        assert str(caught.value) == f"{variable}={refused}: must be a whole number from {lowest:,} to {highest:,}"


def test_the_database_may_lie_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("TUNIX_RT_DATABASE", "~/runs.duckdb")
    assert rt.Settings().database == Path.home() / "runs.duckdb"


@pytest.mark.parametrize("nowhere", ["", "."])
def test_the_database_must_be_a_file(monkeypatch, nowhere):
    monkeypatch.setenv("TUNIX_RT_DATABASE", nowhere)
    with pytest.raises(rt.SettingsInvalid, match=r"^TUNIX_RT_DATABASE=.*: must be the path of a file$"):
        rt.Settings()


def test_rediai_is_off_at_a_local_address():
    settings = rt.Settings()
    assert (settings.rediai_mode, settings.rediai_base_url, settings.rediai_health_path) == (
        "off",
        "http://localhost:8080",
        "/health",
    )


def test_the_mode_of_rediai_is_one_of_three(monkeypatch):
    monkeypatch.setenv("TUNIX_RT_REDIAI_MODE", "on")
    with pytest.raises(rt.SettingsInvalid, match=r"^TUNIX_RT_REDIAI_MODE=on: must be one of off, mock, real$"):
        rt.Settings()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:8080", "must be a URL that begins with http:// or https://"),
        ("file:///etc/passwd", "must be a URL that begins with http:// or https://"),
        ("http://", "must be a URL that begins with http:// or https://"),
        ("http://me:secret@host", "must have only a scheme, host, port and path"),  # pragma: allowlist secret
        ("http://host?key=1", "must have only a scheme, host, port and path"),
    ],
)
def test_the_address_of_rediai_must_be_one(url, why):
    with pytest.raises(rt.SettingsInvalid) as caught:
        rt.Settings(rediai_base_url=url)
    # The value may hold a password.
    assert str(caught.value).startswith(f"TUNIX_RT_REDIAI_BASE_URL=…: {why}")


@pytest.mark.parametrize("path", ["health", "", "/a b", "/health?x=1", "/health#x", "/ä", "/a\r\nHost: x"])
def test_the_path_of_rediai_must_be_one(path):
    with pytest.raises(rt.SettingsInvalid, match="must begin with / and contain only ASCII characters, without spaces"):
        rt.Settings(rediai_health_path=path)


def test_an_unknown_setting_is_refused():
    with pytest.raises(rt.SettingsInvalid, match="pool_sise: unknown setting; known are database, pool_size"):
        rt.Settings(pool_sise=3)


# Of a person who has typed it into the wrong line.
HIDDEN = "hunter2"


@pytest.mark.parametrize("name", rt.Settings.model_fields)
@pytest.mark.parametrize(
    "value",
    [
        f"ftp://me:{HIDDEN}@host/path?key={HIDDEN}",
        f"http://me:{HIDDEN}@host",  # pragma: allowlist secret
        f"http://host/?key={HIDDEN}",
        f"~nobody-of-this-name/{HIDDEN}",
        f"/health?key={HIDDEN}",
        f"{HIDDEN}\0",
        f"{HIDDEN} \n{HIDDEN}",
    ],
)
def test_no_text_of_a_setting_is_shown(name, value):
    # Most texts are the path of a file.
    if name == "database" and value.startswith(("/", HIDDEN)) and "\0" not in value:
        assert rt.Settings(database=value).database == Path(value)
        return
    with pytest.raises(rt.SettingsInvalid) as caught:
        rt.Settings(**{name: value})
    # Neither in the message nor in what it was made of.
    assert HIDDEN not in str(caught.value)
    assert caught.value.__cause__ is None
    assert re.match(f"TUNIX_RT_{name.upper()}=…: (must|is a|there is no|contains a) ", str(caught.value))


@pytest.mark.parametrize("content", [b"TUNIX_RT_POOL_SIZE=\xff", b"\xff\xfe"])
def test_a_dotenv_that_is_no_text_is_refused(content):
    Path(".env").write_bytes(content)
    with pytest.raises(rt.SettingsInvalid, match=r"^\.env: must be text in UTF-8"):
        rt.Settings()
