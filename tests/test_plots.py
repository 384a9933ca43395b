"""Pictures of a store: a PNG with a table beside it, whatever the texts are."""

import base64
import sys
from io import BytesIO

import pytest
from PIL import Image

import tunix_rt as rt
from tunix_rt.analysis.statistics import Estimate, ratio
from tunix_rt.store.scores import plots


@pytest.fixture(scope="module")
def store():
    """Six prompts of a policy in four training steps, two samples each: later ones are longer, and right more often."""
    with rt.TraceStore(":memory:") as store:
        for step in range(4):
            for n in range(12):
                is_right = n < 3 * (step + 1)
                meta = {"model": "a$b$_^", "training_step": step, "correct": is_right, "expected_answer": "4"}
                steps = ["x" * (10 * step + n + 1)]
                store.add({"prompt": f"{n // 2}?", "steps": steps, "final_answer": "5", "meta": meta})
        store.score(lambda trace: len(trace.payload.steps[0].content) / 7, name="points", progress=False)
        store.score(
            lambda trace: ["$", "\n短", None][trace.payload.meta["training_step"] % 3], name="word", progress=False
        )
        store.score(lambda trace: str(trace.id), name="many", progress=False)
        yield store


def picture(plot):
    data, about = plot._repr_mimebundle_(include=None, exclude=None)
    assert data.keys() == {"text/plain", "image/png"}
    assert data["text/plain"] == str(plot)
    image = Image.open(BytesIO(base64.b64decode(data["image/png"])))
    size = about["image/png"]
    assert image.size == (2 * size["width"], 2 * size["height"])
    # Opaque, and more than a background.
    assert image.convert("RGBA").getextrema()[3] == (255, 255)
    assert len(image.convert("L").getcolors()) > 2
    return image


@pytest.mark.slow
def test_each_kind_is_a_picture_with_its_table(store):
    for kind in plots.KINDS:
        picture(store.plot(kind))
    lengths = store.plot("lengths")
    assert sum(lengths.df()["traces"]) == 48
    assert str(lengths).startswith("Characters of steps and answer: 48 traces\n\n")
    second = store.plot("training").arrow().to_pylist()[1]
    interval = second.pop("low"), second.pop("high")
    assert second == {"policy": "a$b$_^", "step": 1, "mean": 0.5, "traces": 12, "prompts": 6}
    assert interval == pytest.approx((1 / 6, 5 / 6))
    assert store.plot("difficulty").arrow().to_pylist()[0] == {
        "policy": "a$b$_^ · 0", "too hard": 4, "informative": 1, "too easy": 1,
    }  # fmt: skip
    by_length = store.plot("length_and_score").arrow().to_pylist()
    assert [row["traces"] for row in by_length] == [5] * 8 + [4] * 2
    assert by_length[-1]["yes"] == 1
    assert repr(lengths) == "<Plot: Characters of steps and answer>"


def test_scores_are_bars_of_values_and_labels_or_a_histogram(store):
    assert store.plot("scores").arrow().to_pylist() == [{"score": "0", "traces": 18}, {"score": "1", "traces": 30}]
    points = store.plot("scores", scorer="points", min_chars=20)
    assert (len(points.arrow()), points.caption) == (30, f"{store.count(min_chars=20)} traces with a score")
    picture(points)
    words = store.plot("scores", scorer="word")
    assert words.arrow().to_pylist() == [{"score": "$", "traces": 24}, {"score": "\n短", "traces": 12}]
    assert words.caption == "36 traces with a score, 12 unscorable"
    picture(words)
    assert store.plot("scores", scorer="many").caption == "48 traces with a score; 12 of 48 labels"
    assert store.plot("scores", scorer="none").caption == "0 traces with a score"


def test_of_nothing_the_picture_says_so_and_of_much_it_says_what_is_left_out(store, monkeypatch):
    for kind in plots.KINDS:
        empty = store.plot(kind, source="none")
        assert len(empty.arrow()) == 0
        assert [text.get_text() for text in empty.figure.axes[0].texts] == ["nothing to show"]
    monkeypatch.setattr(plots, "_MOST_LINES", 0)
    monkeypatch.setattr(plots, "_MOST_POLICIES", 2)
    assert "; 0 of 1 policies" in store.plot("training").caption
    assert "; 2 of 4 policies" in store.plot("difficulty").caption


@pytest.mark.slow
def test_neither_pyplot_nor_its_state_is_touched(store):
    was_there = "matplotlib.pyplot" in sys.modules
    plot = store.plot("training")
    picture(plot)
    plot.figure.savefig(BytesIO(), format="pdf")
    assert ("matplotlib.pyplot" in sys.modules) == was_there


def test_what_cannot_be_drawn_is_one_clear_error(store, monkeypatch):
    for kind in ("pie", None, ["lengths"]):
        with pytest.raises(rt.QueryInvalid, match="must be one of lengths, scores, length_and_score, training, diff"):
            store.plot(kind)
    with pytest.raises(rt.QueryInvalid, match="is not the name of a scorer"):
        store.plot("scores", scorer="a<b")
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    with pytest.raises(rt.QueryInvalid, match=r'needs the package matplotlib: pip install "tunix-rt\[plots\]"'):
        store.plot("lengths")


def test_a_mean_over_traces_has_an_interval_over_prompts():
    assert ratio([], []) == Estimate(None, None, None, 0)
    assert ratio([1, 2], [2, 2]).low is None
    everything = ratio([2] * 6, [2] * 6)
    assert (everything.value, everything.high, everything.n) == (1, 1, 6)
    assert everything.low < 0.7
    half = ratio([0, 4] * 10, [4] * 20)
    # As of 20 prompts, and not of 80 traces.
    assert (half.value, half.n) == (0.5, 20)
    assert half.high - half.low > 0.35
