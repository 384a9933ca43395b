"""A server that speaks OpenAI's chat completions: requests, their retries, and how many of them it takes at once."""

import asyncio
import json
import math
import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import Any, NamedTuple

import httpx

from tunix_rt.errors import JudgeUnavailable
from tunix_rt.validation import short

MAX_REPLY_BYTES = 4 * 2**20
# Of a busy server; one that takes too long has cost `timeout` seconds each time.
MOST_ATTEMPTS = 6
_MOST_TIMEOUTS = 2
# The first pause in seconds, doubled each time, and the longest one that a server may ask for.
_FIRST_PAUSE = 0.5
MOST_PAUSE = 300
_SLOWER = (429, 503, 529)
_AGAIN = (408, 409, 425, 500, 502, 504, *_SLOWER)
# The server does not take this request, but may take another one.
_NOT_TAKEN = (400, 413, 415, 422, 501)
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|too (long|large|many tokens)|maximum.{0,40}tokens", re.IGNORECASE
)
_FILTERED = re.compile(r"content.?(filter|policy|management)", re.IGNORECASE)
# A shorter key is a word that servers without keys are given, and that replies may contain.
_SECRET_CHARS = 16
_MOST_COUNT = 2**53


class Reply(NamedTuple):
    """What the server said: the text, why it stopped, a refusal, and who answered."""

    text: str | None
    finish: str | None
    refusal: str | None
    model: str | None
    tokens: tuple[int, int]


