"""Every format, in and out, in one table; a new format is a row here and a file of its family."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from tunix_rt.errors import QueryInvalid, TraceInvalid
from tunix_rt.formats.atif import AtifReader, atif
from tunix_rt.formats.chat import (
    LangChainReader,
    MessagesReader,
    OtherMessagesReader,
    ShareGptReader,
    TemplatedTextReader,
    messages,
)
from tunix_rt.formats.claude_code import ClaudeCodeReader
from tunix_rt.formats.codex import CodexReader
from tunix_rt.formats.completions import ChatCompletionReader, StreamReader, TextCompletionReader
from tunix_rt.formats.containers.writers import LINES, PARQUET, Container
from tunix_rt.formats.copilot_cli import CopilotCliReader
from tunix_rt.formats.evaluations import (
    MmluProReader,
    NemoSkillsReader,
    OpenCompassReader,
    QwenEvalReader,
    SimpleEvalsReader,
)
from tunix_rt.formats.gemini_cli import GeminiCliReader, QwenCodeReader
from tunix_rt.formats.gsm8k import Gsm8kReader, Gsm8kSolutionsReader
from tunix_rt.formats.helm import HelmReader
from tunix_rt.formats.inspect_logs import InspectReader
from tunix_rt.formats.kimi import KimiCliReader, KimiCodeReader
from tunix_rt.formats.langfuse import LangfuseReader
from tunix_rt.formats.langsmith import LangSmithReader
from tunix_rt.formats.lm_eval import LmEvalReader
from tunix_rt.formats.mapped import MappedReader
from tunix_rt.formats.message_responses import BedrockReader, MessageResponseReader
from tunix_rt.formats.native import NativeReader
from tunix_rt.formats.nemo_rl import NemoRlReader
from tunix_rt.formats.openhands import OpenHandsReader
from tunix_rt.formats.process_rewards import Prm800kReader, ProcessBenchReader
from tunix_rt.formats.providers import AnthropicReader, GeminiReader, OpenAiResponsesReader
from tunix_rt.formats.rows.found import Found, Reader, SessionReader, draft_of
from tunix_rt.formats.rows.row import Draft, Rejection, Row, ScoreDraft
from tunix_rt.formats.solutions import NuminaMathReader, OpenR1MathReader, OpenThoughtsReader, S1kReader
from tunix_rt.formats.spans import OpenInferenceReader, OtelGenAiReader
from tunix_rt.formats.swe_agent import MiniSweAgentReader, SweAgentReader
from tunix_rt.formats.trackio import TrackioReader
from tunix_rt.formats.trl import (
    PreferenceReader,
    PromptCompletionReader,
    StepwiseReader,
    TrlCompletionsReader,
    preference,
    prompt_completion,
    stepwise,
)
from tunix_rt.formats.tunix import RL_COLUMNS, TunixTrajectoriesReader, training_example, tunix_rl, tunix_sft
from tunix_rt.formats.verifiers import VerifiersReader, VerifiersTracesReader
from tunix_rt.formats.verl import VerlReader

_T = TypeVar("_T")


class Writer(NamedTuple):
    """How a format is written: the container, and what makes a row of a trace, or of a chosen and a rejected one.

    Without `row` the store writes its own columns; `columns` are those of Parquet.
    """

    container: Container
    row: Callable[..., dict[str, Any] | None] | None = None
    takes_pairs: bool = False
    takes_tags: bool = False
    columns: pa.Schema | None = None


class Format(NamedTuple):
    """One format: its name, its family, what it is, and how it is read and written, or one of the two."""

    name: str
    family: str
    description: str
    reader: Reader | None = None
    writer: Writer | None = None

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where a row looks like one of this format, else what it lacks."""
        return self.reader.misfit(value) if self.reader else "it is only written"

    def gathered(self, rows: Iterator[Row | Rejection], most_bytes: int) -> Iterator[Row | Rejection]:
        """The rows, those that are pieces of one put together; of these no more than `most_bytes` are held."""
        gather = getattr(self.reader, "gathered", None)
        return gather(rows, most_bytes) if gather else rows

    @property
    def has_sessions(self) -> bool:
        """Whether it is that of an agent's sessions, whose rows may be events."""
        return isinstance(self.reader, SessionReader)

    @property
    def reads_rows_alone(self) -> bool:
        """Whether each row can be read apart from the others, and in another process: not by a user's own reader."""
        module = type(self.reader).__module__
        is_own = module.startswith(f"{__package__}.") and not module.endswith(".own_formats")
        return is_own and not self.has_sessions and not hasattr(self.reader, "gathered")

    def is_event(self, value: Any) -> bool:
        """Whether a row is surely one event of a session, whose file is one row."""
        return isinstance(self.reader, SessionReader) and isinstance(value, dict) and self.reader.is_event(value)

    def by_turn(self) -> "Format":
        """The same with a trace for each turn of the user. Raises QueryInvalid where it has no sessions."""
        if not isinstance(self.reader, SessionReader):
            raise QueryInvalid(f'split="turn": the format {self.name} has no sessions of an agent; leave split out')
        return self._replace(reader=self.reader.by_turn())

    def drafts(self, row: Row) -> Iterator[Draft | ScoreDraft | TraceInvalid]:
        """The traces of a row, an error in place of each invalid one; raises TraceInvalid where none can be read."""
        for found, is_alone in _with_company(self.reader.found(row)) if self.reader else ():
            if not isinstance(found, Found):
                yield found
                continue
            try:
                yield draft_of(found, row, self.name, is_alone=is_alone)
            except TraceInvalid as error:
                yield error


