"""A format of one's own: registered in one place, tried before the package's, and never the end of a load."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.data_sets import load, told
from tunix_rt.cli.completing import formats_in, formats_out
from tunix_rt.formats import own_formats, registry
from tunix_rt.formats.containers.writers import LINES

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def only_here():
    yield
    for name in list(own_formats._own):
        del own_formats._own[name]
        for table in (registry._formats, registry._readable, registry._writers):
            table.pop(name, None)


class Reader:
    def misfit(self, value):
        return None if {"ask", "told"} <= value.keys() else "no fields ask and told"

    def found(self, row):
        yield rt.formats.Found(row.fields["ask"], row.fields["why"], row.fields["told"], {"model": row.fields["by"]})


ROW = {"ask": "2 + 2?", "why": ["Two and two."], "told": "4", "by": "toy-1b"}


def test_a_registered_format_is_detected_named_and_shown(store):
    rt.formats.register(rt.formats.Format("our_logs", "ours", "the logs of our robots", Reader()))
    report, (trace,) = load(store, ROW)
    assert report.format == "our_logs"
    assert trace == rt.Trace(
        prompt="2 + 2?", steps=["Two and two."], final_answer="4", meta={"source": "our_logs", "model": "toy-1b"}
    )
    assert store.load([ROW], format="our_logs").already_stored == 1
    table = rt.formats.table()
    assert table.to_dict()["our_logs"] == {
        "in": True,
        "out": False,
        "family": "ours",
        "description": "the logs of our robots",
    }
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load([{"metric": 1}])
    assert caught.value.tried["our_logs"] == "no fields ask and told"


def test_it_comes_before_the_package_s_own_formats(store):
    class Chats(Reader):
        def misfit(self, value):
            return None if "messages" in value else "no messages"

        def found(self, row):
            yield rt.formats.Found("all of it", [], str(len(row.fields["messages"])))

    rt.formats.register(rt.formats.Format("our_chats", "ours", "chats, counted", Chats()))
    said = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
    assert load(store, said)[1][0].final_answer == "2"


def test_what_a_reader_raises_or_gives_is_a_rejection_of_its_row(store):
    class Faulty(Reader):
        def found(self, row):
            kind = row.fields["told"]
            if kind == "raise":
                raise ZeroDivisionError("1 / 0 of <b>")
            if kind == "nothing right":
                yield {"prompt": "p"}
            yield from super().found(row)
            if kind == "late":
                raise KeyError("why")

    rt.formats.register(rt.formats.Format("faulty", "ours", "fails at times", Faulty()))
    rows = [ROW | {"told": told} for told in ("4", "raise", "nothing right", "late")]
    report, traces = load(store, *rows)
    assert [trace.final_answer for trace in traces] == ["4", "nothing right", "late"]
    assert told(report) == [
        (None, "the format faulty fails: ZeroDivisionError: 1 / 0 of <b>"),
        (None, "the format faulty gives dict where a Found is needed"),
        (None, "the format faulty fails: KeyError: 'why'"),
    ]


def test_a_misfit_that_raises_is_no_claim(store):
    class Faulty(Reader):
        def misfit(self, value):
            return value["ask"] and None

    rt.formats.register(rt.formats.Format("faulty", "ours", "fails at times", Faulty()))
    assert load(store, {"prompt": "2 + 2?", "response": "4"})[0].format == "field_names"
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load([{"metric": 1}])
    assert caught.value.tried["faulty"] == "its misfit raises KeyError: 'ask'"


def test_a_writer_is_exported_by_and_its_mistakes_are_told(store, tmp_path):
    def row(record, _tally):
        return {"ask": record.payload.prompt, "n": 1 // len(record.payload.steps)}

    writer = rt.formats.Writer(LINES, row)
    rt.formats.register(rt.formats.Format("our_rows", "ours", "our own rows", writer=writer))
    store.add(rt.Trace(prompt="2 + 2?", steps=["So."], final_answer="4"))
    store.export(tmp_path / "a.jsonl", format="our_rows", manifest=False)
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {"ask": "2 + 2?", "n": 1}
    store.add(rt.Trace(trace_version="1.1", prompt="2 + 2?", steps=[], final_answer="4"))
    with pytest.raises(rt.ExportFailed, match="the format our_rows fails: ZeroDivisionError"):
        store.export(tmp_path / "b.jsonl", format="our_rows", manifest=False)
    assert not (tmp_path / "b.jsonl").exists()


def test_a_format_registered_again_takes_the_place_of_the_first(store):
    for description in ("first", "second"):
        rt.formats.register(rt.formats.Format("ours", "ours", description, Reader()))
    assert rt.formats.table().to_dict()["ours"]["description"] == "second"
    assert load(store, ROW)[0].format == "ours"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Reader(), "must be given a Format, not "),
        (("ours", "ours", "a tuple", Reader()), "must be given a Format"),
        (rt.formats.Format("messages", "ours", "taken", Reader()), 'the name "messages" must be one of your own'),
        (rt.formats.Format("mapping", "ours", "taken", Reader()), 'the name "mapping" must be one of your own'),
        (rt.formats.Format("Our Logs", "ours", "no name", Reader()), 'the name "Our Logs" must be one of your own'),
        (rt.formats.Format(3, "ours", "no name", Reader()), "the name 3 must be one of your own"),
        (rt.formats.Format("ours", "ours", "nothing"), "has neither a reader nor a writer"),
        (rt.formats.Format("ours", "ours", "no reader", object()), "the reader of ours has no method misfit"),
    ],
)
def test_what_is_no_format_is_refused(given, told):
    with pytest.raises(rt.QueryInvalid, match=re.escape(told)):
        rt.formats.register(given)
    assert "ours" not in rt.formats.table().to_dict()


def test_the_table_shows_itself_and_is_data():
    table = rt.formats.table()
    assert len(table) == table.n_rows == len(rt.formats.FORMATS)
    facts = table.to_dict()
    assert {name for name, one in facts.items() if one["in"]} == set(rt.formats.READABLE)
    assert {name for name, one in facts.items() if one["out"]} == set(rt.formats.WRITERS)
    assert list(table.df()["format"]) == list(facts)
    assert repr(table) == f"<FormatTable of {len(table)} formats>"
    assert "gsm8k_solutions" in str(table)
    assert "gsm8k_solutions" in table._repr_html_()


@pytest.mark.slow
def test_an_entry_point_is_loaded_and_a_broken_one_stops_nothing(tmp_path):
    """As an installed package offers it: a folder with its metadata on the path."""
    (tmp_path / "ours.py").write_text(
        "import tunix_rt as rt\n"
        "from tests.test_own_formats import Reader\n"
        'FORMAT = rt.formats.Format("our_logs", "ours", "our own logs", Reader())\n'
    )
    (tmp_path / "theirs.py").write_text("raise RuntimeError('not today')\n")
    metadata = tmp_path / "ours-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tunix_rt.formats]\nours = ours:FORMAT\ntheirs = theirs:FORMAT\n")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    script = (
        "import ours, tunix_rt as rt\n"
        f"print(rt.TraceStore({str(tmp_path / 's.duckdb')!r}).load({str(tmp_path / 'rows.jsonl')!r}).format)\n"
        "print('our_logs' in rt.formats.table().to_dict())\n"
    )
    path = f"{tmp_path}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout == "our_logs\nTrue\n"
    assert "the format theirs of an installed package is not usable: RuntimeError: not today" in done.stderr


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package with an entry point, in a process that has not looked for any yet."""

    def install(module):
        (tmp_path / "theirs.py").write_text(module)
        metadata = tmp_path / "theirs-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            "[tunix_rt.formats]\ntheir_logs = theirs:FORMAT\ngsm8k = theirs:FORMAT\n$(reboot) = theirs:FORMAT\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(own_formats, "_is_loaded", False)

    yield install
    sys.modules.pop("theirs", None)


