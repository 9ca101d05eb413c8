"""
What vLLM's engine gives when it runs in the process.

vLLM does not install everywhere, so the classes here are made from a snapshot of the field names
in ``vllm/outputs.py`` of vllm-project/vllm, at commit 003d3ee22261b7937258b7531aee00e10393f1d6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutating import assert_harmless, mutated
from stepping import every_shape, finished, script_at
from tokenclock import Usage, metrics_decorator
from tokenclock._providers import ProviderReader, read_response

if TYPE_CHECKING:
    from tokenclock.testing import FakeClock

COMPLETION_OUTPUT = (
    "index", "text", "token_ids", "cumulative_logprob", "logprobs", "routed_experts",
    "finish_reason", "stop_reason", "lora_request", "kv_transfer_params",
)  # fmt: skip
REQUEST_OUTPUT = (
    "request_id", "prompt", "prompt_token_ids", "prompt_logprobs", "outputs", "finished",
    "metrics", "lora_request", "encoder_prompt", "encoder_prompt_token_ids", "num_cached_tokens",
    "kv_transfer_params_list",
)  # fmt: skip


def made(name: str, names: Sequence[str]) -> Any:
    fields: Any = [(field, Any, None) for field in names]
    kind = make_dataclass(name, fields)
    kind.__module__ = "vllm.outputs"
    return kind


CompletionOutput = made("CompletionOutput", COMPLETION_OUTPUT)
RequestOutput = made("RequestOutput", REQUEST_OUTPUT)


def output(*completions: Any, **fields: Any) -> Any:
    """Give an output of a request with a prompt of four tokens, one of them cached."""
    told = {"request_id": "a", "prompt_token_ids": [1, 2, 3, 4], "num_cached_tokens": 1, **fields}
    return RequestOutput(outputs=list(completions), **told)


def said(text: str, *ids: int, index: int = 0, finish: str | None = None) -> Any:
    return CompletionOutput(index=index, text=text, token_ids=list(ids), finish_reason=finish)


def counted(outputs: Sequence[Any]) -> list[int]:
    """Give the tokens of each output in a stream, whose usage has their sum each time."""
    reader = ProviderReader()
    counts: list[int] = []
    for one in outputs:
        reading = reader.read(one)
        assert reading is not None
        counts.append(reading.tokens)
        assert reading.usage is not None
        assert reading.usage.output_tokens == sum(counts)
    return counts


# --- single outputs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "tokens", "channel", "usage", "finish"),
    [
        (output(said("Hi", 5)), 1, "text", Usage(4, 1, None, 1), None),
        (output(said("Hi you", 5, 6, finish="length")), 2, "text", Usage(4, 2, None, 1), "length"),
        (output(said("")), 0, None, Usage(4, 0, None, 1), None),
        (output(said("", 5)), 1, "text", Usage(4, 1, None, 1), None),
        (output(said("a", 5), said("b", 6, 7, index=1)), 3, "text", Usage(4, 3, None, 1), None),
        (output(finished=True), 0, None, Usage(4, 0, None, 1), None),
        (
            output(said("Hi", 5), prompt_token_ids=None, num_cached_tokens=None),
            1, "text", Usage(None, 1), None,
        ),
    ],
)  # fmt: skip
def test_what_an_output_says(
    one: Any, tokens: int, channel: str | None, usage: Usage, finish: str | None
) -> None:
    """Token ids are the count, of all outputs; the prompt's are the input."""
    reading = ProviderReader().read(one)

    assert reading is not None
    assert (reading.tokens, reading.channel) == (tokens, channel)
    assert (reading.usage, reading.finish_reason) == (usage, finish)
    assert reading.model is None


@pytest.mark.parametrize(
    "one",
    [
        output(None),
        output(CompletionOutput(index=0, text=None, token_ids=None)),
        output(CompletionOutput(index=0, text="Hi", token_ids="5")),  # noqa: S106 - no password
        output(CompletionOutput(index=[], text="Hi", token_ids=5)),
    ],
)
def test_odd_fields_are_no_tokens(one: Any) -> None:
    """A field that holds something else than it should is no token."""
    reading = ProviderReader().read(one)
    assert reading is None or reading.tokens == 0


@pytest.mark.parametrize(
    "chunk",
    [
        RequestOutput(request_id="a", outputs=made("PoolingOutput", ["data"])(data=[0.5])),
        {"outputs": [{"text": "Hi"}], "request_id": "a"},
        {"outputs": [{"token_ids": [5]}]},
        {"outputs": [], "request_id": "a"},
    ],
)
def test_other_outputs_are_not_vllms(chunk: Any) -> None:
    """Outputs without token ids, and what was pooled, are of no known shape."""
    assert ProviderReader().read(chunk) is None


def test_the_prompt_text_is_no_list_of_ids() -> None:
    """A prompt that is no list of ids has no count."""
    prompt = {"prompt_token_ids": "a prompt"}
    reading = read_response(output(said("Hi", 5), **prompt))
    assert reading is not None
    assert reading.usage == Usage(None, 1, None, 1)


