"""What the gate calls: an answer of the small local model, and one that has become slower."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

from tokenclock.demo import Model, load_model

TOKENS = 8


@functools.cache
def model() -> Model:
    """Load the model once, whichever is installed; the warm-up call pays for it."""
    return load_model()


def answer(prompt: str) -> Iterator[str]:
    """Stream an answer: this is what the baseline was made of."""
    yield from model().stream(prompt, max_tokens=TOKENS)


def slow_answer(prompt: str) -> Iterator[str]:
    """Do the same, after a slip that costs 0.2 s before the first token."""
    time.sleep(0.2)
    yield from answer(prompt)
