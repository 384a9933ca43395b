"""Files for trainers: the shape of each format, what is left out of it, and the manifest that says so."""

import gzip
import hashlib
import json
import tracemalloc

import pyarrow.parquet as pq
import pytest

import tunix_rt as rt
from tunix_rt.formats import WRITERS
from tunix_rt.formats.rows.tally import Tally
from tunix_rt.store.export.pairs import pairs
from tunix_rt.store.filters import Filters

# What has no rows is tested where it is told.
pytestmark = pytest.mark.filterwarnings("ignore:.*no rows were written")
LINE_FORMATS = [name for name in WRITERS if name not in {"parquet", "tunix_rl"}]
ASKED = "27 × 19?"
REASONED = "27 × 20 = 540\n\n540 − 27 = 513"


@pytest.fixture
def exported(store, tmp_path):
    """What an export of the store writes: the rows, and the manifest."""

    def export(format, **options):
        path = tmp_path / f"out-{format}.jsonl"
        n_rows = store.export(path, format=format, **options).rows
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        manifest = manifest_beside(path)
        assert n_rows == len(rows) == manifest["rows"]
        return rows, manifest

    return export


def manifest_beside(path):
    return json.loads(path.with_name(f".{path.name}.manifest.json").read_text(encoding="utf-8"))


def test_messages_are_a_chat_with_the_reasoning_beside_the_answer(store, make_trace, exported):
    store.add(make_trace())
    store.add(make_trace(meta={"system": "Be brief."}))
    store.add(make_trace(steps=[], trace_version="1.1", meta={"system": {"no": "text"}}))
    user = {"role": "user", "content": ASKED}
    thought = {"role": "assistant", "reasoning_content": REASONED, "content": "513"}
    assert exported("messages")[0] == [
        {"messages": [user, thought]},
        {"messages": [{"role": "system", "content": "Be brief."}, user, thought]},
        {"messages": [user, {"role": "assistant", "content": "513"}]},
    ]


def test_a_completion_has_the_reasoning_between_tags(store, make_trace, exported):
    store.add(make_trace())
    store.add(make_trace(steps=[], trace_version="1.1"))
    assert exported("prompt_completion")[0] == [
        {"prompt": ASKED, "completion": f"<think>{REASONED}</think>\n\n513"},
        {"prompt": ASKED, "completion": "513"},
    ]
    rows, manifest = exported("prompt_completion", tags=("<reasoning>\n", "\n</reasoning>"))
    assert rows[0]["completion"] == f"<reasoning>\n{REASONED}\n</reasoning>\n\n513"
    assert manifest["options"] == {"tags": ["<reasoning>\n", "\n</reasoning>"]}


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (["One.\n\n", "Two.\n\n  ", "- Three."], "One.\n\nTwo.\n\n  - Three."),
        (["One.", "Two."], "One.\n\nTwo."),
        (["One.\n", "Two.", "Three."], "One.\n\n\nTwo.\n\nThree."),
        (["", "Two.", ""], "Two."),
    ],
)
def test_steps_cut_from_one_text_become_that_text_and_others_stand_apart(store, make_trace, exported, steps, text):
    store.add(make_trace(steps=steps, trace_version="1.1"))
    assert exported("messages")[0][0]["messages"][1]["reasoning_content"] == text


def test_a_tag_in_the_text_would_end_the_reasoning_too_early(store, make_trace, exported):
    store.add(make_trace(steps=["first </think>", "second"]))
    store.add(make_trace(final_answer="write <think> first"))
    rows, manifest = exported("prompt_completion")
    assert rows == []
    assert manifest["left_out"] == {"<think> or </think> in its text": 2}
    assert len(exported("prompt_completion", tags=("<reasoning>", "</reasoning>"))[0]) == 2


def test_training_examples_answer_with_numbered_steps(store, make_trace, exported):
    kept = store.add(make_trace(steps=["One.\n\n", "Two."], meta={"reward": 1.0, "created_at": "long ago"}))
    store.add(make_trace(steps=[], trace_version="1.1"))
    first, second = exported("training_example")[0]
    assert first == {
        "prompt": ASKED,
        "response": "Reasoning:\n1. One.\n2. Two.\nAnswer: 513",
        "metadata": {
            "created_at": kept.created_at.isoformat(),
            "trace_version": "1.0",
            "source_trace_id": str(kept.id),
            "reward": 1.0,
        },
    }
    assert second["response"] == "Answer: 513"


