"""SECURITY.md says what is so: its limits are the code's, and so are its claims about SQL and rights."""

import importlib
import re
import stat

import pytest

import tunix_rt as rt
from tests.test_docs import ROOT, table
from tunix_rt.widgets.incoming import IncomingFiles

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def value_of(place):
    """What a constant holds: `formats/containers/files.py: MAX_ROW_BYTES`, or one of a front end."""
    file, name = place.split(": ")
    if file.endswith(".py"):
        names = vars(importlib.import_module(f"tunix_rt.{file.removesuffix('.py').replace('/', '.')}"))
    else:
        script = (ROOT / "tunix_rt" / file).read_text(encoding="utf-8")
        names = {name: eval(re.search(rf"const {name} = ([\d *]+);", script)[1])}  # noqa: S307 - our own numbers
    return eval(name, names)  # noqa: S307 - our own document


@pytest.mark.parametrize(("said", "place"), [(row[1], row[2].strip("`")) for row in table("Limits", SECURITY)])
def test_a_limit_is_the_one_of_the_code(said, place):
    value = value_of(place)
    assert said.split()[0] == f"{value:,}" if isinstance(value, int) else said.replace(" ", "") == value


def test_sql_reads_files_and_changes_and_installs_nothing(filled, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    assert filled.sql("select content from read_text(?)", str(file)).rows == [("mine",)]
    for query in (
        f"copy traces to '{tmp_path}/copy.csv'",
        f"attach '{tmp_path}/other.duckdb'",
        "install httpfs",
        "load httpfs",
        "set memory_limit = '99GB'",
        "delete from traces",
        "with gone as (delete from traces returning id) from gone",
    ):
        with pytest.raises(rt.QueryInvalid):
            filled.sql(query)
    assert filled.count() == 25
    assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob("other*"))
    settings = dict(filled.sql("select name, value from duckdb_settings()").arrow().to_pandas().to_numpy().tolist())
    assert settings["autoinstall_known_extensions"] == "false"


def test_an_upload_lies_under_a_name_of_ours_where_only_its_user_reads(temporary):
    incoming = IncomingFiles([{"name": "../../etc/passwd", "size": 1}])
    (path,) = temporary.rglob("*.*")
    assert path.name == "000000.jsonl"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    incoming.drop()
