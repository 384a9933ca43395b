"""`structure` and `length`: what needs no answer."""

from tunix_rt.analysis.score import Score, Texts


def structure(texts: Texts, *, steps: int = 10, step_chars: int = 500) -> Score:
    """A baseline of 0 to 100: 50 · min(1, steps/`steps`) + 50 · min(1, mean characters of a step/`step_chars`).

    It rewards padding: more and longer steps score more, whatever they say. Compare a better score with it, and never
    train on it.
    """
    n_steps, n_chars = len(texts.steps), sum(map(len, texts.steps))
    mean = n_chars / n_steps if n_steps else 0.0
    value = 50 * min(1, n_steps / steps) + 50 * min(1, mean / step_chars)
    return Score(value=round(value, 2), metadata={"steps": n_steps, "mean_step_chars": round(mean, 1)})


def length(texts: Texts) -> Score:
    """The characters of the model's text, its steps and its answer together, without the prompt."""
    n_chars = sum(map(len, texts.steps)) + len(texts.final_answer or "")
    words = sum(len(text.split()) for text in (*texts.steps, texts.final_answer or ""))
    return Score(value=n_chars, metadata={"steps": len(texts.steps), "words": words})
