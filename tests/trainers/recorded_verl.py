"""verl's own loader and reward manager call the reward function of the example: each rollout is in the store once."""

import os
import time
from pathlib import Path

import tunix_rt as rt
from tests.trainers.exported import tokenizer

_ASKED = ("2 + 2?", "3 + 3?")
_SAID = ("<think>Two and two.</think>\nIt is 4", "<think>Three\nIt is 7")
_SAMPLES = 2


def check(folder: Path) -> None:
    """Each rollout with its reward and its answer; its reasoning is split from it. Marks of a template are none."""
    import numpy as np
    import torch
    from omegaconf import OmegaConf
    from verl import DataProto
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.workers.reward_manager import NaiveRewardManager

    path = folder / "verl.duckdb"
    os.environ["TRACE_STORE"] = str(path)
    script = rt.examples.folder() / "record_verl.py"
    function = get_custom_reward_fn(
        OmegaConf.create({"reward": {"custom_reward_function": {"path": str(script), "name": "compute_score"}}})
    )
    words = tokenizer()
    pad = words.pad_token_id
    rows = [(asked, said) for asked, said in zip(_ASKED, _SAID, strict=True) for _ in range(_SAMPLES)]
    asked = [words.encode(f"<|im_start|>user\n{one}<|im_end|>\n<|im_start|>assistant\n") for one, _ in rows]
    said = [words.encode(f"{one}<|im_end|>") for _, one in rows]
    most_asked, most_said = max(map(len, asked)), max(map(len, said))
    # Prompts are filled up on the left, responses on the right.
    prompts = torch.tensor([[pad] * (most_asked - len(one)) + one for one in asked])
    responses = torch.tensor([one + [pad] * (most_said - len(one)) for one in said])
    mask = torch.tensor(
        [
            [0] * (most_asked - len(a)) + [1] * (len(a) + len(b)) + [0] * (most_said - len(b))
            for a, b in zip(asked, said, strict=True)
        ]
    )
    data = DataProto.from_dict(
        tensors={"prompts": prompts, "responses": responses, "attention_mask": mask},
        non_tensors={
            "data_source": np.array(["sums"] * len(rows), dtype=object),
            "reward_model": np.array([{"ground_truth": "4"} for _ in rows], dtype=object),
            "extra_info": np.array([{"question": one, "index": n} for n, (one, _) in enumerate(rows)], dtype=object),
        },
    )
    scores = NaiveRewardManager(words, num_examine=0, compute_score=function)(data).sum(-1).tolist()
    assert scores == [1.0, 1.0, 0.0, 0.0], scores
    store = rt.TraceStore(path)
    _wait_for(store, len(rows))
    found = [record.payload for record in store.records(run="verl", newest_first=False)]
    assert [one.meta["reward"] for one in found] == scores, found
    assert [one.meta["sample"] for one in found] == [0, 1, 0, 1], found
    assert (found[0].prompt, found[0].steps[0].content, found[0].final_answer) == ("2 + 2?", "Two and two.", "It is 4")
    assert found[2].final_answer is None, found[2]
    assert all("<|im_end|>" not in str(one) for one in found), found


def _wait_for(store: rt.TraceStore, n: int) -> None:
    """The recorder is in the loaded module, and writes soon."""
    ends = time.monotonic() + 30
    while store.count() < n and time.monotonic() < ends:
        time.sleep(0.1)
