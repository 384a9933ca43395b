"""Rows that no format claims, by the names that people give to the parts of a trace: a mapping, or some to choose from.

The names were read from public data sets and logs. A mapping is used by itself only where there is one way to read the
rows; where there are several, or where a part is missing, they are shown to the user, to be copied.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunix_rt.formats.rows.common_meta import names_of

Mapped = dict[str, Any]

_PROMPTS = (
    "prompt", "question", "problem", "query", "instruction", "input", "user_prompt", "user_query", "user_input",
    "user", "problem_statement", "problem_text", "question_text",
)  # fmt: skip
# A prompt where they are messages, none of them by a model.
_DIALOGUES = ("messages", "conversation", "conversations", "context", "history", "dialogue")
# What a model was sent is made of what stands in these.
_BEHIND_PROMPT = {"question", "problem", "query", "problem_statement", "problem_text", "question_text"}
_RESPONSES = (
    "response", "output", "completion", "generation", "generated_solution", "generated_text", "generated_answer",
    "generated_response", "generated_output", "model_output", "model_response", "model_answer", "model_completion",
    "model_generation", "model_solution", "pred_text", "prediction", "assistant", "assistant_response", "llm_response",
    "llm_output", "raw_response", "raw_output", "full_response", "response_text", "output_text", "reply",
)  # fmt: skip
_REASONINGS = (
    "cot", "rationale", "reasoning", "thinking", "thought", "thoughts", "complex_cot", "cot_content", "steps",
    "chain_of_thought", "reasoning_content", "reasoning_trace", "reasoning_steps", "thinking_trace", "thought_process",
)  # fmt: skip
_ANSWERS = ("answer", "final_answer")
# Beside the names that every format knows for a fact: those that say it only where nothing else claims the row.
_GOLDS = (
    *names_of("expected_answer"), "gt", "gt_answer", "ground_truth_answer", "answer_key", "target", "reference",
    "label",
)  # fmt: skip
_VERDICTS = tuple(dict.fromkeys((*names_of("correct"), *names_of("reward"))))
_MODELS = (*names_of("model"), "generator_model", "model_id")
_SYSTEMS = ("system", "system_prompt")
# Too short, or too common, to decide by.
_WEAK = {"q": "question", "p": "prompt", "a": "answer", "ans": "answer", "sol": "solution", "text": "response"}
_SCALARS = {bool: "boolean", int: "number", float: "number", str: "text"}
_NUMBERED = re.compile(r"((?:.+_)?(?:solution|response|generation|completion|output))_?\d+")
_CLOSING = re.compile(r"</think(?:ing)?>|</thought>|</reasoning>|<\|end_of_thought\|>", re.IGNORECASE)
_MOST_SHOWN = 3
_MOST_NESTED = 3
_SAID = {"completion", "reasoning", "steps", "final_answer"}
_WRITTEN, _COMPARED = "if {} is what the model wrote", "if {} is the answer to compare with"


class Proposal(NamedTuple):
    """A mapping, and when it is right, in words; empty where there is no other."""

    mapping: Mapped
    when: str = ""


class Proposals(NamedTuple):
    """The mappings that rows could be read by; `is_sure` where there is only one, with a prompt and a model's text."""

    all: tuple[Proposal, ...]
    is_sure: bool = False


def proposals_for(rows: Sequence[Mapping[str, Any]]) -> Proposals:
    """How these rows could be read by the names of their fields.

    >>> proposals_for([{"problem": "2 + 2?", "cot": "Two and two.", "answer": "4"}])
    Proposals(all=(Proposal(mapping={'prompt': 'problem', 'reasoning': 'cot', 'final_answer': 'answer'}, when=''),), \
is_sure=True)
    """
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, item in row.items():
            # A mapping has no name for the others.
            if name and "{" not in name:
                values.setdefault(name, []).append(item)
    fields = _Fields(values)
    if found := list(_read(fields)):
        is_sure = len(found) == 1 and not found[0].when and _is_complete(found[0].mapping)
        return Proposals(tuple(found[:_MOST_SHOWN]), is_sure)
    guessed = _Fields(dict(_nested(values)), weak=True)
    return Proposals(tuple((list(_read(guessed)) or list(_by_length(guessed)))[:_MOST_SHOWN]))


class _Fields:
    """The fields of the first rows by their roles; only those that hold one kind of value in all of them."""

    def __init__(self, values: Mapping[str, Sequence[Any]], *, weak: bool = False) -> None:
        self.values = {name: [item for item in items if item is not None] for name, items in values.items()}
        self.kinds = {name: _kind(items) for name, items in self.values.items()}
        self._names: dict[str, str] = {}
        for name in values:
            own = _plain(name.rpartition(".")[2] if weak else name)
            self._names.setdefault(_WEAK.get(own, own) if weak else own, name)

    def named(self, names: Sequence[str], *kinds: str) -> list[str]:
        """The fields of these names that hold values of these kinds, in the order of the names."""
        found = [self._names[name] for name in names if name in self._names]
        return [name for name in found if self.kinds[name] in kinds]

    def numbered(self) -> list[list[str]]:
        """Fields such as `response_1`, `response_2`: the samples of one model."""
        groups: dict[str, list[str]] = {}
        for own, name in self._names.items():
            if (match := _NUMBERED.fullmatch(own)) and self.kinds[name] == "text":
                groups.setdefault(match[1], []).append(name)
        return list(groups.values())

    def all_of(self, kind: str) -> list[str]:
        """The fields that hold values of this kind."""
        return [name for name, its in self.kinds.items() if its == kind]