def test_tunix_sft_has_the_whole_dialogue(store, make_trace, exported):
    kept = store.add(make_trace(steps=["One."], meta={"system": "Be brief."}))
    assert exported("tunix_sft")[0] == [
        {
            "id": str(kept.id),
            "prompts": (
                "<start_of_turn>user\nBe brief.\n\n27 × 19?<end_of_turn>\n"
                "<start_of_turn>model\nReasoning:\n1. One.\nAnswer: 513<end_of_turn>"
            ),
            "final_answer": "513",
            "metadata": {
                "created_at": kept.created_at.isoformat(),
                "trace_version": "1.0",
                "format": "tunix_sft",
                "system": "Be brief.",
            },
        }
    ]


def test_tunix_rl_asks_and_knows_the_expected_answer(store, make_trace, tmp_path):
    for trace in (
        make_trace(meta={"expected_answer": "514", "correct": False}),
        make_trace(meta={"expected_answer": 513, "system": "Be brief."}),
        make_trace(final_answer=None, trace_version="1.1", meta={"expected_answer": 0.5}),
        make_trace(meta={"expected_answer": ""}),
        make_trace(meta={"correct": False}),
        make_trace(meta={"expected_answer": ["513"]}),
        make_trace(final_answer=None, trace_version="1.1"),
        make_trace("Say <end_of_turn>"),
    ):
        store.add(trace)
    path = tmp_path / "rl.parquet"
    assert store.export(path, format="tunix_rl").rows == 4
    asked = "<start_of_turn>user\n{}27 × 19?<end_of_turn>\n<start_of_turn>model\n"
    assert pq.read_table(path).to_pylist() == [
        {"prompts": asked.format(""), "question": ASKED, "answer": "514"},
        {"prompts": asked.format("Be brief.\n\n"), "question": ASKED, "answer": "513"},
        {"prompts": asked.format(""), "question": ASKED, "answer": "0.5"},
        {"prompts": asked.format(""), "question": ASKED, "answer": "513"},
    ]
    assert manifest_beside(path)["left_out"] == {
        "<start_of_turn> or <end_of_turn> in its text": 1,
        "an expected answer that is neither text nor number": 1,
        "neither an expected nor a final answer": 1,
        "no expected answer, and a wrong final answer": 1,
    }


def sample(make_trace, answer, prompt=ASKED, **meta):
    return make_trace(prompt, steps=["…"], final_answer=answer, meta=meta, trace_version="1.1")


def pair(chosen, rejected, prompt=ASKED):
    begin = "<think>…</think>\n\n"
    return {"prompt": prompt, "chosen": begin + chosen, "rejected": begin + rejected}


def test_preferences_pair_right_with_wrong_samples_of_one_prompt(store, make_trace, exported):
    for trace in (
        sample(make_trace, "wrong 1", correct=False),
        sample(make_trace, "right 1", correct=True, reward=0.1),
        sample(make_trace, "right 2", correct=True, reward=0.9),
        sample(make_trace, "right elsewhere", "19 × 27?", correct=True),
        sample(make_trace, "wrong 2", correct=False),
        sample(make_trace, "wrong 3", correct=False),
        sample(make_trace, None, correct=False),
        sample(make_trace, "unjudged", correct="yes", reward="1"),
        make_trace(),
    ):
        store.add(trace)
    rows, manifest = exported("preference")
    assert rows == [pair("right 1", "wrong 1"), pair("right 2", "wrong 2")]
    assert (manifest["traces"], manifest["rows"]) == (9, 2)
    assert manifest["left_out"] == {
        "neither correct nor reward in its meta": 2,
        "no final answer": 1,
        "no partner in its group": 2,
    }


