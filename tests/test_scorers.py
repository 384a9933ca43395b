"""What can score: built-ins, functions of a trace, objects, reward functions of trainers as they are."""

import functools

import pytest

import tunix_rt as rt
from tunix_rt.store.scores.fingerprint import fingerprint


@pytest.fixture
def rollouts(store):
    """One right, one wrong, one without an expected answer, one that was cut."""
    for prompt, answer, meta in [
        ("2 + 2?", "4", {"expected_answer": "4", "extra": {"level": 1}}),
        ("2 + 3?", "6", {"expected_answer": "5", "system": "Count."}),
        ("2 + 4?", "6", {"level": 3}),
        ("2 + 5?", None, {"expected_answer": "7"}),
    ]:
        trace = {"prompt": prompt, "steps": ["I count."], "final_answer": answer, "trace_version": "1.1", "meta": meta}
        store.add(trace)
    return store


def values(store, name):
    """The value or the reason of each trace, oldest first."""
    rows = store.sql(
        "select coalesce(value::varchar, label, reason) from scores where scorer = ? order by created_at", name
    )
    return [value for (value,) in rows.rows]


def test_a_built_in_scorer_by_its_name_and_with_parameters(rollouts):
    report = rollouts.score("answer", progress=False)
    assert values(rollouts, "answer")[:3] == ["1.0", "0.0", "no_expected"]
    assert (report.scored, sum(report.unscorable.values())) == (2, 2)
    assert rollouts.score("loop", params={"repeats": 4}, name="loop4", progress=False).scored == 4
    assert '"repeats":4' in rollouts.scores("loop4").rows[0][5]


def test_an_object_with_a_name_a_version_and_score(rollouts):
    class Steps:
        name, version, params = "n_steps", "7", {"of": "steps"}

        def score(self, texts):
            assert (texts.steps, texts.meta.get("no")) == (["I count."], None)
            return rt.Score(value=len(texts.steps), explanation=f"{texts.prompt} {texts.final_answer}")

    report = rollouts.score(Steps(), progress=False)
    assert (report.scorer, report.version, report.params, report.scored) == ("n_steps", "7", '{"of":"steps"}', 4)
    explained = rollouts.sql("select explanation from scores order by created_at").rows
    assert [said for (said,) in explained] == ["2 + 2? 4", "2 + 3? 6", "2 + 4? 6", "2 + 5? None"]


def test_a_reward_function_of_trl_over_texts(rollouts):
    seen = {}

    def format_reward(prompts, completions, answer, level=None, **columns):
        seen.update(prompts=prompts, completions=completions, answer=answer, level=level, columns=columns)
        return [1.0 if text.startswith("<think>") and "</think>" in text else 0.0 for text in completions]

    rollouts.score(format_reward, progress=False)
    assert values(rollouts, "format_reward") == ["1.0", "1.0", "1.0", "0.0"]
    assert seen["prompts"] == ["2 + 2?", "2 + 3?", "2 + 4?", "2 + 5?"]
    assert seen["completions"][0] == "<think>I count.</think>\n\n4"
    assert seen["completions"][3] == "<think>I count."
    assert seen["answer"] == ["4", "5", None, "7"]
    assert seen["level"] == [1, None, 3, None]
    assert seen["columns"]["expected_answer"] == ["4", "5", None, "7"]
    assert "prompts" not in seen["columns"]


def test_a_reward_function_of_open_r1_over_messages(rollouts):
    def accuracy_reward(completions: list[list[dict[str, str]]], solution: list[str], **kwargs: object):  # noqa: ARG001
        contents = [completion[0]["content"] for completion in completions]
        return [
            None if right is None else float(text.endswith(right))
            for text, right in zip(contents, solution, strict=True)
        ]

    assert rollouts.score(accuracy_reward, progress=False).unscorable == {"not_applicable": 1}
    assert values(rollouts, "accuracy_reward") == ["1.0", "0.0", "not_applicable", "0.0"]


def test_a_reward_function_sees_the_system_message(rollouts):
    def roles(prompts, completions):  # noqa: ARG001
        return [len(prompt[:-1] and prompt[0]["role"]) for prompt in prompts]

    rollouts.score(roles, progress=False)
    assert values(rollouts, "roles") == ["0.0", "6.0", "0.0", "0.0"]


def test_a_batch_that_fails_spoils_only_the_trace_at_fault(rollouts):
    def fussy(completions, **kwargs):  # noqa: ARG001
        if any("6" in text for text in completions):
            raise ValueError("a six")
        return [1] * len(completions)

    report = rollouts.score(fussy, progress=False)
    assert values(rollouts, "fussy") == ["1.0", "error", "error", "1.0"]
    assert set(report.errors.values()) == {"ValueError: a six"}


