"""What OpenAI's chunks and responses say, and those of all who speak alike."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stepping import close, every_shape, finished, frame, script_at, step, stream_of, usage_frame
from tokenclock import Reading, Usage, metrics_decorator
from tokenclock._providers import ProviderReader, family_of
from tokenclock._providers.openai import OpenAI

if TYPE_CHECKING:
    from tokenclock import MetricsResult
    from tokenclock.testing import FakeClock

MODEL = "gpt-5.2-mini"

BLANK = Reading()
TEXT = Reading(tokens=1, channel="text")
THOUGHT = Reading(tokens=1, channel="reasoning")
TOOL = Reading(tokens=1, channel="tool")

COUNTS = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
FILTER = {"hate": {"filtered": False, "severity": "safe"}}


def call(**fields: Any) -> dict[str, Any]:
    """A chunk with a piece of a tool call."""
    return frame(tool_calls=[{"index": 0, **fields}])


def choice(index: int, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": None}


def choices(*several: Any, **fields: Any) -> dict[str, Any]:
    return {**frame(**fields), "choices": list(several)}


def completion(text: str | None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of the older API."""
    said = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "choices": [said], **fields}


# What each chunk says. Most repeat the model's name; here only some do.
CHUNKS: dict[str, tuple[dict[str, Any], Reading]] = {
    "role": (frame(role="assistant"), BLANK),
    "role with empty content": (frame("", role="assistant", refusal=None), BLANK),
    "role with empty reasoning": (frame("", reasoning_content="", role="assistant"), BLANK),
    "content": (frame("a"), TEXT),
    "content of one blank": (frame(" "), TEXT),
    "content and the model": (frame("a", model=MODEL), TEXT._replace(model=MODEL)),
    "content and an empty model": (frame("a", model=""), TEXT),
    "content and the end": (frame("a", finish_reason="length"),
        TEXT._replace(finish_reason="length")),
    "content in parts": (choices(
        choice(0, content=[{"type": "text", "text": "a"}])), TEXT),
    "content in empty parts": (choices(choice(0, content=[{"type": "text", "text": ""}])), BLANK),
    "thinking in parts": (
        choices(choice(0, content=[{"type": "thinking", "thinking": [{"text": "a"}]}])), THOUGHT),
    "no parts": (choices(choice(0, content=[])), BLANK),
    "refusal": (frame(refusal="No"), TEXT),
    "reasoning_content": (frame(reasoning_content="a"), THOUGHT),
    "reasoning": (frame(reasoning="a"), THOUGHT),
    "reasoning beside empty content": (frame("", reasoning="a", role="assistant"), THOUGHT),
    "reasoning in details": (
        frame("", reasoning_details=[{"type": "reasoning.text", "text": "a"}]), THOUGHT),
    "encrypted reasoning": (
        frame("", reasoning_details=[{"type": "reasoning.encrypted", "data": "a"}]), BLANK),
    "reasoning and content": (frame("a", reasoning="b"), TEXT),
    "tool call": (
        call(id="c", type="function", function={"name": "f", "arguments": ""}), TOOL),
    "tool call, id only": (call(id="c"), TOOL),
    "tool call, name only": (call(function={"name": "f"}), TOOL),
    "tool call, arguments": (call(function={"arguments": "{"}), TOOL),
    "tool call, empty arguments": (call(function={"arguments": ""}), BLANK),
    "tool call, nothing": (call(function=None), BLANK),
    "tool call, custom": (call(id=None, type="custom", custom={"name": "f", "input": ""}), TOOL),
    "tool call, custom input": (call(type="custom", custom={"input": "a"}), TOOL),
    "tool call, custom empty input": (call(type="custom", custom={"input": ""}), BLANK),
    "tool call beside reasoning": (
        frame(reasoning="a", tool_calls=[{"index": 0, "id": "c"}]), TOOL),
    "no tool calls": (frame(tool_calls=[]), BLANK),
    "function call": (frame(function_call={"name": "f", "arguments": ""}), TOOL),
    "function call, arguments": (frame(function_call={"arguments": "{"}), TOOL),
    "function call, empty arguments": (frame(function_call={"arguments": ""}), BLANK),
    "audio": (frame(audio={"data": "UklG"}), TEXT),
    "audio transcript": (frame(audio={"transcript": "a"}), TEXT),
    "audio id": (frame(audio={"id": "audio_1"}), BLANK),
    "audio's end": (frame(audio={"expires_at": 1_700_000_000}), BLANK),
    "end": (frame(finish_reason="stop"), Reading(finish_reason="stop")),
    "no end, as an empty string": (frame("a", finish_reason=""), TEXT),
    "no delta": (choices({"index": 0, "delta": None, "finish_reason": None}), BLANK),
    "second choice": (frame("a", index=1), TEXT._replace(choice=1)),
    "two choices": (choices(choice(0, content="a"), choice(1, content="b")),
        Reading(tokens=2, channel="text", choice=1)),
    "two choices, the most visible channel": (
        choices(choice(0, content="a"), choice(1, reasoning="b")),
        Reading(tokens=2, channel="text", choice=1)),
    "two choices, one blank": (choices(choice(0, content="a"), choice(1, content="")), TEXT),
    "no choices": (choices(), BLANK),
    "choices null": ({**frame(), "choices": None}, BLANK),
    "usage": (usage_frame(5, prompt_tokens=20), Reading(usage=Usage(20, 5))),
    "usage beside null choices": ({**frame(usage=COUNTS), "choices": None},
        Reading(usage=Usage(20, 5))),
    "usage with the end": (frame(finish_reason="stop", usage=COUNTS),
        Reading(usage=Usage(20, 5), finish_reason="stop")),
    "usage so far, with a token": (frame("a", usage=COUNTS), TEXT._replace(usage=Usage(20, 5))),
    "usage so far, before a token": (
        frame(role="assistant", usage={**COUNTS, "completion_tokens": 0}),
        Reading(usage=Usage(20, 0))),
    "usage of zeros": (frame("a", usage=ZEROS), TEXT),
    "usage, empty": (frame("a", usage={}), TEXT),
    "usage with details": (
        usage_frame(5, prompt_tokens=20, total_tokens=25,
            completion_tokens_details={"reasoning_tokens": 3, "audio_tokens": None},
            prompt_tokens_details={"cached_tokens": 16}),
        Reading(usage=Usage(20, 5, 3, 16))),
    "usage with details of zero": (
        usage_frame(5, prompt_tokens=20,
            completion_tokens_details={"reasoning_tokens": 0},
            prompt_tokens_details={"cached_tokens": 0}),
        Reading(usage=Usage(20, 5, 0, 0))),
    "usage with details null": (
        usage_frame(5, completion_tokens_details=None, prompt_tokens_details=None),
        Reading(usage=Usage(None, 5))),
    "usage of Groq": (
        {**frame(finish_reason="stop"), "x_groq": {"id": "req_1", "usage": COUNTS}},
        Reading(usage=Usage(20, 5), finish_reason="stop")),
    "id of Groq": ({**frame(role="assistant"), "x_groq": {"id": "req_1"}}, BLANK),
    "usage of DeepSeek": (
        usage_frame(5, prompt_tokens=20, prompt_cache_hit_tokens=16, prompt_cache_miss_tokens=4),
        Reading(usage=Usage(20, 5, None, 16))),
    "usage of Moonshot": (
        usage_frame(5, prompt_tokens=20, cached_tokens=16), Reading(usage=Usage(20, 5, None, 16))),
    "usage of xAI, reasoning not in the completion": (
        usage_frame(5, prompt_tokens=20, total_tokens=125,
            completion_tokens_details={"reasoning_tokens": 100}),
        Reading(usage=Usage(20, 105, 100))),
    "usage of Perplexity": (
        usage_frame(5, prompt_tokens=20, total_tokens=25, reasoning_tokens=4),
        Reading(usage=Usage(20, 5, 4))),
    "usage that is no count": (
        usage_frame(None, prompt_tokens="20", total_tokens=-1), BLANK),
    "usage in floats": (usage_frame(None, prompt_tokens=20.0), Reading(usage=Usage(20))),
    "Azure's first": (
        {"id": "", "object": "", "created": 0, "model": "", "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FILTER}]},
        BLANK),
    "Azure's filter": (
        {"id": "", "object": "", "created": 0, "model": "", "choices": [
            {"index": 0, "finish_reason": None, "content_filter_results": FILTER,
                "content_filter_offsets": {"check_offset": 44, "end_offset": 198}}]},
        BLANK),
    "llama.cpp's timings": (
        {**frame(finish_reason="stop"), "timings": {"predicted_n": 5, "predicted_ms": 90.5}},
        Reading(finish_reason="stop")),
    "moderation": ({**choices(), "moderation": {"input": {}, "output": {}}}, BLANK),
}  # fmt: skip

COMPLETIONS: dict[str, tuple[dict[str, Any], Reading]] = {
    "text": (completion("a", model="davinci"), TEXT._replace(model="davinci")),
    "empty text": (completion(""), BLANK),
    "no text": (completion(None), BLANK),
    "the end": (completion("", "stop", usage=COUNTS),
        Reading(usage=Usage(20, 5), finish_reason="stop")),
}  # fmt: skip


def as_namespace(value: Any) -> Any:
    """Give the same in attributes, at every depth."""
    text = json.dumps(value)
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def read_one(chunk: Any) -> Reading | None:
    return ProviderReader().read(chunk)


def table(rows: dict[str, tuple[dict[str, Any], Reading]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("chunk", "reading"), rows.values(), ids=rows.keys())


@pytest.fixture(scope="module")
def types() -> Any:
    """The client's own classes."""
    import openai.types.chat  # noqa: PLC0415 - an extra

    return openai.types


@pytest.fixture(scope="module")
def events() -> Any:
    """The classes of what the client's helper gives."""
    import openai.lib.streaming.chat  # noqa: PLC0415 - an extra

    return openai.lib.streaming.chat


# --- chunks --------------------------------------------------------------------------------------


@table(CHUNKS | COMPLETIONS)
def test_what_a_chunk_says_as_a_dict(chunk: dict[str, Any], reading: Reading) -> None:
    """A chunk is read by its fields."""
    assert family_of(chunk) is OpenAI
    assert read_one(chunk) == reading


@table(CHUNKS | COMPLETIONS)
def test_what_a_chunk_says_in_attributes(chunk: dict[str, Any], reading: Reading) -> None:
    """A chunk says the same as an object of any class, and from within a dict."""
    assert read_one(as_namespace(chunk)) == reading
    assert read_one({**chunk, "choices": as_namespace(chunk["choices"])}) == reading


@pytest.mark.extras
@table(CHUNKS)
def test_what_a_chunk_says_in_the_clients_class(
    chunk: dict[str, Any], reading: Reading, types: Any
) -> None:
    """A chunk says the same as an object of the client, which keeps apart what it does not know."""
    made = types.chat.ChatCompletionChunk.construct(**chunk)

    assert family_of(made) is OpenAI
    assert read_one(made) == reading


@pytest.mark.extras
@table(COMPLETIONS)
def test_what_a_completion_chunk_says_in_the_clients_class(
    chunk: dict[str, Any], reading: Reading, types: Any
) -> None:
    """The older API's chunks are read as the client's objects too."""
    assert read_one(types.Completion.construct(**chunk)) == reading


def test_a_reader_reads_many_chunks_each_by_itself() -> None:
    """What one chunk says is not in the reading of the next."""
    reader = ProviderReader()

    readings = [reader.read(chunk) for chunk, _ in CHUNKS.values()]

    assert readings == [reading for _, reading in CHUNKS.values()]


def test_a_model_that_changes_is_read_again() -> None:
    """The name of the model is that of its own chunk."""
    reader = ProviderReader()
    names = ["one", "one", "other", None, "one"]

    readings = [reader.read(frame("a", model=name)) for name in names]

    assert [reading and reading.model for reading in readings] == names


def test_choices_in_one_chunk_are_noticed() -> None:
    """Several choices with tokens in one chunk are told to who counts, one or none are not."""
    reader = ProviderReader()
    reader.read(CHUNKS["two choices, one blank"][0])
    reader.read(frame("a", index=1))
    assert reader.saw_choices is False

    reader.read(CHUNKS["two choices"][0])
    reader.read(frame("a"))
    assert reader.saw_choices is True


# --- the helper of the client --------------------------------------------------------------------


@pytest.mark.extras
def test_the_helpers_typed_events_are_twins_of_its_chunks(types: Any, events: Any) -> None:
    """Each chunk of chat.completions.stream() comes as an event around it, which alone counts."""

    def raw(chunk: dict[str, Any]) -> Any:
        made = types.chat.ChatCompletionChunk.construct(**chunk)
        return events.ChunkEvent.construct(type="chunk", chunk=made, snapshot=None)

    parsed = events.ContentDoneEvent[dict[str, Any]]
    arguments = {"name": "f", "index": 0, "arguments": "{"}
    given: list[tuple[Any, Reading]] = [
        (raw(frame(role="assistant")), BLANK),
        (raw(frame("a", model=MODEL)), TEXT._replace(model=MODEL)),
        (events.ContentDeltaEvent.construct(type="content.delta", delta="a", snapshot="a"), BLANK),
        (
            events.LogprobsContentDeltaEvent.construct(type="logprobs.content.delta", content=[]),
            BLANK,
        ),
        (events.ContentDoneEvent.construct(type="content.done", content="a"), BLANK),
        (parsed.construct(type="content.done", content="a"), BLANK),
        (
            events.LogprobsContentDoneEvent.construct(type="logprobs.content.done", content=[]),
            BLANK,
        ),
        (raw(frame(refusal="a")), TEXT),
        (events.RefusalDeltaEvent.construct(type="refusal.delta", delta="a", snapshot="a"), BLANK),
        (events.RefusalDoneEvent.construct(type="refusal.done", refusal="a"), BLANK),
        (raw(call(function={"arguments": "{"})), TOOL),
        (
            events.FunctionToolCallArgumentsDeltaEvent.construct(
                type="tool_calls.function.arguments.delta", arguments_delta="{", **arguments
            ),
            BLANK,
        ),
        (
            events.FunctionToolCallArgumentsDoneEvent.construct(
                type="tool_calls.function.arguments.done", **arguments
            ),
            BLANK,
        ),
        (raw(usage_frame(5)), Reading(usage=Usage(None, 5))),
    ]
    reader = ProviderReader()

    for event, reading in given:
        assert family_of(event) is OpenAI
        assert reader.read(event) == reading


def test_an_event_of_another_class_is_not_the_helpers() -> None:
    """A type of event that sounds like the helper's is the helper's only in its own classes."""
    for name in ("chunk", "content.delta", "tool_calls.function.arguments.delta"):
        assert read_one({"type": name, "delta": "a", "chunk": frame("a")}) is None
        assert read_one(SimpleNamespace(type=name, delta="a")) is None


# --- whole responses -----------------------------------------------------------------------------

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        **COUNTS,
        "completion_tokens_details": {"reasoning_tokens": 3},
        "prompt_tokens_details": {"cached_tokens": 16},
    },
}
TEXT_COMPLETION = completion("Hello", "stop", model=MODEL, usage=CHAT["usage"])