def _plain(name: str) -> str:
    return re.sub(r"[-\s]+", "_", name.strip().lower())


def _kind(items: Sequence[Any]) -> str:
    """The kind of all values of a field; empty where there are none, or they differ."""
    kinds = {_kind_of(item) for item in items}
    return kinds.pop() if len(kinds) == 1 else ""


def _kind_of(item: Any) -> str:
    kind = _SCALARS.get(type(item), "")
    if not isinstance(item, list) or not item:
        return kind
    if all(isinstance(one, dict) and {"role", "from"} & one.keys() for one in item):
        return "messages"
    kind = _kind(item)
    return f"{kind}s" if kind in _SCALARS.values() else ""


def _is_complete(mapping: Mapped) -> bool:
    return "messages" in mapping or ("prompt" in mapping and len(mapping.keys() & _SAID) > 0)


def _read(fields: _Fields) -> Iterator[Proposal]:
    """Every way to read the fields; a single one, without a condition, is the only one."""
    prompts = _prompts(fields)
    said = list(_said(fields, has_prompt=bool(prompts)))
    if not said and len(spoken := [name for name in fields.all_of("messages") if _has_answer(fields, name)]) == 1:
        yield Proposal({"messages": spoken[0], **_notes(fields, {spoken[0]})})
    for prompt in prompts or ([{}] if said else []):
        for taken, condition in said:
            when = condition
            mapping = {**prompt, **taken}
            if len(prompts) > 1:
                asked = f"if {prompt['prompt']} is what the model was asked"
                when = f"{asked}, and {when.removeprefix('if ')}" if when else asked
            used = set(_flat(mapping.values()))
            yield Proposal({**mapping, **_notes(fields, used)}, when)


def _prompts(fields: _Fields) -> list[Mapped]:
    """What may be the prompt: one field, or several where each of them may be."""
    names = fields.named(_PROMPTS, "text", "messages") or fields.named(_DIALOGUES, "messages")
    own = {_plain(name.rpartition(".")[2]): name for name in names}
    if own.keys() == {"instruction", "input"}:
        return [{"prompt": [own["instruction"], own["input"]]}]
    if "user" in own and not all(" " in text.strip() for text in fields.values[own["user"]]):
        # Its name, and nothing that it said.
        names.remove(own.pop("user"))
    if "prompt" in own and own.keys() - {"prompt"} <= _BEHIND_PROMPT:
        names = [own["prompt"]]
    return [{"prompt": _first_text(fields, name)} for name in names if not _has_answer(fields, name)]


def _first_text(fields: _Fields, name: str) -> str:
    """The text of the only message of a list, else the field itself."""
    rows = fields.values[name]
    if fields.kinds[name] == "messages" and all(len(messages) == 1 for messages in rows):
        key = next((key for key in ("content", "value") if all(isinstance(one[0].get(key), str) for one in rows)), None)
        return f"{name}.0.{key}" if key else name
    return name


def _has_answer(fields: _Fields, name: str) -> bool:
    """Whether a model speaks in the messages of a field."""
    return fields.kinds[name] == "messages" and all(
        any(str(one.get("role", one.get("from"))).lower() in ("assistant", "gpt", "model", "ai") for one in messages)
        for messages in fields.values[name]
    )


def _said(fields: _Fields, *, has_prompt: bool) -> Iterator[tuple[Mapped, str]]:
    """What may be the model's text, its reasoning and its answer, and when."""
    responses: list[Any] = [*fields.named(_RESPONSES, "text", "texts"), *_plurals(fields), *_tagged(fields)]
    responses += [group if len(group) > 1 else group[0] for group in fields.numbered()]
    reasonings = fields.named(_REASONINGS, "text", "texts")
    answers = fields.named(_ANSWERS, "text", "number")
    solutions = fields.named(("solution",), "text")
    golds = fields.named(_GOLDS, "text", "number")
    gold = {"meta.expected_answer": (golds or answers or [""])[0]} if golds or answers else {}
    for response in responses:
        if len(reasonings) == 1 and isinstance(response, str) and not _has_tags(fields, response):
            yield (
                {**_reasoning(fields, reasonings[0]), "final_answer": response, **gold},
                _if_several(responses, response),
            )
        else:
            # Reasoning beside a text with tags was taken from it, mostly.
            yield {"completion": response, **gold}, _if_several(responses, response)
    if responses:
        return
    expected = {"meta.expected_answer": golds[0]} if golds else {}
    finals = [*answers, *(solutions if reasonings else ())]
    if reasonings and finals:
        for reasoning in reasonings:
            for final in finals:
                several = len(reasonings) * len(finals) > 1
                when = f"if {final} is the model's answer, and {reasoning} its reasoning" if several else ""
                yield {**_reasoning(fields, reasoning), "final_answer": final, **expected}, when
    elif solutions and len(answers) == 1:
        expected = expected or {"meta.expected_answer": answers[0]}
        reference = {} if golds else {"meta.kind": {"value": "reference"}}
        yield {"reasoning": solutions[0], "final_answer": answers[0], **expected, **reference}, ""
    elif reasonings:
        for reasoning in reasonings:
            yield {"completion": reasoning, **expected}, _WRITTEN.format(reasoning)
    else:
        yield from _only_answer([*answers, *solutions], golds, has_prompt=has_prompt)