def _with_company(all_found: Iterable[_T]) -> Iterator[tuple[_T, bool]]:
    """What was found in a row, each with whether it is all that was."""
    left = iter(all_found)
    for first in left:
        try:
            second = next(left, None)
        except (TraceInvalid, RecursionError):
            yield first, True
            raise
        yield first, second is None
        if second is not None:
            yield second, False
        for other in left:
            yield other, False


def _lines(row: Callable[..., dict[str, Any] | None], *, takes_pairs: bool = False, takes_tags: bool = False) -> Writer:
    return Writer(LINES, row, takes_pairs=takes_pairs, takes_tags=takes_tags)


# In the order in which the readers are tried: those that need more fields come first.
_TABLE = (
    Format("gsm8k_solutions", "gsm8k", "GSM8K: the models' solutions of a problem", Gsm8kSolutionsReader()),
    Format("gsm8k", "gsm8k", "GSM8K: problems with human solutions", Gsm8kReader()),
    Format("openr1_math", "solutions", "OpenR1-Math: several generations for a problem", OpenR1MathReader()),
    Format("open_thoughts", "solutions", "OpenThoughts, with its metadata", OpenThoughtsReader()),
    Format("s1k", "solutions", "s1K and s1K-1.1: the models' attempts at a question", S1kReader()),
    Format("numina_math", "solutions", "NuminaMath-1.5: problems with human solutions", NuminaMathReader()),
    Format("prm800k", "process_rewards", "PRM800K: solutions with rated steps", Prm800kReader()),
    Format("process_bench", "process_rewards", "ProcessBench: solutions with their first error", ProcessBenchReader()),
    Format("lm_eval", "lm_eval", "lm-evaluation-harness: samples_*.jsonl", LmEvalReader()),
    Format("qwen_eval", "evaluations", "Qwen2.5-Math, ToRA: several samples of a question", QwenEvalReader()),
    Format("nemo_skills", "evaluations", "NeMo-Skills: generations with their verdict", NemoSkillsReader()),
    Format("mmlu_pro", "evaluations", "MMLU-Pro: answers to questions with options", MmluProReader()),
    Format("opencompass", "evaluations", "OpenCompass: predictions", OpenCompassReader()),
    Format("simple_evals", "evaluations", "simple-evals: the conversations of a run", SimpleEvalsReader()),
    Format("helm", "helm", "HELM: scenario_state.json", HelmReader()),
    Format("stepwise", "trl", "TRL: steps with labels", StepwiseReader(), _lines(stepwise)),
    Format(
        "preference",
        "trl",
        "TRL: a chosen and a rejected answer",
        PreferenceReader(),
        _lines(preference, takes_pairs=True, takes_tags=True),
    ),
    Format("inspect", "inspect_logs", "Inspect: logs of evaluations, .eval or .json", InspectReader()),
    Format("atif", "atif", "ATIF: trajectories of agents", AtifReader(), _lines(atif)),
    Format("claude_code", "claude_code", "Claude Code: sessions", ClaudeCodeReader()),
    Format("codex", "codex", "Codex: sessions", CodexReader()),
    Format("gemini_cli", "gemini_cli", "Gemini CLI: sessions", GeminiCliReader()),
    Format("qwen_code", "gemini_cli", "Qwen Code: sessions", QwenCodeReader()),
    Format("kimi_cli", "kimi", "Kimi CLI: sessions", KimiCliReader()),
    Format("kimi_code", "kimi", "Kimi Code: sessions", KimiCodeReader()),
    Format("copilot_cli", "copilot_cli", "GitHub Copilot CLI: sessions", CopilotCliReader()),
    Format("openhands", "openhands", "OpenHands: histories of events", OpenHandsReader()),
    Format("swe_agent", "swe_agent", "SWE-agent: trajectories", SweAgentReader()),
    Format("mini_swe_agent", "swe_agent", "mini-swe-agent: trajectories", MiniSweAgentReader()),
    Format("langsmith", "langsmith", "LangSmith: runs", LangSmithReader()),
    Format("langfuse", "langfuse", "Langfuse: traces with their observations", LangfuseReader()),
    Format("tunix_trajectories", "tunix", "google/tunix: its log of trajectories", TunixTrajectoriesReader()),
    Format("verifiers", "verifiers", "verifiers: results.jsonl", VerifiersReader()),
    Format("verifiers_traces", "verifiers", "verifiers v1 and prime-rl: traces.jsonl", VerifiersTracesReader()),
    Format("trackio", "trackio", "Trackio: logged traces, SQLite or Parquet", TrackioReader()),
    Format("trl_completions", "trl", "TRL: completions logged by GRPO and RLOO", TrlCompletionsReader()),
    Format("verl", "verl", "verl: rollouts, a file for each training step", VerlReader()),
    Format("nemo_rl", "nemo_rl", "NeMo-RL: rollouts, a file for each training step", NemoRlReader()),
    Format("otel_genai", "spans", "OpenTelemetry: spans by the GenAI conventions", OtelGenAiReader()),
    Format("openinference", "spans", "OpenInference: spans of calls to a model", OpenInferenceReader()),
    Format("openai_responses", "providers", "OpenAI Responses", OpenAiResponsesReader()),
    Format("anthropic", "providers", "Anthropic Messages", AnthropicReader()),
    Format("gemini", "providers", "Gemini: generateContent", GeminiReader()),
    Format("bedrock", "message_responses", "Amazon Bedrock: Converse", BedrockReader()),
    Format("chat_completion", "completions", "responses of chat completions, with choices", ChatCompletionReader()),
    Format("text_completion", "completions", "responses of text completions", TextCompletionReader()),
    Format("chunks", "completions", "streamed chunks of completions", StreamReader()),
    Format("sharegpt", "chat", "ShareGPT: conversations", ShareGptReader()),
    Format("messages", "chat", "chats: messages with role and content", MessagesReader(), _lines(messages)),
    Format("langchain", "chat", "LangChain: messages", LangChainReader()),
    Format("message", "message_responses", "a response with one message (Cohere, Ollama)", MessageResponseReader()),
    Format("trace", "native", "a trace as JSON on each line", NativeReader(), Writer(LINES)),
    Format("parquet", "native", "the same with typed columns, read as trace", writer=Writer(PARQUET)),
    Format(
        "prompt_completion",
        "trl",
        "TRL: a prompt with its completion",
        PromptCompletionReader(),
        _lines(prompt_completion, takes_tags=True),
    ),
    Format("templated_text", "chat", "a dialogue in a text, by a chat template's marks", TemplatedTextReader()),
    Format("other_messages", "chat", "messages under another name", OtherMessagesReader()),
    Format("tunix_sft", "tunix", "google/tunix: dialogues to fine-tune on", writer=_lines(tunix_sft)),
    Format("training_example", "tunix", "google/tunix: prompts and responses", writer=_lines(training_example)),
    Format(
        "tunix_rl",
        "tunix",
        "google/tunix: prompts and answers for reinforcement learning",
        writer=Writer(PARQUET, tunix_rl, columns=RL_COLUMNS),
    ),
)
_formats = {one.name: one for one in _TABLE}
_readable = {one.name: one for one in _TABLE if one.reader}
# This package's own come first, as users are offered them.
_OWN_FIRST = sorted(_TABLE, key=lambda one: one.family != "native")
_writers = {one.name: one.writer for one in _OWN_FIRST if one.writer}
# The package's formats, and behind them those that users have added.
FORMATS: Mapping[str, Format] = MappingProxyType(_formats)
READABLE: Mapping[str, Format] = MappingProxyType(_readable)
WRITERS: Mapping[str, Writer] = MappingProxyType(_writers)


def add_format(format: Format) -> None:
    """Adds a user's format, in the place of one of the same name."""
    _formats[format.name] = format
    _readable.pop(format.name, None)
    _writers.pop(format.name, None)
    if format.reader:
        _readable[format.name] = format
    if format.writer:
        _writers[format.name] = format.writer


def mapped_format(mapping: Mapping[str, Any]) -> Format:
    """A format by a mapping of its fields, see `MappedReader`. Raises QueryInvalid where it is invalid."""
    return Format("mapping", "mapped", "fields mapped by hand", MappedReader(mapping))


def named_fields_format(mapping: Mapping[str, Any]) -> Format:
    """The same where the names of the fields gave the mapping."""
    reader = MappedReader(mapping, source="field_names", is_guessed=True)
    return Format("field_names", "mapped", "rows by the names of their fields", reader)