@pytest.mark.parametrize("rewards", [[1.0], [1.0] * 5, "1234", {"a": 1}, 1.0, None])
def test_rewards_of_another_number_or_type_are_errors(rollouts, rewards):
    report = rollouts.score(lambda completions: rewards, name="r", progress=False)  # noqa: ARG005
    expected = 0 if rewards != [1.0] else 4
    assert (report.scored, report.unscorable.get("error", 0)) == (expected, 4 - expected)


def test_functions_get_their_parameters_as_keywords(rollouts):
    def over(trace, least):
        return len(trace.payload.prompt) >= least

    assert rollouts.score(over, params={"least": 7}, progress=False).params == '{"least":7}'
    assert values(rollouts, "over") == ["0.0"] * 4

    def rewarded(completions, weight):
        return [weight] * len(completions)

    rollouts.score(rewarded, params={"weight": 2}, progress=False)
    assert values(rollouts, "rewarded") == ["2.0"] * 4


@pytest.mark.parametrize(
    ("scorer", "options", "said"),
    [
        ("nope", {}, "no such scorer"),
        ("answer", {"params": {"nope": 1}}, "no parameter"),
        ("answer", {"params": [1]}, r"params=\[1\]: must be names with values"),
        (7, {}, "7: must be the name of a scorer, a function, or an object with"),
        (dict, {}, "must be the name of a scorer"),
        (lambda trace: 1, {}, "name: this scorer has no name of its own; pass name="),  # noqa: ARG005
        (len, {"name": "a<b"}, 'name="a<b": must be 1 to 100 characters'),
        (len, {"name": "x" * 101}, "must be 1 to 100 characters"),
        (len, {"name": " x"}, "must be 1 to 100 characters"),
        (len, {"version": 7}, "version=7: must be a text of 1 to 100 characters"),
        (len, {"params": {"a": object()}}, "must be JSON"),
        (len, {"params": {"a": "x" * 10_000}}, "characters as JSON; at most 10,000"),
        (rt.Score(), {}, "must be the name of a scorer"),
    ],
)
def test_what_cannot_score_is_refused_before_anything_is_scored(rollouts, scorer, options, said):
    with pytest.raises(rt.QueryInvalid, match=said):
        rollouts.score(scorer, progress=False, **options)
    assert rollouts.scores().n_rows == 0


def test_an_async_function_and_an_object_with_foreign_parameters_are_refused(rollouts):
    async def later(completions):
        return [1] * len(completions)

    class Named:
        name, version, params = "n", "1", {}

        def score(self, texts):
            return texts

    with pytest.raises(rt.QueryInvalid, match="is async; pass a function that returns its result"):
        rollouts.score(later)
    with pytest.raises(rt.QueryInvalid, match="has its own `params`; leave them out"):
        rollouts.score(Named(), params={"a": 1})


def test_the_default_version_changes_with_the_source_the_closure_and_the_defaults():
    def make(n, default=0):
        def reward(trace, default=default):
            return n, default, trace

        return reward

    assert fingerprint(make(1)) == fingerprint(make(1))
    versions = [fingerprint(make(n, default)) for n in (1, "1", [1], {"a": 1}, make(1)) for default in (0, 1)]
    versions += [fingerprint(one) for one in (lambda trace: trace.a, lambda trace: trace.b)]
    versions += [fingerprint(functools.partial(make(1), default=n)) for n in range(2)]
    assert len(set(versions)) == len(versions)

    class Judge:
        def __init__(self, strict):
            self.strict = strict

        def __call__(self, trace):
            return self.strict and bool(trace)

    assert fingerprint(Judge(True)) != fingerprint(Judge(False))
    assert fingerprint(len) != fingerprint(max)
    # Objects count by their class, so that a version is the same in another process.
    assert fingerprint(make(object())) == fingerprint(make(object()))
    recursive: list = []
    recursive.append(recursive)
    assert fingerprint(make(recursive))


def test_a_function_that_was_not_set_yet_has_a_version_too():
    def outer():
        def inner(trace):
            return later(trace)

        version = fingerprint(inner)

        def later(trace):
            return trace

        return version, inner

    version, inner = outer()
    assert fingerprint(inner) != version


def test_callable_objects_and_partials_have_names(rollouts):
    class Judge:
        def __call__(self, trace):
            return bool(trace)

    def least(trace, n):
        return len(trace.payload.steps) >= n

    assert rollouts.score(Judge(), progress=False).scorer == "Judge"
    assert rollouts.score(functools.partial(least, n=1), progress=False).scorer == "least"