def _only_answer(answers: Sequence[str], golds: Sequence[str], *, has_prompt: bool) -> Iterator[tuple[Mapped, str]]:
    """One text that may be anybody's."""
    for answer in answers:
        if not has_prompt:
            yield {"final_answer": answer}, ""
            continue
        compared = ({"meta.expected_answer": answer}, _COMPARED.format(answer))
        written = ({"completion": answer}, _WRITTEN.format(answer))
        yield from (compared, written) if answer.lower().endswith("final_answer") else (written, compared)
    if has_prompt and not answers and golds:
        yield {"meta.expected_answer": golds[0]}, _COMPARED.format(golds[0])


def _reasoning(fields: _Fields, name: str) -> Mapped:
    return {"steps" if fields.kinds[name] == "texts" else "reasoning": name}


def _if_several(responses: Sequence[Any], one: Any) -> str:
    return _WRITTEN.format(one if isinstance(one, str) else " and ".join(one)) if len(responses) > 1 else ""


def _has_tags(fields: _Fields, name: str) -> bool:
    return any(_CLOSING.search(text) for text in _flat(fields.values[name]))


def _tagged(fields: _Fields) -> list[str]:
    """Fields of any other name whose texts close a tag of thinking: a model wrote them, or nobody did."""
    others = {*_PROMPTS, *_RESPONSES, *_REASONINGS, *_ANSWERS, "solution", *_GOLDS, *_SYSTEMS}
    unknown = [
        name for name in fields.all_of("text") if _plain(name) not in others and not _NUMBERED.fullmatch(_plain(name))
    ]
    return [name for name in unknown if _has_tags(fields, name)]


def _plurals(fields: _Fields) -> list[str]:
    return fields.named([f"{name}s" for name in _RESPONSES], "texts")


def _notes(fields: _Fields, used: set[str]) -> Mapped:
    """What else of the row has a meaning that is the same for every source."""
    notes: Mapped = {}
    for target, names, kinds in (
        ("meta.correct", _VERDICTS, ("boolean", "booleans")),
        ("meta.reward", _VERDICTS, ("number", "numbers")),
        ("meta.model", _MODELS, ("text",)),
        ("meta.system", _SYSTEMS, ("text",)),
        ("meta.source", ("source",), ("text",)),
    ):
        plural = [f"{name}s" for name in names] if kinds[-1].endswith("s") else []
        if found := [name for name in fields.named([*names, *plural], *kinds) if name not in used]:
            notes[target] = found[0]
    return notes


def _nested(values: Mapping[str, Sequence[Any]], depth: int = _MOST_NESTED) -> Iterator[tuple[str, list[Any]]]:
    """The fields with those inside of objects, by their paths."""
    for name, items in values.items():
        there = [item for item in items if item is not None]
        if depth and there and all(isinstance(item, dict) for item in there):
            inner: dict[str, list[Any]] = {}
            for item in there:
                for key, one in item.items():
                    if key and not {"{", "."} & set(key):
                        inner.setdefault(f"{name}.{key}", []).append(one)
            yield from _nested(inner, depth - 1)
        else:
            yield name, there


def _by_length(fields: _Fields) -> Iterator[Proposal]:
    """Where the names do not say enough: the longest text is what the model wrote, and another one its prompt.

    A field that has the name of a prompt is the prompt, unless it is the only text.
    """
    # Words only: what has no space is a name, a number or an address.
    said = [name for name in fields.all_of("text") if any(" " in text.strip() for text in fields.values[name])]
    texts = {name: sum(map(len, fields.values[name])) for name in said}
    if texts:
        prompts = fields.named(_PROMPTS, "text")
        longest = max(texts, key=lambda name: (name not in prompts, texts[name]))
        others = [name for name in (*prompts, *texts) if name != longest]
        yield Proposal({**({"prompt": others[0]} if others else {}), "completion": longest}, "perhaps")


def _flat(items: Any) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            yield from _flat(item)
