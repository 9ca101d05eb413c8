"""What a checker makes of the small model for demonstrations. Never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from tokenclock.demo import (
    NAME,
    Chunk,
    LocalModel,
    Model,
    ScriptedModel,
    find_weights,
    is_available,
    load_model,
    main,
    text_of,
)


def loading() -> None:
    assert_type(load_model(), Model)
    assert_type(is_available(), bool)
    assert_type(find_weights(), Path | None)
    assert_type(main(), None)
    assert_type(LocalModel().url, str)
    LocalModel(Path("weights.gguf"))
    LocalModel("weights.gguf")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ScriptedModel(first_wait=0.5, wait=0.25)
    ScriptedModel(0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    print(NAME)  # noqa: T201 - a name of the module


def asking(model: Model, chunk: Chunk) -> None:
    assert_type(model.label, str)
    assert_type(model.name, str)
    assert_type(model.stream("?", max_tokens=8), Generator[str, None, None])
    assert_type(model.astream("?", cache_prompt=False), AsyncGenerator[str, None])
    assert_type(
        model.chunks([{"role": "user", "content": "?"}]), Generator[dict[str, Any], None, None]
    )
    assert_type(model.achunks("?"), AsyncGenerator[dict[str, Any], None])
    assert_type(text_of(chunk), str)
    model.close()