def test_preferences_by_reward_pair_the_best_with_the_worst(store, make_trace, exported):
    for reward in (0.5, 1, 0, 0.75, 0.5, 0.25, 0.5):
        store.add(sample(make_trace, f"worth {reward}", reward=reward))
    rows, manifest = exported("preference", tags=("<a>", "</a>"))
    assert [[row[which].partition("\n\n")[2] for which in ("chosen", "rejected")] for row in rows] == [
        ["worth 1", "worth 0"],
        ["worth 0.75", "worth 0.25"],
    ]
    assert rows[0]["chosen"] == "<a>…</a>\n\nworth 1"
    assert manifest["left_out"] == {"no partner in its group": 3}


def test_a_group_is_a_group_and_a_prompt(store, make_trace, exported):
    for answer, correct, group, prompt in (
        ("right", True, "step 1", ASKED),
        ("wrong", False, "step 2", ASKED),
        ("other prompt", False, "step 1", "19 × 27?"),
        ("ungrouped", False, None, ASKED),
        ("wrong too", False, "step 1", ASKED),
    ):
        store.add(sample(make_trace, answer, prompt, correct=correct, **({"group": group} if group else {})))
    rows, manifest = exported("preference")
    assert rows == [pair("right", "wrong too")]
    assert manifest["left_out"] == {"no partner in its group": 3}


POLICIES = [
    {"source": "a"},
    {"source": "b"},
    {"source": "a", "model": "m"},
    {"source": "a", "model": "m", "training_step": 10},
    {"source": "a", "model": "m", "policy_version": 11},
    {"source": "a", "model": "m", "training_step": 10, "system": "Be brief."},
    {"source": "a", "model": "m", "training_step": 10, "group": "g1"},
]


def test_pairs_are_of_one_policy(store, make_trace, exported):
    for n, policy in enumerate(POLICIES):
        store.add(sample(make_trace, f"right {n}", reward=n + 10, **policy))
        store.add(sample(make_trace, f"wrong {n}", reward=n, **policy))
    rows, manifest = exported("preference")
    assert rows == [pair(f"right {n}", f"wrong {n}") for n in range(len(POLICIES))]
    assert "within" not in manifest["options"]


def test_samples_of_several_policies_are_paired_where_that_is_asked(store, make_trace, exported):
    store.add(sample(make_trace, "right", correct=True, model="b", training_step=10))
    store.add(sample(make_trace, "wrong", correct=False, model="a", training_step=20))
    store.add(sample(make_trace, "other", "19 × 27?", correct=False, model="a", training_step=20))
    store.add(sample(make_trace, "brief", correct=False, model="a", system="Be brief."))
    assert exported("preference")[1]["left_out"] == {"no partner in its group": 4}
    rows, manifest = exported("preference", within="prompt")
    assert rows == [pair("right", "wrong")]
    assert manifest["options"]["within"] == "prompt"


def test_a_named_group_stands_for_the_system_text(store, make_trace, exported):
    store.add(sample(make_trace, "right", correct=True, group="g1", system="Be brief."))
    store.add(sample(make_trace, "wrong", correct=False, group="g1", system="Be long."))
    assert exported("preference")[0] == [pair("right", "wrong")]


def test_the_derived_group_of_an_older_version_is_none(store, make_trace, exported):
    store.add(sample(make_trace, "right", correct=True, group="0123abcd" * 2))
    store.add(sample(make_trace, "wrong", correct=False))
    assert exported("preference")[0] == [pair("right", "wrong")]


@pytest.mark.parametrize(
    ("format", "within", "message"),
    [
        ("messages", "prompt", 'within="prompt": the format messages makes no pairs; formats that do: preference'),
        ("preference", "model", 'within="model": must be "prompt", to pair across policies, or left out'),
        ("preference", ["prompt"], 'must be "prompt"'),
    ],
)
def test_within_is_prompt_and_of_pairs_only(store, make_trace, tmp_path, format, within, message):
    store.add(make_trace())
    with pytest.raises(rt.QueryInvalid) as raised:
        store.export(tmp_path / "out.jsonl", format=format, within=within)
    assert message in str(raised.value)


def test_a_pair_with_a_tag_in_its_text_leaves_its_partner_alone(store, make_trace, exported):
    store.add(sample(make_trace, "right", correct=True))
    store.add(sample(make_trace, "</think>", correct=False))
    rows, manifest = exported("preference")
    assert rows == []
    assert manifest["left_out"] == {"<think> or </think> in its text": 1, "no partner in its group": 1}


