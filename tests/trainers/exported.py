"""What an export writes, given to TRL itself: read, rendered, trained on.

The tokenizer and the models are made here and know nothing. Trainers that this TRL does not have are named.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from inspect import signature
from pathlib import Path
from typing import Any

import tunix_rt as rt

_QUESTIONS = 8
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _fill(store: rt.TraceStore) -> None:
    """Two samples of each question, right and wrong, their steps labelled; every other one with a system's text."""
    for n in range(_QUESTIONS):
        for correct in (True, False):
            result = n * 19 + (0 if correct else 1)
            meta = {
                "correct": correct,
                "reward": float(correct),
                "expected_answer": str(n * 19),
                "step_labels": [1, correct],
            }
            store.add(
                rt.Trace(
                    prompt=f"{n} × 19?",
                    steps=[f"{n} × 20 = {n * 20}\n\n", f"{n * 20} − {n} = {result}"],
                    final_answer=str(result),
                    meta=meta | ({"system": "Be brief."} if n % 2 else {}),
                )
            )


def tokenizer() -> Any:
    """A tokenizer of bytes with the chat template of Qwen 3, which renders reasoning by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {sign: n for n, sign in enumerate([*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    signs = {"pad_token": _SPECIAL[0], "eos_token": _SPECIAL[2], "additional_special_tokens": _SPECIAL}
    made = PreTrainedTokenizerFast(tokenizer_object=bare, **signs)
    template = files("trl") / "chat_templates" / "qwen3.jinja"
    if template.is_file():
        made.chat_template = template.read_text(encoding="utf-8")
    return made


class _Work:
    """The exported files, read as trainers read them, and what is done with them."""

    def __init__(self, store: rt.TraceStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self.tokenizer = tokenizer()

    def exported(self, format: str) -> Any:
        """The rows of an export, as `datasets` reads a folder with it and its manifest."""
        from datasets import load_dataset

        folder = self._folder / format
        folder.mkdir()
        n_rows = self._store.export(folder / "rows.jsonl", format=format).rows
        dataset = load_dataset(str(folder), split="train", cache_dir=str(self._folder / "cache"))
        assert len(dataset) == n_rows > 0, (dataset, n_rows)
        return dataset

    def train(self, name: str, dataset: Any) -> None:
        """A step of this trainer over the rows."""
        import transformers
        import trl

        if not hasattr(trl, f"{name}Trainer"):
            raise ImportError(f"{name}Trainer")
        config = transformers.Qwen2Config(
            vocab_size=len(self.tokenizer),
            pad_token_id=self.tokenizer.pad_token_id,
            num_labels=1,
            **dict.fromkeys(("hidden_size", "intermediate_size"), 16),
            **dict.fromkeys(("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1),
        )
        kind = "AutoModelForSequenceClassification" if name == "Reward" else "AutoModelForCausalLM"
        # From a folder: some trainers open the model a second time, as the one to compare with.
        model = self._folder / "model"
        getattr(transformers, kind).from_config(config).save_pretrained(model)
        arguments = getattr(trl, f"{name}Config")(
            output_dir=str(self._folder / "trained"),
            max_steps=1,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
        )
        trainer = getattr(trl, f"{name}Trainer")(
            model=str(model), args=arguments, train_dataset=dataset, processing_class=self.tokenizer
        )
        assert trainer.train().global_step == 1


def _messages(work: _Work) -> None:
    from trl import apply_chat_template, is_conversational

    if work.tokenizer.chat_template is None:
        raise ImportError("qwen3.jinja")
    dataset = work.exported("messages")
    for row, record in zip(dataset, work._store.records(newest_first=False), strict=True):
        trace = record.payload
        assert is_conversational(row)
        text = apply_chat_template(row, work.tokenizer)["text"]
        for part in (trace.prompt, *(step.content for step in trace.steps), trace.final_answer):
            assert part.strip() in text, (part, text)
        assert text.index(trace.prompt) < text.index("<think>") < text.index("</think>")
        assert ("Be brief." in text) == ("system" in trace.meta)
    work.train("SFT", dataset)


def _prompt_completion(work: _Work) -> None:
    from trl import is_conversational

    dataset = work.exported("prompt_completion")
    assert set(dataset.column_names) == {"prompt", "completion"}
    assert not any(map(is_conversational, dataset))
    work.train("SFT", dataset)


def _preference(work: _Work) -> None:
    from trl import maybe_extract_prompt, unpair_preference_dataset

    dataset = work.exported("preference")
    assert len(dataset) == _QUESTIONS
    for row in dataset:
        assert maybe_extract_prompt(dict(row)) == row
    unpaired = unpair_preference_dataset(dataset)
    assert (len(unpaired), sum(unpaired["label"])) == (2 * _QUESTIONS, _QUESTIONS)
    work.train("DPO", dataset)


def _preference_to_reward(work: _Work) -> None:
    work.train("Reward", work.exported("preference"))


def _stepwise(work: _Work) -> None:
    try:
        from trl.experimental.prm import PRMTrainer
    except ImportError:
        from trl import PRMTrainer
    limits = {name: None for name in signature(PRMTrainer.tokenize_row).parameters if name.startswith("max_")}
    for row in work.exported("stepwise"):
        tokens = PRMTrainer.tokenize_row(
            row, work.tokenizer, step_separator="\n", train_on_last_step_only=False, is_eval=False, **limits
        )
        told = [label for label in tokens["labels"] if label != -100]
        assert told == [int(label) for label in row["labels"]]
        assert work.tokenizer.decode(tokens["input_ids"]).startswith(row["prompt"])


_CHECKS: dict[str, Callable[[_Work], None]] = {
    "messages: Qwen 3's chat template, SFTTrainer": _messages,
    "prompt_completion: SFTTrainer": _prompt_completion,
    "preference: unpaired, DPOTrainer": _preference,
    "preference: RewardTrainer": _preference_to_reward,
    "stepwise: PRMTrainer's tokens": _stepwise,
}


def check(folder: Path) -> None:
    """A line for each export; the first one that fails ends it with its traceback."""
    store = rt.TraceStore(folder / "traces.duckdb")
    _fill(store)
    for n, (name, one) in enumerate(_CHECKS.items()):
        (folder / str(n)).mkdir()
        try:
            one(_Work(store, folder / str(n)))
            print(f"✓ {name}")  # noqa: T201 - this is what it is for
        except ImportError as error:
            print(f"– {name}: not in TRL {import_module('trl').__version__} ({error})")  # noqa: T201
