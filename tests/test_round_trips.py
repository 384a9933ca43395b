"""What is written for a trainer loads as the traces it was written from, as far as the format holds them."""

import pytest

import tunix_rt as rt
from tunix_rt.formats.text.think_tags import split_steps

TEXT = "7 × 13 = 91.\n\nWait, let me check: 70 + 21 = 91.\n\nSo it is 7 × 13."
SPLIT = [rt.Step(**step) for step in split_steps(TEXT)]
META = {"source": "s", "system": "One word.", "model": "m", "scores": {"a": 1}, "extra": {"b": None}}
TRACES = [
    rt.Trace(prompt="Is 91 prime?", steps=SPLIT, final_answer="No", meta=META),
    rt.Trace(prompt="27 × 19?", steps=["27 × 20 − 27"], final_answer="513"),
    rt.Trace(prompt="Hi", steps=[], final_answer="Hallo, 世界 😀", trace_version="1.1"),
    rt.Trace(prompt="Two plain steps?", steps=["One.", "Two."], final_answer="Yes"),
]


@pytest.fixture
def back(store, tmp_path):
    """The traces as they come back from a format, by prompt."""
    store.add_many(TRACES)

    def load(format):
        path = tmp_path / f"{format}.jsonl"
        n_rows = store.export(path, format=format).rows
        again = rt.TraceStore(tmp_path / f"{format}.duckdb")
        report = again.load(path)
        assert (report.added, report.rejected, report.format) == (n_rows, [], format)
        return {record.payload.prompt: record.payload for record in again.records()}

    return load


@pytest.mark.parametrize("format", ["messages", "prompt_completion"])
def test_prompt_steps_and_answer_come_back(back, format):
    found = back(format)
    for trace in TRACES[:3]:
        assert (found[trace.prompt].final_answer, len(found)) == (trace.final_answer, len(TRACES))
        assert [step.content for step in found[trace.prompt].steps] == [step.content for step in trace.steps]
    # Steps that were not cut from one text are put together with a blank line between them.
    assert "".join(step.content for step in found["Two plain steps?"].steps) == "One.\n\nTwo."
    assert found["Is 91 prime?"].steps == tuple(SPLIT)


def test_the_system_message_comes_back(back):
    assert back("messages")["Is 91 prime?"].meta["system"] == "One word."


def test_trajectories_come_back_with_their_steps_and_their_meta(back):
    found = back("atif")
    for trace in TRACES[:3]:
        assert found[trace.prompt].final_answer == trace.final_answer
        assert [step.content for step in found[trace.prompt].steps] == [step.content for step in trace.steps]
    assert found["Is 91 prime?"].steps == tuple(SPLIT)
    assert found["Is 91 prime?"].meta == TRACES[0].meta
    assert found["Hi"].meta["source"] == "atif"


def test_a_trace_without_an_answer_comes_back_as_one(store, tmp_path):
    store.add(rt.Trace(prompt="p", steps=["and so on"], final_answer=None, trace_version="1.1"))
    store.export(tmp_path / "cut.jsonl", format="atif")
    again = rt.TraceStore(tmp_path / "again.duckdb")
    assert again.load(tmp_path / "cut.jsonl").added == 1
    assert (again.latest().payload.final_answer, again.latest().payload.meta.get("truncated")) == (None, None)