def measured(value: Any, clock: FakeClock) -> MetricsResult[Any]:
    def respond() -> Any:
        clock.advance(0.25)
        return value

    result: MetricsResult[Any] = metrics_decorator(respond, clock=clock)()
    return result


def assert_hello(result: MetricsResult[Any]) -> None:
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.input_token_count == 20
    assert result.reasoning_token_count == 3
    assert result.cached_token_count == 16
    assert result.model == MODEL
    assert result.finish_reason == "stop"
    assert result.throughput == 20.0
    assert result.time_to_first_token == 0.25
    assert result.streamed is False


@pytest.mark.parametrize("whole", [CHAT, TEXT_COMPLETION], ids=["chat", "completion"])
def test_a_whole_response_tells_what_it_used(whole: dict[str, Any], clock: FakeClock) -> None:
    """A response that was not streamed has usage, model and finish reason; dict or object."""
    assert_hello(measured(whole, clock))
    assert_hello(measured(as_namespace(whole), clock))


@pytest.mark.extras
def test_a_whole_response_of_the_client_tells_what_it_used(clock: FakeClock, types: Any) -> None:
    """The client's responses are read; the value is that very object."""
    for kind, whole in (
        (types.chat.ChatCompletion, CHAT),
        (types.chat.ParsedChatCompletion, CHAT),
        (types.Completion, TEXT_COMPLETION),
    ):
        response: Any = kind.model_validate(whole)
        result = measured(response, clock)

        assert result.value is response
        assert_hello(result)