def test_tab_offers_the_formats_of_installed_packages_without_running_their_code(installed):
    installed("raise SystemExit('no code of this package may run')\n")
    assert formats_in("their") == formats_out("their") == ["their_logs"]
    assert formats_in("gsm8k") == ["gsm8k_solutions", "gsm8k"]
    assert formats_in("$") == []
    rt.formats.register(rt.formats.Format("their_logs", "theirs", "registered", Reader()))
    assert formats_in("their") == ["their_logs"]


def test_an_export_finds_the_formats_of_installed_packages(installed, store):
    installed(
        "import tunix_rt as rt\n"
        "from tunix_rt.formats.containers.writers import LINES\n"
        "def row(record, tally):\n    return {'ask': record.payload.prompt}\n"
        "FORMAT = rt.formats.Format('their_logs', 'theirs', 'theirs', writer=rt.formats.Writer(LINES, row))\n"
    )
    store.add({"prompt": "2 + 2?", "steps": ["Two and two."], "final_answer": "4"})
    store.export("asked.jsonl", format="their_logs", manifest=False)
    assert json.loads(Path("asked.jsonl").read_text()) == {"ask": "2 + 2?"}
    with pytest.raises(rt.QueryInvalid, match="unknown export format"):
        store.export("other.jsonl", format="none")


def test_the_reference_s_example_runs(store):
    text = (ROOT / "REFERENCE.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```py\n(.*?)```", text, re.DOTALL) if "formats.register" in block]
    assert len([line for line in example.splitlines() if line]) <= 10
    names = {"store": store}
    exec(compile(example, "REFERENCE.md", "exec"), names)  # noqa: S102 - it is our own
    assert (names["report"].format, names["report"].added) == ("our_logs", 1)