# --- the three kinds of stream ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "tokens"),
    [
        pytest.param(
            [said("a", 5), said("ab", 5, 6), said("abcd", 5, 6, 7, 8, finish="stop")],
            [1, 1, 2],
            id="each repeats what came before",
        ),
        pytest.param([said(""), said("a", 5), said("a", 5)], [0, 1, 0], id="nothing new"),
        pytest.param(
            [said("a", 5), said("b", 6), said("cd", 7, 8), said("")],
            [1, 1, 2, 0],
            id="each is new",
        ),
        pytest.param(
            [said("a", 5), said("a", 5), said("a", 5), said("b", 6)],
            [1, 0, 0, 3],
            id="new ones that look repeated, until one does not",
        ),
        pytest.param(
            [said("a", 5), said("ab", 5, 6), said("c", 7)],
            [1, 1, 2],
            id="one that seems to go on",
        ),
        pytest.param([said("", 5), said("", 5, 6), said("", 6)], [1, 1, 2], id="ids without text"),
        pytest.param([said("a", 5), said("b", 5)], [1, 1], id="the same id, and other text"),
        pytest.param([said("a", 5), said("")], [1, 0], id="an empty one at the end"),
        pytest.param([said("abc", 5, 6, 7, finish="stop")], [3], id="all at once"),
    ],
)
def test_what_is_new_counts_whatever_the_kind_of_stream(
    outputs: Sequence[Any], tokens: list[int]
) -> None:
    """Outputs that repeat are told from those that do not, and a wrong guess is put right."""
    assert counted([output(one) for one in outputs]) == tokens


def test_each_index_is_followed_by_itself() -> None:
    """Of several answers at once each repeats its own; one that does not tells it of all."""
    assert counted(
        [
            output(said("a", 5), said("x", 15, index=1)),
            output(said("ab", 5, 6), said("xy", 15, 16, index=1)),
            output(said("xyz", 15, 16, 17, index=1, finish="stop")),
        ]
    ) == [2, 2, 1]
    assert counted(
        [
            output(said("a", 5)),
            output(said("x", 15, index=1)),
            output(said("a", 5)),
            output(said("y", 16, index=1)),
        ]
    ) == [1, 1, 0, 2]


IDS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=8)


@given(IDS)
def test_streams_that_repeat_count_their_ids(new: list[list[int]]) -> None:
    """Whatever the tokens are, a stream that repeats has as many as its last output."""
    so_far: list[int] = []
    outputs: list[Any] = []
    for ids in new:
        so_far = [*so_far, *ids]
        outputs.append(output(said("".join(map(str, so_far)), *so_far)))
    assert counted(outputs) == [len(ids) for ids in new]


@given(IDS)
def test_streams_of_what_is_new_count_their_ids(new: list[list[int]]) -> None:
    """Whatever the tokens are, a stream of new ones has them all, once one differs."""
    outputs = [output(said("".join(map(str, ids)), *ids)) for ids in [*new, [4], [5]]]
    assert sum(counted(outputs)) == sum(map(len, new)) + 2


DICTS = [
    {
        "request_id": "a",
        "prompt_token_ids": [1, 2],
        "num_cached_tokens": 1,
        "outputs": [
            {"index": 0, "text": "ab"[:size], "token_ids": [5, 6][:size], "finish_reason": "stop"}
        ],
    }
    for size in (1, 2)
]


@given(st.lists(mutated(DICTS), max_size=4))
def test_no_output_raises(chunks: list[Any]) -> None:
    """Whatever an output holds, its reading is in order."""
    assert_harmless(chunks)


@every_shape
def test_a_stream_of_outputs(shape: str, clock: FakeClock) -> None:
    """A whole stream has the numbers of its token ids."""
    outputs: dict[float, Any] = {
        100: output(said("", 5)),
        200: output(said("ab", 5, 6, 7)),
        300: output(said("abc", 5, 6, 7, 8, finish="stop"), finished=True),
    }
    result = finished(shape, script_at(clock, outputs, end=500))

    assert result.time_to_first_token == 0.1
    assert result.time_to_last_token == 0.3
    assert result.generation_latency == 0.5
    assert (result.token_count, result.token_source) == (4, "usage")
    assert (result.input_token_count, result.cached_token_count) == (4, 1)
    assert [entry.tokens for entry in result.timeline or ()] == [1, 2, 1]
    assert result.finish_reason == "stop"


# --- whole responses --------------------------------------------------------------------------


def test_what_generate_gives_for_many_prompts() -> None:
    """The list of outputs that generate() gives is counted by all their token ids."""
    answer = [
        output(said("ab", 5, 6, finish="stop"), said("c", 7, index=1, finish="length")),
        output(said("d", 8, finish="stop"), num_cached_tokens=None),
    ]

    def generate() -> list[Any]:
        return answer

    result = metrics_decorator(generate)()

    assert result.value is answer
    assert (result.token_count, result.token_source) == (4, "usage")
    assert (result.input_token_count, result.cached_token_count) == (8, 1)
    assert result.finish_reason == "stop"


@pytest.mark.parametrize("answer", [[], ["a", "b"], [output(said("a", 5)), "b"], [None]])
def test_any_other_list_is_as_long_as_it_is(answer: list[Any]) -> None:
    """A list of anything else is counted by its length."""

    def give() -> list[Any]:
        return answer

    result = metrics_decorator(give)()
    assert (result.token_count, result.token_source) == (len(answer), "length")