def test_a_response_without_usage_has_no_count(clock: FakeClock) -> None:
    """What a response does not say is None."""
    result = measured({**CHAT, "usage": None, "model": ""}, clock)

    assert result.token_count is None
    assert result.token_source is None
    assert result.input_token_count is None
    assert result.model is None
    assert result.finish_reason == "stop"


# --- streams -------------------------------------------------------------------------------------


@pytest.fixture(params=["dict", pytest.param("client", marks=pytest.mark.extras)])
def made(request: pytest.FixtureRequest) -> Any:
    """Makes of a dict what the stream gives: the dict, or the client's own object."""
    if request.param == "dict":
        return dict
    types = request.getfixturevalue("types")
    return lambda chunk: types.chat.ChatCompletionChunk.construct(**chunk)


@every_shape
def test_a_tool_call_starts_with_its_delta(shape: str, made: Any, clock: FakeClock) -> None:
    """A tool call's first token is its delta, not the role frame before or the usage after."""
    arrivals: dict[float, Any] = {
        20: made(frame(role="assistant")),
        466: made(call(id="c", function={"name": "f", "arguments": "{}"})),
        700: made(usage_frame(14)),
    }
    result = finished(shape, script_at(clock, arrivals, end=700))

    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.466
    assert result.time_to_first_output_token == 0.466
    assert result.time_to_last_token == 0.466
    assert result.generation_latency == 0.7
    assert result.token_count == 14
    assert result.token_source == "usage"
    assert result.time_per_output_token is None


