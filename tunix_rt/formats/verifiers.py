"""verifiers: the scored rollouts of an evaluation, `results.jsonl`; of version 1, and of prime-rl, `traces.jsonl`.

Source of version 1: `verifiers/v1/episode.py`, `trace.py`, `graph.py` of PrimeIntellect-ai/verifiers, which write it,
and `monitors/file.py` of prime-rl. A row is an episode with a trace for each agent, whose messages are a graph: each
of its leaves ends a branch, and each branch is a trace.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, first_text, lacking, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import found_in_completion, found_in_rollout, prompt_of
from tunix_rt.formats.text.messages import turn_of

# `Trace.is_truncated` of verifiers; the other is a finish_reason.
_LIMITS = {"max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens", "context_length"}
# What a node holds for each token.
_OF_TOKENS = ("token_ids", "mask", "is_content", "logprobs", "advantages", "reference_logprobs", "loss_weights")


class VerifiersReader:
    """`example_id`, `prompt`, `completion`, `reward`, `metrics`, `answer`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the fields of a scored rollout, with the id of its example."""
        return lacking(value, "example_id", "prompt", "completion", "reward")

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; the rollouts of an example are a group."""
        value = as_json(row.fields)
        meta = {
            "expected_answer": value.get("answer"),
            "reward": number(value.get("reward"), "reward"),
            "finish_reason": value.get("stop_condition"),
            "truncated": maybe(value, "is_truncated", bool) or None,
            "group": value.get("example_id"),
        }
        used = ("example_id", "reward", "answer", "stop_condition", "is_truncated")
        yield found_in_completion(value, meta=meta, extra=rest_of(value, *used))


class VerifiersTracesReader:
    """`env`, `task`, `group`, `run` and `traces`, each of `nodes`, `calls`, `rewards`, `metrics`, `stop_condition`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None for an episode, whose traces have nodes, and for such a trace alone."""
        traces = [value] if "nodes" in value else value.get("traces")
        if not isinstance(traces, list) or "task" not in value:
            return "no fields task and traces, or task and nodes"
        if not traces:
            return None if "env" in value else "traces is empty"
        return None if all(isinstance(one, dict) and "nodes" in one for one in traces) else "its traces have no nodes"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each branch of each agent's; an error for one without a message, and for a failed episode."""
        value = as_json(row.fields)
        alone = "nodes" in value
        traces = [value] if alone else field(value, "traces", list)
        if not traces:
            raise TraceInvalid(Problem("traces", f"there are none{_told(value)}"))
        episode = {} if alone else _of_episode(value)
        left = {} if alone else rest_of(value, "traces", "group")
        for n, one in enumerate(traces):
            path = "" if alone else f"traces.{n}."
            try:
                trace = typed(one, dict, path.removesuffix("."))
                meta = episode | _of_trace(trace, value, path)
                extra = left | rest_of(trace, "nodes", "stop_condition", *_repeated(left, trace))
                if (stop := trace.get("stop_condition")) is not None:
                    extra["stop_condition"] = stop
                yield from _branches(trace, path, meta, extra)
            except TraceInvalid as error:
                yield error


def _of_episode(value: Mapping[str, Any]) -> dict[str, Any]:
    """What the episode says of all its traces: its group, and where the training was when it began."""
    group = maybe(value, "group", dict) or {}
    run = maybe(value, "run", dict) or {}
    work = maybe(run, "work", dict, at="run.") or {}
    policy = maybe(work, "policy", dict, at="run.work.") or {}
    return {
        "group": group.get("id"),
        "run": maybe(run, "name", str, at="run.") or maybe(run, "id", str, at="run."),
        "training_step": number(work.get("step"), "run.work.step"),
        "policy_version": number(policy.get("start"), "run.work.policy.start"),
    }


