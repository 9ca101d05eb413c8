"""A real model: our numbers against those the runtime itself reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import perf_counter_ns
from typing import Any

import pytest

from local_model import LocalModel, load_model, text_of
from tokenclock import Reading, Usage, capture, metrics_decorator, observe

pytestmark = pytest.mark.model

QUESTION = "Why is the sky blue?"
TOKENS = 24


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    loaded = load_model()
    assert isinstance(loaded, LocalModel), "the real model is not installed"
    yield loaded
    loaded.close()


def read(chunk: dict[str, Any]) -> Reading:
    usage = chunk.get("usage")
    return Reading(
        tokens=1 if text_of(chunk) else 0,
        channel="text",
        usage=Usage(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None,
        model=chunk.get("model"),
        finish_reason=chunk["choices"][0]["finish_reason"] if chunk["choices"] else None,
    )


def timings_in(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [chunk["timings"] for chunk in chunks if "timings" in chunk]
    return found[-1]


def test_the_numbers_agree_with_those_of_the_runtime(model: LocalModel) -> None:
    """No first token before the prompt was read, no generation shorter than the runtime's own."""
    before = perf_counter_ns()
    result = (
        metrics_decorator(read_chunk=read)(model.chunks)(
            QUESTION, max_tokens=TOKENS, cache_prompt=False
        )
    ).collect()
    elapsed = (perf_counter_ns() - before) / 1e9
    timings = timings_in(result.value)

    assert (result.token_count, result.token_source) == (timings["predicted_n"], "usage")
    assert result.input_token_count == timings["prompt_n"]
    assert (result.model, result.finish_reason) == ("SmolLM2-135M-Instruct", "length")
    assert result.outcome == "completed"
    assert result.time_to_first_token is not None
    assert timings["prompt_ms"] / 1e3 <= result.time_to_first_token <= result.generation_latency
    total_ms = timings["prompt_ms"] + timings["predicted_ms"]
    assert total_ms / 1e3 * 0.99 <= result.generation_latency <= elapsed


def test_a_sync_method_of_the_real_model(model: LocalModel) -> None:
    """Decorating changes no token, and every token is counted and timed."""
    bare = list(model.stream(QUESTION, max_tokens=TOKENS))
    stream = metrics_decorator(model.stream)(QUESTION, max_tokens=TOKENS)
    assert list(stream) == bare
    metrics = stream.metrics
    assert metrics.token_count == metrics.chunk_count == len(bare) == TOKENS
    assert len(metrics.inter_token_latencies) == TOKENS - 1
    assert min(metrics.inter_token_latencies) > 0


@pytest.mark.asyncio
async def test_an_async_method_of_the_real_model_leaves_the_loop_free(model: LocalModel) -> None:
    """The loop turns while the model works, and the measured tokens are the bare ones."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    @observe
    async def answer(question: str) -> AsyncIterator[str]:
        async for token in model.astream(question, max_tokens=TOKENS):
            yield token

    turning = asyncio.create_task(turn())
    with capture() as results:
        tokens = [token async for token in answer(QUESTION)]
    turning.cancel()
    assert tokens == list(model.stream(QUESTION, max_tokens=TOKENS))
    assert [(result.outcome, result.token_count) for result in results] == [("completed", TOKENS)]
    assert turns > TOKENS


def test_breaking_out_ends_the_decode_and_the_run(model: LocalModel) -> None:
    """A reader that stops early gets one result, that ends at the last token it saw."""
    with capture() as results:
        for number, _token in enumerate(observe(model.stream)(QUESTION, max_tokens=TOKENS)):
            if number == 4:
                break
    (result,) = results
    assert (result.outcome, result.token_count) == ("stopped", 5)
    assert result.generation_latency == result.time_to_last_token