@every_shape
def test_an_opening_frame_with_usage_is_not_the_count(
    shape: str, made: Any, clock: FakeClock
) -> None:
    """A server that says 0 tokens in its first frame has not counted what comes after."""
    opening = frame(role="assistant", usage={"prompt_tokens": 25, "completion_tokens": 0})
    arrivals: dict[float, Any] = {5: made(opening)}
    arrivals.update((time, made(frame("a"))) for time in range(10, 120, 10))
    stream = stream_of(shape, script_at(clock, arrivals, end=210))
    for _ in range(11):
        step(stream)
    close(stream)
    result = stream.metrics

    assert result.outcome == "stopped"
    assert result.token_count == 10
    assert result.token_source == "chunks"
    assert result.input_token_count == 25


@every_shape
def test_usage_counts_what_chunks_bundle(shape: str, made: Any, clock: FakeClock) -> None:
    """The provider's count divides the time, the chunks give the gaps."""
    arrivals: dict[float, Any] = {
        100: made(frame("a")),
        140: made(frame("b")),
        180: made(frame("c", usage={"completion_tokens": 5}, finish_reason="stop")),
    }
    result = finished(shape, script_at(clock, arrivals, end=185))

    assert result.time_to_first_token == 0.1
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.time_per_output_token == 0.02
    assert result.inter_token_latencies == [0.04, 0.04]
    assert result.throughput == 5 / 0.185
    assert result.finish_reason == "stop"