class NotTaken(Exception):
    """The server does not take a request; `reason` is that of the score where this is about the trace."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status
        self.reason = "error"
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or _TOO_LONG.search(said):
            self.reason = "too_long"
        elif _FILTERED.search(said):
            self.reason = "refused"


class Unanswered(Exception):
    """A trace without an answer after all attempts; `is_alone` if the server answered others meanwhile."""

    def __init__(self, said: str, *, reason: str, status: int | None, is_alone: bool) -> None:
        super().__init__(said)
        self.reason, self.status, self.is_alone = reason, status, is_alone


@dataclass
class Usage:
    """What a judge has used: requests, tokens that were sent and that were made; as the server counts them."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Rate:
    """How many requests may be under way: half as many when the server is busy, one more for each round since."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = float(most)
        self._n_active = 0
        self._paused_until = -math.inf
        self._halved_at = -math.inf
        self._changed = asyncio.Event()

    async def __aenter__(self) -> float:
        while True:
            pause = self._paused_until - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self._n_active < int(self.limit):
                break
            else:
                self._changed.clear()
                await self._changed.wait()
        self._n_active += 1
        return time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        self._n_active -= 1
        self._changed.set()

    def answered(self) -> None:
        """A request was answered."""
        self.limit = min(self._most, self.limit + 1 / self.limit)

    def busy(self, begun: float, pause: float) -> None:
        """The server was too busy for a request begun then, and waits for `pause` seconds."""
        # What was sent before the last time is of the same crowd.
        if begun >= self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = time.monotonic()
        self._paused_until = max(self._paused_until, time.monotonic() + pause)


@dataclass
class Server:
    """One run's connection to a server: `url` is that of the chat completions, `key` is sent, and shown nowhere."""

    url: str
    key: str | None = field(repr=False)
    timeout: float
    concurrency: int
    usage: Usage
    n_answered: int = 0

    def __post_init__(self) -> None:
        self.rate = Rate(self.concurrency)
        parts = httpx.URL(self.url)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            # The whole exchange has a time-out of its own.
            timeout=None,  # noqa: S113
            limits=httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
            # A proxy of the surroundings cannot reach what listens on this machine.
            trust_env=parts.host not in ("localhost", "127.0.0.1", "::1"),
            verify=parts.scheme == "https",
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def reply(self, body: Callable[[], Mapping[str, Any]]) -> Reply:
        """The reply to a request, whose body is made when it is sent, after as many attempts as it takes.

        Raises NotTaken, Unanswered, and JudgeUnavailable.
        """
        n_before, n_timeouts = self.n_answered, 0
        for attempt in count(1):
            status, pause, reason = None, 0.0, "error"
            async with self.rate as begun:
                self.usage.requests += 1
                try:
                    async with asyncio.timeout(self.timeout):
                        status, headers, text = await self._exchange(json.dumps(body()).encode())
                except TimeoutError:
                    said, reason = f"no answer within {self.timeout:g} seconds", "timeout"
                    n_timeouts += 1
                except (httpx.TransportError, httpx.DecodingError) as error:
                    said = f"{type(error).__name__}: {error}"
                else:
                    found = _completion(text) if status == HTTPStatus.OK else None
                    if found is not None:
                        return self._answered(found)
                    said = f"{status}: {_message(text)}"
                    pause = self._pause(headers, said)
                    if status in _SLOWER:
                        self.rate.busy(begun, pause)
            if status in _NOT_TAKEN:
                raise NotTaken(said, status)
            if status not in (None, HTTPStatus.OK, *_AGAIN):
                raise JudgeUnavailable(
                    f"{self.url} refuses the requests of this judge: {said}; check base_url, model and key",
                    status=status,
                )
            if attempt >= MOST_ATTEMPTS or n_timeouts >= _MOST_TIMEOUTS:
                is_alone = self.n_answered > n_before
                raise Unanswered(said, reason=reason, status=status, is_alone=is_alone)
            # At different times, or all would come again at once.
            longest = _FIRST_PAUSE * 2 ** (attempt - 1)
            await asyncio.sleep(max(pause, longest * random.uniform(0.5, 1)))  # noqa: S311 - no secret
        raise AssertionError

    async def _exchange(self, content: bytes) -> tuple[int, httpx.Headers, str]:
        sent = self._client.stream("POST", self.url, content=content, headers={"Content-Type": "application/json"})
        async with sent as response:
            received = bytearray()
            async for piece in response.aiter_bytes():
                received += piece
                if len(received) > MAX_REPLY_BYTES:
                    break
        return (
            response.status_code,
            response.headers,
            self._without_key(received[:MAX_REPLY_BYTES].decode(errors="replace")),
        )

    def _without_key(self, text: str) -> str:
        """A text from the server, which may repeat the key in its complaint about it."""
        return text.replace(self.key, "…") if self.key and len(self.key) >= _SECRET_CHARS else text

    def _pause(self, headers: httpx.Headers, said: str) -> float:
        """The seconds that the server asks for by Retry-After, a number or a date; 0 where it does not."""
        given = headers.get("retry-after", "")
        try:
            pause = float(given)
        except ValueError:
            pause = 0.0
            with suppress(ValueError, TypeError):
                pause = parsedate_to_datetime(given).timestamp() - time.time()
        if not math.isfinite(pause) or pause > MOST_PAUSE:
            raise JudgeUnavailable(
                f"{self.url} asks to wait longer than {MOST_PAUSE:g} seconds ({short(given)}; {said}); "
                "score again later"
            )
        return max(pause, 0.0)

    def _answered(self, found: Reply) -> Reply:
        self.rate.answered()
        self.n_answered += 1
        self.usage.input_tokens += found.tokens[0]
        self.usage.output_tokens += found.tokens[1]
        return found


def _completion(text: str) -> Reply | None:
    """The first choice of a completion, with None for what it lacks; None for what is not a completion."""
    found = _parsed(text)
    choices = _get(found, "choices")
    if not isinstance(choices, list) or not choices:
        return None
    message, usage = _get(choices[0], "message"), _get(found, "usage")
    words = [
        word if isinstance(word, str) else None
        for word in (
            _get(message, "content"),
            _get(choices[0], "finish_reason"),
            _get(message, "refusal"),
            _get(found, "model"),
        )
    ]
    counts = (_get(usage, "prompt_tokens"), _get(usage, "completion_tokens"))
    n_sent, n_made = (n if type(n) is int and 0 <= n < _MOST_COUNT else 0 for n in counts)
    content, finish, refusal, model = words
    return Reply(content, finish, refusal, model, (n_sent, n_made))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _get(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None


def _message(text: str) -> str:
    """What the server says of an error, in the forms of OpenAI, vLLM and FastAPI, else as it is."""
    found = _parsed(text)
    inner = _get(found, "error")
    said = _get(inner, "message") or inner or _get(found, "message") or _get(found, "detail") or text
    code = _get(inner, "code")
    return short(said) if not isinstance(code, str) else f"{short(said)} ({short(code)})"