@pytest.mark.slow
def test_many_pairs_are_read_in_chunks(store, make_trace, exported):
    store.add_many(sample(make_trace, f"{n}", f"{n % 900}?", correct=n < 900) for n in range(1_800))
    assert exported("preference")[0] == [pair(f"{n}", f"{n + 900}", f"{n}?") for n in range(900)]


@pytest.mark.slow
def test_what_is_deleted_while_pairs_are_read_is_counted(store, make_trace):
    store.add_many(sample(make_trace, f"{n}", f"{n % 600}?", correct=n < 600) for n in range(1_200))
    tally = Tally()
    reading = pairs(store._session, Filters(), tally)
    chosen, rejected = next(reading)
    assert (chosen.payload.final_answer, rejected.payload.final_answer) == ("0", "600")
    store.delete(where="final_answer in ('599', '1198')")
    assert len(list(reading)) == 597
    assert +tally.left_out == {"deleted meanwhile, or its partner was": 4}


def test_stepwise_labels_each_step_until_one_was_not_judged(store, make_trace, exported):
    def labelled(labels, steps=("One.\n\n", "Two.", "Three.")):
        store.add(make_trace(steps=list(steps), final_answer=None, trace_version="1.1", meta={"step_labels": labels}))

    for labels in ([1, 0, -1], [1, -1, None], [True, 1.0, False]):
        labelled(labels)
    for labels in ([1], [None, 1, 1], [1, 1, 0.5], [1, "good", 1], "111", [], None):
        labelled(labels)
    labelled([], steps=())
    store.add(make_trace())
    rows, manifest = exported("stepwise")
    steps = ["One.", "Two.", "Three."]
    assert rows == [
        {"prompt": ASKED, "completions": steps, "labels": [True, False, False]},
        {"prompt": ASKED, "completions": steps[:2], "labels": [True, False]},
        {"prompt": ASKED, "completions": steps, "labels": [True, True, False]},
    ]
    assert manifest["left_out"] == {
        "no label for the first step": 1,
        "no step labels": 4,
        "step labels other than -1, 0, 1 and null": 2,
        "step labels that are not one for each step": 2,
    }
    assert manifest["shortened"] == {"steps from the first without a label on": 1}


def test_atif_is_a_document_for_each_trace(store, make_trace, exported):
    full = store.add(make_trace(meta={"system": "Be brief.", "source": "rollouts", "model": "toy-1b"}))
    cut = store.add(make_trace(steps=["27 ×"], final_answer=None, trace_version="1.1"))
    assert exported("atif")[0] == [
        {
            "schema_version": "ATIF-v1.7",
            "session_id": str(full.id),
            "trajectory_id": str(full.id),
            "agent": {"name": "rollouts", "version": "unknown", "model_name": "toy-1b"},
            "steps": [
                {"step_id": 1, "source": "system", "message": "Be brief."},
                {"step_id": 2, "source": "user", "message": ASKED},
                {"step_id": 3, "source": "agent", "message": "513", "reasoning_content": REASONED},
            ],
            "extra": {
                "created_at": full.created_at.isoformat(),
                "trace_version": "1.0",
                "meta": {"system": "Be brief.", "source": "rollouts", "model": "toy-1b"},
            },
        },
        {
            "schema_version": "ATIF-v1.7",
            "session_id": str(cut.id),
            "trajectory_id": str(cut.id),
            "agent": {"name": "unknown", "version": "unknown"},
            "steps": [
                {"step_id": 1, "source": "user", "message": ASKED},
                {"step_id": 2, "source": "agent", "message": "", "reasoning_content": "27 ×"},
            ],
            "extra": {"created_at": cut.created_at.isoformat(), "trace_version": "1.1"},
        },
    ]


def test_one_trace_as_atif_is_one_json_document(store, make_trace, tmp_path):
    store.add(make_trace())
    store.export(tmp_path / "trajectory.json", format="atif")
    assert json.loads((tmp_path / "trajectory.json").read_bytes())["schema_version"] == "ATIF-v1.7"