@every_shape
def test_reasoning_comes_before_the_output(shape: str, made: Any, clock: FakeClock) -> None:
    """Reasoning is the first token, text the first of the output."""
    arrivals: dict[float, Any] = {50: made(frame(reasoning="Hm")), 900: made(frame("a"))}
    result = finished(shape, script_at(clock, arrivals, end=950))

    assert result.time_to_first_token == 0.05
    assert result.time_to_first_output_token == 0.9
    assert result.token_count == 2
    assert result.token_source == "chunks"


@every_shape
def test_reasoning_that_did_not_stream_is_left_out_of_the_time_per_token(
    shape: str, made: Any, clock: FakeClock
) -> None:
    """Reasoning tokens that only usage reports were over before the first token came."""
    details = {"reasoning_tokens": 1000}
    times = [20_000, *(20_000 + 20 * place for place in range(1, 49)), 21_000]
    arrivals: dict[float, Any] = {time: made(frame("a")) for time in times}
    arrivals[21_001] = made(usage_frame(1050, completion_tokens_details=details))
    result = finished(shape, script_at(clock, arrivals, end=21_001))

    assert result.token_chunk_count == 50
    assert result.token_count == 1050
    assert result.reasoning_token_count == 1000
    assert result.time_per_output_token == 1 / 49