def _of_trace(trace: Mapping[str, Any], episode: Mapping[str, Any], path: str) -> dict[str, Any]:
    task = maybe(trace, "task", dict, at=path) or maybe(episode, "task", dict) or {}
    data = maybe(task, "data", dict, at=f"{path}task.") or {}
    calls = [call for call in each(trace, "calls", dict, at=path) if call.get("error") is None]
    finish = maybe(calls[-1], "finish_reason", str, at=f"{path}calls.") if calls else None
    rewards = _rewards(maybe(trace, "rewards", dict, at=path) or {}, f"{path}rewards")
    stop = maybe(trace, "stop_condition", str, at=path)
    return {
        "model": next((call["model"] for call in calls if isinstance(call.get("model"), str)), None),
        "expected_answer": data.get("answer"),
        "reward": sum(score * weight for score, weight in rewards.values()) if rewards else None,
        "rewards": {name: score for name, (score, _) in rewards.items()} if len(rewards) > 1 else None,
        "finish_reason": finish,
        "truncated": True if stop in _LIMITS or finish == "length" else None,
    }


def _rewards(rewards: Mapping[str, Any], path: str) -> dict[str, tuple[float, float]]:
    """The score and the weight of each reward; one that was not scored is left out."""
    found = {}
    for name, reward in rewards.items():
        here = f"{path}.{name}"
        scored = reward if isinstance(reward, dict) else {"score": reward}
        score, weight = number(scored.get("score"), f"{here}.score"), number(scored.get("weight"), f"{here}.weight")
        if score is not None:
            found[name] = (score, 1.0 if weight is None else weight)
    return found


def _branches(
    trace: Mapping[str, Any], path: str, meta: Mapping[str, Any], extra: Mapping[str, Any]
) -> Iterator[Found | TraceInvalid]:
    nodes = [typed(node, dict, f"{path}nodes.{n}") for n, node in enumerate(field(trace, "nodes", list, at=path))]
    parents = [_parent(node, n, f"{path}nodes.{n}.") for n, node in enumerate(nodes)]
    leaves = sorted(set(range(len(nodes))) - {parent for parent in parents if parent is not None})
    if not leaves:
        raise TraceInvalid(Problem(f"{path}nodes", f"has no messages{_told(trace)}"))
    for number_of, leaf in enumerate(leaves):
        line: list[int] = []
        at: int | None = leaf
        while at is not None:
            line.append(at)
            at = parents[at]
        line.reverse()
        try:
            turns = [turn_of(nodes[n].get("message"), f"{path}nodes.{n}.message") for n in line]
            begins = _begin([nodes[n] for n in line], f"{path}nodes", trace)
            kept = [rest_of(nodes[n], *_OF_TOKENS) for n in line]
            yield found_in_rollout(
                prompt_of(turns[:begins]),
                turns[begins:],
                path=f"{path}nodes",
                meta=meta,
                extra=extra if len(leaves) == 1 else {**extra, "branch": number_of},
                messages={"nodes": kept},
            )
        except TraceInvalid as error:
            yield error


def _parent(node: Mapping[str, Any], place: int, at: str) -> int | None:
    """The node before it, which was there first: so no branch is a circle."""
    parent = maybe(node, "parent", int, at=at)
    if parent is not None and not 0 <= parent < place:
        raise TraceInvalid(Problem(f"{at}parent", "must be a node before this one"))
    return parent


def _begin(nodes: list[dict[str, Any]], path: str, trace: Mapping[str, Any]) -> int:
    """Where the model begins: an assistant's message that was not sampled is part of the prompt."""
    if any("sampled" in node for node in nodes):
        begins = [n for n, node in enumerate(nodes) if node.get("sampled") is True]
    else:
        begins = [n for n, node in enumerate(nodes) if node["message"].get("role") == "assistant"]
    if not begins:
        raise TraceInvalid(Problem(path, f"has no message of the model{_told(trace)}"))
    return begins[0]


def _repeated(episode: Mapping[str, Any], trace: Mapping[str, Any]) -> list[str]:
    """What a trace repeats of its episode."""
    return [name for name, item in trace.items() if name in episode and episode[name] == item]


def _told(failed: Mapping[str, Any]) -> str:
    """The last error of an episode or a trace, in words."""
    listed = failed.get("errors")
    errors = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not errors:
        return ""
    kind, message = first_text(errors[-1], "type")[1], first_text(errors[-1], "message")[1]
    return f": {': '.join(filter(None, (kind, message)))[:200]}"
