"""A judge: a language model that answers one question about each trace. It scores like any other scorer."""

import copy
import hashlib
import importlib.util
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tunix_rt.analysis import Score, Texts
from tunix_rt.errors import QueryInvalid
from tunix_rt.finish_reasons import is_cut_short
from tunix_rt.judges.forms import Unreadable, object_schema, read_line, read_object
from tunix_rt.judges.rubrics import RUBRICS, messages, missing, rubric_of
from tunix_rt.model import Trace, TraceRecord
from tunix_rt.render import visible
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.validation import short

if TYPE_CHECKING:
    from tunix_rt.judges.server import Reply, Server

Judged = Texts | Trace | TraceRecord
KEY_VARIABLE = "TUNIX_RT_JUDGE_KEY"
_MOST_AT_ONCE = 256
_MOST_SAMPLES = 64
_MOST_SECONDS = 3_600
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# Of how replies are read; another one makes other verdicts.
_READING = 1


class Judge:
    """A language model as a scorer; it sends the traces to its server.

    >>> import tunix_rt as rt
    >>> rt.Judge("correct", model="Qwen/Qwen3-8B")  # then store.score(judge, score={"answer": False})
    <Judge judge:correct by Qwen/Qwen3-8B at http://localhost:8000/v1/chat/completions>

    `prompt` is a rubric, "correct", "valid_steps", "faithful", "first_wrong_step", "better", or your own question. Its
    `answer` is bool, a list of labels, (low, high), or a pydantic model, of which `field` is the value and the rest
    evidence; its `parts` are those of a trace that are shown ("prompt", "steps", "final_answer", "expected_answer").

    `model` and `base_url` are those of a server that speaks OpenAI's chat completions (vLLM, SGLang, Ollama, hosted).
    The key is read from the environment variable `key_env` when requests are sent (by default from TUNIX_RT_JUDGE_KEY
    where that is set), and kept nowhere. `samples` verdicts on a trace are one score: what most say, or the mean of
    numbers. `extra` is merged into each request; None takes a field out. `timeout` is in seconds for a request,
    `concurrency` how many may be under way. The key of the scores is `name`, `version` (a hash of the question and its
    answer) and `params`; `usage` counts requests and tokens.

    A verdict that is cut, refused, unreadable or late is a reason, never "no". Raises QueryInvalid for options that are
    not valid, and, when it scores, JudgeUnavailable where the server does not answer or refuses.
    """

    def __init__(
        self,
        prompt: str,
        *,
        model: str,
        base_url: str = "http://localhost:8000/v1",
        answer: Any = None,
        field: str | None = None,
        parts: Any = None,
        name: str | None = None,
        samples: int = 1,
        temperature: float | None = 0,
        max_tokens: int = 4_096,
        concurrency: int = 8,
        timeout: float = 60,
        key_env: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if importlib.util.find_spec("httpx") is None:
            raise QueryInvalid('Judge: needs the package httpx: pip install "tunix-rt[judge]"')
        self._rubric = rubric_of(prompt, answer, field, parts)
        if not isinstance(model, str) or not 0 < len(model) <= 200:  # noqa: PLR2004
            raise QueryInvalid(f"model={short(model)}: must be the name under which the server has the model")
        whole_number("samples", samples, 1, _MOST_SAMPLES)
        whole_number("max_tokens", max_tokens, 1, 2**20)
        whole_number("concurrency", concurrency, 1, _MOST_AT_ONCE)
        if temperature is not None and not _is_between(temperature, 0, 10):
            raise QueryInvalid(
                f"temperature={short(temperature)}: must be a number from 0 to 10, or None to leave it out"
            )
        if not _is_between(timeout, 0, _MOST_SECONDS) or not timeout:
            raise QueryInvalid(f"timeout={short(timeout)}: must be a number of seconds, up to {_MOST_SECONDS:,}")
        if key_env is not None and (not isinstance(key_env, str) or not _VARIABLE.fullmatch(key_env)):
            # It may be the key itself, which is not to be shown.
            raise QueryInvalid("key_env: must be the name of an environment variable that holds the key, not the key")
        if not isinstance(extra, Mapping | None) or not _is_json(extra):
            raise QueryInvalid(f"extra={short(extra)}: must be fields of the request with values of JSON")
        self._url = _checked_url(base_url)
        self._model, self._temperature, self._max_tokens = model, temperature, max_tokens
        self._samples, self._concurrency, self._timeout = samples, concurrency, timeout
        self._key_env = key_env
        self._extra = dict(extra or {})
        self.name = self._rubric.name if name is None else name
        schema = object_schema(self._rubric.form)
        asked = json.dumps([self._rubric.task, self._rubric.parts, schema, field, _READING], sort_keys=True)
        self.version = f"1-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
        params = {"model": model, "temperature": temperature, "max_tokens": max_tokens, "samples": samples}
        self.params: Mapping[str, Any] = params | ({"extra": self._extra} if extra else {})
        # Remembered: the server does not take a schema.
        self._as_line = False
        self._other: Texts | None = None
        self._other_id: str | None = None
        self.usage: dict[str, int] = {"requests": 0, "input_tokens": 0, "output_tokens": 0}

    def score(self, texts: Judged, /) -> Score:
        """The score of one trace."""
        return next(score for _, score in self.score_many([texts]))

    def score_many(self, texts: Iterable[Judged], /) -> Iterator[tuple[int, Score]]:
        """The score of each trace, with its index, as they come."""
        from tunix_rt.judges.asking import Asking
        from tunix_rt.judges.server import Server, Usage

        if self._rubric is RUBRICS["better"] and self._other is None:
            raise QueryInvalid("Judge: this rubric compares two traces; score with judge.against(other)")
        usage, before = Usage(), dict(self.usage)
        key = self._key()
        with Asking(lambda: Server(self._url, key, self._timeout, self._concurrency, usage)) as asking:
            for found in asking.each(self._judged, map(texts_of, texts)):
                self.usage.update({name: before[name] + n for name, n in asdict(usage).items()})
                yield found

    def against(self, other: Judged) -> "Judge":
        """This judge, of the rubric "better", as a scorer that compares each trace with this other one of its prompt.

        It asks in both orders. The label is "this", "other" or "tie"; `undecided` where the orders disagree.
        """
        if self._rubric is not RUBRICS["better"]:
            raise QueryInvalid('against: only the rubric "better" compares two traces: rt.Judge("better", model=…)')
        texts = texts_of(other)
        other_id = str(other.id) if isinstance(other, TraceRecord) else None
        shown = json.dumps([texts.prompt, list(texts.steps), texts.final_answer])
        made = copy.copy(self)
        vars(made).update(
            _other=texts,
            _other_id=other_id,
            params={**self.params, "other": other_id or hashlib.sha256(shown.encode()).hexdigest()[:32]},
        )
        return made

    async def _judged(self, server: "Server", texts: Texts) -> Score:
        if self._other is not None:
            return await self._compared(server, texts, self._other)
        if reason := missing(self._rubric, texts):
            return Score(reason=reason)
        return await self._verdict(server, texts)

    async def _compared(self, server: "Server", this: Texts, other: Texts) -> Score:
        if this.prompt != other.prompt:
            return Score(reason="not_applicable", explanation="the two traces have different prompts")
        orders = [await self._verdict(server, this, other), await self._verdict(server, other, this)]
        names = ({"first": "this", "second": "other"}, {"first": "other", "second": "this"})
        said = [
            score.reason if score.label is None else of.get(score.label, score.label)
            for score, of in zip(orders, names, strict=True)
        ]
        metadata = {"other_trace_id": self._other_id, "orders": said, "judge": [dict(one.metadata) for one in orders]}
        failed = next((one for one in orders if one.label is None), None)
        if failed is not None:
            return replace(failed, metadata=metadata)
        if said[0] != said[1]:
            words = f"{said[0]} when it was shown first, {said[1]} when it was shown second"
            return Score(reason="undecided", explanation=words, metadata=metadata)
        return Score(label=said[0], explanation=orders[0].explanation, metadata=metadata)

    async def _verdict(self, server: "Server", *shown: Texts) -> Score:
        """The verdict on a trace, or on two: of one request, or of `samples`."""
        scores = [await self._one(server, *shown) for _ in range(self._samples)]
        return scores[0] if len(scores) == 1 else combined(scores, is_measure=self._rubric.form.is_measure)

    async def _one(self, server: "Server", *shown: Texts) -> Score:
        from tunix_rt.judges.server import NotTaken, Unanswered

        n_before = server.n_answered
        try:
            reply, as_line = await self._reply(server, *shown)
        except NotTaken as error:
            if error.reason != "error":
                return Score(reason=error.reason, explanation=f"{error}")
            is_alone = server.n_answered > n_before
            raise Unanswered(f"{error}", reason="error", status=error.status, is_alone=is_alone) from None
        try:
            found = self._read(reply, len(shown[0].steps), as_line=as_line)
        except Unreadable as error:
            found = Score(reason="unreadable", explanation=f"{error}")
        judge = {
            "model": reply.model,
            "finish_reason": reply.finish,
            "input_tokens": reply.tokens[0],
            "output_tokens": reply.tokens[1],
            "by": "last line" if as_line else "schema",
        }
        return replace(found, metadata={**found.metadata, "judge": judge})

    async def _reply(self, server: "Server", *shown: Texts) -> "tuple[Reply, bool]":
        from tunix_rt.judges.server import NotTaken

        as_line = False

        def body() -> Mapping[str, Any]:
            nonlocal as_line
            # Another request may have found out meanwhile.
            as_line = self._as_line
            return self._body(*shown, as_line=as_line)

        try:
            return await server.reply(body), as_line
        except NotTaken as error:
            if as_line or error.reason != "error":
                raise
        reply = await server.reply(lambda: self._body(*shown, as_line=True))
        self._as_line = True
        return reply, True

    def _body(self, *shown: Texts, as_line: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages(self._rubric, *shown, as_line=as_line),
            "temperature": self._temperature,
            "max_tokens": self._max_tokens,
        }
        if not as_line:
            schema = {"name": "verdict", "schema": object_schema(self._rubric.form)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {name: value for name, value in (body | self._extra).items() if value is not None}

    def _read(self, reply: "Reply", n_steps: int, *, as_line: bool) -> Score:
        if reply.refusal or reply.finish == "content_filter":
            return Score(reason="refused", explanation=reply.refusal or "the server's filter stopped the reply")
        if is_cut_short(reply.finish):
            return Score(reason="cut", explanation=f"stopped by {reply.finish} at max_tokens={self._max_tokens}")
        if not reply.text:
            raise Unreadable("the reply has no text")
        return (read_line if as_line else read_object)(self._rubric.form, reply.text, n_steps)

    def _key(self) -> str | None:
        name = self._key_env or KEY_VARIABLE
        key = os.environ.get(name, "").strip()
        if self._key_env and not key:
            raise QueryInvalid(f"key_env={short(name)}: this environment variable is not set")
        if not key.isascii() or not key.isprintable():
            raise QueryInvalid(f"{name}: holds a key that is not printable ASCII; set the variable again")
        return key or None

    def __repr__(self) -> str:
        return visible(f"<Judge {self.name} by {self._model} at {self._url}>")


def texts_of(trace: Judged) -> Texts:
    """The texts of a trace."""
    if isinstance(trace, Texts):
        return trace
    found = trace.payload if isinstance(trace, TraceRecord) else trace
    if not isinstance(found, Trace):
        raise QueryInvalid(f"{short(trace)}: a judge scores a Trace, a TraceRecord, or the traces of a store")
    return Texts(found.prompt, [step.content for step in found.steps], found.final_answer, found.meta or {})


def combined(scores: Sequence[Score], *, is_measure: bool) -> Score:
    """Several verdicts as one: the mean of numbers, else what more say than anything else; without any, the reason."""
    known = [one for one in scores if one.reason is None]
    said = [one.reason or (one.value if one.label is None else one.label) for one in scores]
    metadata = {"samples": said, "judge": [one.metadata.get("judge") for one in scores]}
    if not known:
        return replace(scores[0], metadata=metadata)
    if is_measure:
        return Score(value=math.fsum(float(one.value or 0) for one in known) / len(known), metadata=metadata)
    (verdict, most), *others = Counter((one.value, one.label) for one in known).most_common(2)
    if others and others[0][1] == most:
        return Score(reason="undecided", explanation="as many samples say one thing as another", metadata=metadata)
    of = next(one for one in known if (one.value, one.label) == verdict)
    return replace(of, metadata={**of.metadata, **metadata})


def _is_between(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value and dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _checked_url(given: Any) -> str:
    """The URL of the chat completions; a message never shows a URL, which may hold a password."""
    import httpx

    parts = None
    if isinstance(given, str) and given.isascii() and not any(one in given for one in " @?#\\"):
        with suppress(httpx.InvalidURL):
            parts = httpx.URL(given)
    if parts is None or parts.scheme not in ("http", "https") or not parts.host or (parts.port or 0) >= 2**16:
        raise QueryInvalid(
            "base_url: must be a URL such as http://localhost:8000/v1, without user, password, query or fragment"
        )
    return str(given).rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