@every_shape
def test_zeros_in_every_frame_are_no_count(shape: str, made: Any, clock: FakeClock) -> None:
    """A server that sends usage of zeros throughout has counted nothing."""
    arrivals: dict[float, Any] = {
        time: made(frame("a", usage=ZEROS, model=MODEL)) for time in (10, 20, 30)
    }
    result = finished(shape, script_at(clock, arrivals, end=30))

    assert result.token_count == 3
    assert result.token_source == "chunks"
    assert result.input_token_count is None
    assert result.model == MODEL


@every_shape
def test_usage_so_far_ends_at_the_whole(shape: str, made: Any, clock: FakeClock) -> None:
    """Where every frame repeats the usage so far, the last is the count."""
    arrivals: dict[float, Any] = {
        10 * count: made(frame("a" if count else None, usage={"completion_tokens": 2 * count}))
        for count in range(4)
    }
    result = finished(shape, script_at(clock, arrivals, end=30))

    assert result.token_count == 6
    assert result.token_source == "usage"
    assert result.time_to_first_token == 0.01


@every_shape
@pytest.mark.parametrize("reported", [2, 4])
def test_choices_in_one_chunk_all_count(
    shape: str, reported: int, made: Any, clock: FakeClock
) -> None:
    """Usage of one choice does not shrink the count of several that came together."""
    both = choices(choice(0, content="a"), choice(1, content="b"))
    arrivals: dict[float, Any] = {
        10: made(both), 20: made(both), 30: made(usage_frame(reported)),
    }  # fmt: skip
    result = finished(shape, script_at(clock, arrivals, end=30))

    assert result.token_count == 4
    assert result.token_chunk_count == 2


@every_shape
def test_choices_in_turn_all_count(shape: str, made: Any, clock: FakeClock) -> None:
    """Usage of one choice does not shrink the count of several that came in turn."""
    arrivals: dict[float, Any] = {
        10 * place: made(frame("a", index=place % 2)) for place in range(1, 5)
    }
    arrivals[50] = made(usage_frame(2))
    result = finished(shape, script_at(clock, arrivals, end=50))

    assert result.token_count == 4
    assert result.token_source == "chunks"


@pytest.mark.extras
@every_shape
def test_the_helpers_stream_counts_each_token_once(
    shape: str, clock: FakeClock, types: Any, events: Any
) -> None:
    """Raw and typed events come in pairs; the pair is one token, at the time of the raw one."""
    chunk = types.chat.ChatCompletionChunk.construct(**frame("a", model=MODEL))
    raw = events.ChunkEvent.construct(type="chunk", chunk=chunk, snapshot=None)
    typed = events.ContentDeltaEvent.construct(type="content.delta", delta="a", snapshot="a")
    script = script_at(clock, {10: raw, 11: typed, 30: raw, 31: typed}, end=40)

    result = finished(shape, script)

    assert result.token_count == 2
    assert result.chunk_count == 4
    assert result.time_to_first_token == 0.01
    assert result.time_to_last_token == 0.03
    assert result.model == MODEL


def test_an_error_frame_is_no_token() -> None:
    """What a server that fails in the middle says is not what the model said."""
    reader = ProviderReader()
    assert reader.read({"error": {"message": "overloaded", "code": 503}}) == Reading()
    assert reader.read({"error": "overloaded"}) is None
    assert reader.read({"error": None, "text": "a"}) is None