@pytest.mark.parametrize("format", ["messages", "prompt_completion", "training_example", "tunix_sft", "preference"])
def test_a_truncated_trace_is_left_out_and_counted(store, make_trace, exported, format):
    store.add(make_trace(final_answer=None, trace_version="1.1", meta={"correct": False}))
    store.add(make_trace(final_answer="", trace_version="1.1", meta={"correct": True}))
    rows, manifest = exported(format)
    assert (rows, manifest["traces"]) == ([], 2)
    assert manifest["left_out"] == {"no final answer": 2}


@pytest.mark.parametrize("format", LINE_FORMATS)
def test_any_text_and_any_meta_go_out_as_they_are(store, make_trace, format):
    odd = 'naïve 😀 \u2028 \x85 \x7f </script> \\ " \t 数学 \ud7ff\ue000'
    meta = {"": None, "😀": [1e308, -0.0, 2**63, {"deep": [[]]}], "system": odd, "source": "x", "group": {"a": [1]}}
    labels = {"step_labels": [1, 1]}
    for correct in (True, False):
        steps = [f"{odd}\n\n", odd]
        store.add(make_trace(odd, steps=steps, final_answer=odd, meta=meta | labels | {"correct": correct}))
    path = store.path.with_name("odd.jsonl")
    n_rows = store.export(path, format=format).rows
    rows = [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]
    assert len(rows) == n_rows == (1 if format == "preference" else 2)
    assert odd in texts_in(rows[0])
    if "metadata" in rows[0]:
        assert rows[0]["metadata"].items() >= meta.items()


def texts_in(value):
    """All texts in a JSON value, one behind the other."""
    if isinstance(value, dict):
        value = list(value.values())
    return "".join(map(texts_in, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


@pytest.mark.parametrize("format", WRITERS)
def test_an_empty_selection_is_an_empty_file_with_a_manifest(store, make_trace, tmp_path, format):
    store.add(make_trace())
    path = tmp_path / "none"
    with pytest.warns(UserWarning, match=r"none: no rows were written: no trace passed the filters source"):
        assert store.export(path, format=format, source="nobody").rows == 0
    if format in LINE_FORMATS:
        assert path.read_bytes() == b""
    else:
        assert pq.read_table(path).num_rows == 0
    manifest = manifest_beside(path)
    assert (manifest["traces"], manifest["rows"], manifest["filters"]) == (0, 0, {"source": "nobody"})
    assert manifest["left_out"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("format", WRITERS)
def test_exporting_twice_gives_the_same_bytes(store, tmp_path, format):
    store.load(rt.examples.folder())
    for ending in (".gz", ".zst", "") if format in LINE_FORMATS else (".parquet", ""):
        contents = []
        for _ in range(2):
            store.export(tmp_path / f"out{ending}", format=format)
            manifest = tmp_path / f".out{ending}.manifest.json"
            contents.append([(tmp_path / f"out{ending}").read_bytes(), manifest.read_bytes()])
            manifest.unlink()
        assert contents[0] == contents[1]


@pytest.mark.parametrize("format", LINE_FORMATS)
def test_the_ending_packs_every_format_of_lines(store, tmp_path, format):
    store.load(rt.examples.folder())
    store.export(tmp_path / "out.jsonl.gz", format=format)
    store.export(tmp_path / "out.jsonl", format=format)
    with gzip.open(tmp_path / "out.jsonl.gz") as file:
        assert file.read() == (tmp_path / "out.jsonl").read_bytes()


def test_the_manifest_says_what_the_file_is(store, make_trace, tmp_path):
    kept = store.add(make_trace(meta={"source": "a"}))
    store.add(make_trace(final_answer=None, trace_version="1.1", meta={"source": "a"}))
    path = tmp_path / "sft.jsonl.zst"
    store.export(
        path, format="prompt_completion", source="a", since=kept.created_at, ids=(r.id for r in store.records())
    )
    assert manifest_beside(path) == {
        "file": "sft.jsonl.zst",
        "format": "prompt_completion",
        "options": {"tags": ["<think>", "</think>"]},
        "store": "traces.duckdb",
        "filters": {
            "source": "a",
            "since": kept.created_at.isoformat().replace("+00:00", "Z"),
            "ids": [str(record.id) for record in store.records()],
        },
        "traces": 2,
        "rows": 1,
        "left_out": {"no final answer": 1},
        "shortened": {},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "written_by": f"tunix_rt {rt.__version__}",
    }


@pytest.mark.parametrize("format", WRITERS)
def test_every_trace_is_in_a_row_or_counted(store, tmp_path, format):
    store.load(rt.examples.folder())
    path = tmp_path / "out"
    n_rows = store.export(path, format=format).rows
    manifest = manifest_beside(path)
    assert manifest["traces"] == store.count()
    in_rows = 2 * n_rows if format == "preference" else n_rows
    assert in_rows + sum(manifest["left_out"].values()) == manifest["traces"]
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_of_exports_is_loaded_without_its_manifests(store, tmp_path):
    store.load(rt.examples.folder())
    folder = tmp_path / "exports"
    folder.mkdir()
    store.export(folder / "all.jsonl")
    for source in (folder, folder / "*.json*"):
        report = rt.TraceStore(tmp_path / f"{source.name == '*.json*'}.duckdb").load(source)
        assert (report.added, report.rejected_count) == (store.count(), 0)
    (folder / "all.jsonl").unlink()
    with pytest.raises(rt.SourceInvalid, match="a folder without traces"):
        store.load(folder)


def test_a_manifest_under_its_plain_name_is_passed_over_too(store, make_trace, tmp_path):
    store.add(make_trace())
    folder = tmp_path / "out"
    folder.mkdir()
    store.export(folder / "out.jsonl")
    (folder / ".out.jsonl.manifest.json").rename(folder / "out.jsonl.manifest.json")
    report = store.load(folder)
    assert (report.already_stored, report.rejected_count) == (1, 0)


def test_without_a_manifest_there_is_none_not_even_an_old_one(store, make_trace, tmp_path):
    store.add(make_trace())
    store.export(tmp_path / "out.jsonl")
    store.export(tmp_path / "out.jsonl", format="messages", manifest=False)
    assert not (tmp_path / ".out.jsonl.manifest.json").exists()


def test_where_a_manifest_cannot_be_written_the_file_stays_as_it_was(store, make_trace, tmp_path):
    store.add(make_trace())
    (tmp_path / "out.jsonl").write_text("precious\n")
    (tmp_path / ".out.jsonl.manifest.json").mkdir()
    for manifest in (True, False):
        with pytest.raises(rt.ExportFailed, match=r"out\.jsonl\.manifest\.json: cannot be written"):
            store.export(tmp_path / "out.jsonl", manifest=manifest)
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


@pytest.mark.parametrize("tags", ["<think>", ("<think>",), ("", "</think>"), ("<a>", 1), ("<a>", " "), ("\ud800", "b")])
def test_tags_are_two_texts(store, tmp_path, tags):
    with pytest.raises(rt.QueryInvalid, match="must be two strings"):
        store.export(tmp_path / "out.jsonl", format="prompt_completion", tags=tags)


def test_tags_go_with_formats_that_have_some(store, tmp_path):
    with pytest.raises(rt.QueryInvalid, match=r"messages does not accept tags; .*: preference, prompt_completion"):
        store.export(tmp_path / "out.jsonl", format="messages", tags=("<a>", "</a>"))


@pytest.mark.slow
def test_thousands_of_traces_take_bounded_memory(store, make_trace, tmp_path):
    # 17 MB of text; all of these traces at once made Python hold 68 MB.
    long = "27 × 20 = 540 " * 150
    meta = {"step_labels": [1, 1]}
    for start in range(0, 4_000, 2_000):
        store.add_many(
            make_trace(f"{n // 2}?", steps=[long, long], meta=meta | {"correct": n % 2 == 0})
            for n in range(start, start + 2_000)
        )
    store.count()
    for name in ("messages", "tunix_rl", "preference"):
        tracemalloc.start()
        try:
            n_rows = store.export(tmp_path / name, format=name).rows
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert n_rows == (2_000 if name in {"preference", "tunix_rl"} else 4_000)
        assert peak < 32 * 2**20, name
