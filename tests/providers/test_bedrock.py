"""What Amazon Bedrock sends, through the real client's parser, without its network."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutating import assert_harmless, mutated
from stepping import every_shape, finished, script_at
from tokenclock import (
    MeasuredStream,
    TokenclockWarning,
    Usage,
    measure,
    metrics_decorator,
    metrics_of,
    observe,
)
from tokenclock._providers import ProviderReader, read_response
from tokenclock.testing import CollectingSink, FakeClock, settle

extras = pytest.mark.extras


def delta(**content: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"delta": content, "contentBlockIndex": 0}}


def part(said: Any) -> dict[str, Any]:
    """Give a chunk of InvokeModel around what a model wrote."""
    return {"chunk": {"bytes": json.dumps(said).encode()}}


USAGE = {"inputTokens": 4, "outputTokens": 832, "totalTokens": 2326, "cacheReadInputTokens": 1490}
METRICS = {
    "inputTokenCount": 9,
    "outputTokenCount": 7,
    "invocationLatency": 1500,
    "firstByteLatency": 300,
}

CONVERSE = [
    ({"messageStart": {"role": "assistant"}}, 0, None, None, None),
    (delta(text="Hi"), 1, "text", None, None),
    (delta(text=""), 0, None, None, None),
    (delta(reasoningContent={"text": "hm"}), 1, "reasoning", None, None),
    (delta(reasoningContent={"signature": "c2ln"}), 0, None, None, None),
    (delta(reasoningContent={"redactedContent": b"x"}), 0, None, None, None),
    (delta(toolUse={"input": '{"a"'}), 1, "tool", None, None),
    (delta(toolUse={"input": ""}), 0, None, None, None),
    (delta(citation={"title": "a", "source": "b"}), 0, None, None, None),
    (delta(toolResult=[{"text": "what a tool said"}]), 0, None, None, None),
    (
        {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "t", "name": "n"}}}},
        1, "tool", None, None,
    ),
    ({"contentBlockStart": {"start": {}, "contentBlockIndex": 0}}, 0, None, None, None),
    ({"contentBlockStop": {"contentBlockIndex": 0}}, 0, None, None, None),
    ({"messageStop": {"stopReason": "end_turn"}}, 0, None, None, "end_turn"),
    (
        {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 17329}}},
        0, None, Usage(1494, 832, None, 1490), None,
    ),
    (
        {"metadata": {"usage": {"inputTokens": 2, "outputTokens": 1, "cacheWriteInputTokens": 8}}},
        0, None, Usage(10, 1), None,
    ),
]  # fmt: skip

INVOKE_MODEL = [
    # Titan
    (part({"outputText": "Hi", "index": 0}), 1, "text", None, None),
    (
        part(
            {
                "outputText": "!",
                "index": 0,
                "totalOutputTextTokenCount": 7,
                "inputTextTokenCount": 9,
                "completionReason": "FINISH",
                "amazon-bedrock-invocationMetrics": METRICS,
            }
        ),
        1, "text", Usage(9, 7), "FINISH",
    ),
    # Llama
    (
        part({"generation": "Hi", "prompt_token_count": 9, "generation_token_count": 1}),
        1, "text", Usage(9, 1), None,
    ),
    (
        part({"generation": "", "generation_token_count": 7, "stop_reason": "stop"}),
        0, None, Usage(None, 7), "stop",
    ),
    # Mistral
    (part({"outputs": [{"text": "Hi", "stop_reason": None}]}), 1, "text", None, None),
    (part({"outputs": [{"text": "", "stop_reason": "length"}]}), 0, None, None, "length"),
    # Cohere
    (
        part({"event_type": "text-generation", "text": "Hi", "is_finished": False}),
        1, "text", None, None,
    ),
    (
        part({"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {"text": "Hi"}}),
        0, None, None, "COMPLETE",
    ),
    # Claude
    (
        part({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}),
        1, "text", None, None,
    ),
    (
        part({"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}),
        0, None, Usage(9, 7), None,
    ),
    # shaped like OpenAI's
    (part({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}), 1, "text", None, None),
    (
        part(
            {
                "choices": [{"index": 0, "text": "", "stop_reason": "stop"}],
                "amazon-bedrock-invocationMetrics": METRICS,
            }
        ),
        0, None, Usage(9, 7), "stop",
    ),
    # Nova
    (part(delta(text="Hi")), 1, "text", None, None),
    (
        part({"metadata": {"usage": {"inputTokens": 2, "cacheReadInputTokenCount": 5}}}),
        0, None, Usage(7, None, None, 5), None,
    ),
    # nothing that is known
    (part({"bytes": 1}), 0, None, None, None),
    (part(["Hi"]), 0, None, None, None),
    ({"chunk": {"bytes": b"no json"}}, 0, None, None, None),
    ({"chunk": {"bytes": b""}}, 0, None, None, None),
]  # fmt: skip

ODD = [
    {"contentBlockDelta": None},
    {"contentBlockDelta": {"delta": None}},
    {"contentBlockDelta": {"delta": {"text": 1}}},
    {"contentBlockDelta": {"delta": {"toolUse": "a"}}},
    {"contentBlockStart": []},
    {"messageStop": {"stopReason": 5}},
    {"messageStart": {}, "metadata": {"usage": "many"}},
    {"messageStart": {}, "metadata": {"usage": {"inputTokens": -1, "outputTokens": "7"}}},
    {"chunk": {"bytes": 5}},
]


# --- single events ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "tokens", "channel", "usage", "finish"), [*CONVERSE, *INVOKE_MODEL]
)
def test_what_an_event_says(
    event: Any, tokens: int, channel: str | None, usage: Usage | None, finish: str | None
) -> None:
    """Deltas of text, thought and tool input are a token each, and so is the name of a tool."""
    reading = ProviderReader().read(event)

    assert reading is not None
    assert (reading.tokens, reading.channel) == (tokens, channel)
    assert (reading.usage, reading.finish_reason) == (usage, finish)
    assert reading.model is None


@pytest.mark.parametrize("event", ODD)
def test_odd_fields_are_no_tokens(event: Any) -> None:
    """A field that holds something else than it should is no token."""
    reading = ProviderReader().read(event)
    assert reading is not None
    assert reading[:5] == (0, None, 0, None, None)


@pytest.mark.parametrize(
    "chunk",
    [
        {"chunk": "text"},
        {"chunk": {"text": "a"}},
        {"metadata": {"source": "a"}},
        {"stopReason": "end_turn"},
        {"body": "text"},
        {},
    ],
)
def test_other_dicts_are_not_bedrocks(chunk: Any) -> None:
    """A dict that has the name of an event and not what is in one is of no known shape."""
    assert ProviderReader().read(chunk) is None


def test_claude_inside_keeps_its_cached_input() -> None:
    """The counts of the last event do not take away what Claude's first event told."""
    reader = ProviderReader()
    told = {"input_tokens": 9, "cache_read_input_tokens": 90, "output_tokens": 1}
    first = reader.read(part({"type": "message_start", "message": {"usage": told}}))
    last = reader.read(part({"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}))
    assert first is not None
    assert last is not None
    assert first.usage == Usage(99, None, None, 90)
    assert last.usage == Usage(99, 7, None, 90)


def test_several_choices_inside_are_told() -> None:
    """Chunks with several choices are marked as such through Bedrock too."""
    reader = ProviderReader()
    reader.read(part({"choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}]}))
    assert reader.saw_choices


@given(st.lists(mutated([row[0] for row in CONVERSE]), max_size=4))
def test_no_event_raises(chunks: list[Any]) -> None:
    """Whatever an event holds, its reading is in order."""
    assert_harmless(chunks)


@given(st.lists(mutated([json.loads(row[0]["chunk"]["bytes"]) for row in INVOKE_MODEL[:-2]])))
def test_nothing_that_a_model_writes_raises(said: list[Any]) -> None:
    """Whatever a model writes, the reading of its chunk is in order."""
    assert_harmless([{"chunk": {"bytes": json.dumps(one, default=str).encode()}} for one in said])


@every_shape
def test_a_stream_of_events(shape: str, clock: FakeClock) -> None:
    """A whole stream has the numbers of its events."""
    events: dict[float, Any] = {
        100: {"messageStart": {"role": "assistant"}},
        200: delta(reasoningContent={"text": "hm"}),
        300: delta(text="Hi"),
        400: delta(text=" there"),
        410: {"messageStop": {"stopReason": "end_turn"}},
        420: {"metadata": {"usage": USAGE}},
    }
    result = finished(shape, script_at(clock, events, end=500))

    assert result.time_to_first_chunk == 0.1
    assert result.time_to_first_token == 0.2
    assert result.time_to_first_output_token == 0.3
    assert result.generation_latency == 0.5
    assert (result.token_count, result.token_source) == (832, "usage")
    assert (result.input_token_count, result.cached_token_count) == (1494, 1490)
    assert (result.chunk_count, result.token_chunk_count) == (6, 3)
    assert result.finish_reason == "end_turn"


# --- whole responses --------------------------------------------------------------------------


def test_a_whole_answer_of_converse() -> None:
    """A call of converse() gives usage and the reason to stop; the answer names no model."""
    answer = {
        "ResponseMetadata": {},
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": "max_tokens",
        "usage": USAGE,
        "metrics": {"latencyMs": 12},
    }

    def converse() -> dict[str, Any]:
        return answer

    result = metrics_decorator(converse)()

    assert result.value is answer
    assert (result.token_count, result.token_source) == (832, "usage")
    assert (result.input_token_count, result.cached_token_count) == (1494, 1490)
    assert (result.finish_reason, result.model) == ("max_tokens", None)


@pytest.mark.parametrize(
    ("headers", "usage"),
    [
        ({}, None),
        ({"input": "9", "output": "7"}, Usage(9, 7)),
        ({"input": "9", "output": "7", "cache-read-input": "90"}, Usage(99, 7, None, 90)),
        ({"input": "nine", "output": None}, None),
        ({"output": "9" * 5000}, None),
    ],
)
def test_a_whole_answer_of_invoke_model(headers: dict[str, Any], usage: Usage | None) -> None:
    """The counts of invoke_model() are in its headers; its body is left for the caller to read."""
    named = {f"x-amzn-bedrock-{name}-token-count": count for name, count in headers.items()}
    answer = {"ResponseMetadata": {"HTTPHeaders": named}, "body": object()}
    reading = read_response(answer)
    assert reading is not None
    assert reading.usage == usage


# --- the real client --------------------------------------------------------------------------


def encoded(event: str, payload: Any) -> bytes:
    """Give one message of the event stream: prelude, its checksum, headers, payload, checksum."""
    names = {":message-type": "event", ":event-type": event, ":content-type": "application/json"}
    if event.endswith("Exception"):
        names = {":message-type": "exception", ":exception-type": event}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value))
        + value.encode()
        for name, value in names.items()
    )  # fmt: skip
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack("!I", zlib.crc32(message))


class Wire:
    """The raw body of a response: messages that arrive when the fake clock says so."""

    def __init__(self, clock: FakeClock, messages: Iterable[tuple[float, bytes]]) -> None:
        self.clock = clock
        self.messages = messages
        self.is_closed = False

    def stream(self) -> Iterator[bytes]:
        for wait, message in self.messages:
            self.clock.advance(wait)
            yield message

    def close(self) -> None:
        self.is_closed = True


HELLO = (
    (0.25, encoded("messageStart", {"role": "assistant"})),
    (0.25, encoded("contentBlockDelta", delta(text="Hi")["contentBlockDelta"])),
    (0.5, encoded("contentBlockDelta", delta(text=" there")["contentBlockDelta"])),
    (0.125, encoded("messageStop", {"stopReason": "end_turn"})),
    (0.125, encoded("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})),
)
MESSAGES = [{"role": "user", "content": [{"text": "Hi"}]}]
BROKEN = (*HELLO[:2], (0.25, encoded("throttlingException", {"message": "slow down"})))


def client_over(operation: str, wire: Wire) -> Any:
    """Give a real client, whose endpoint is asked for nothing: *wire* answers half a second on."""
    botocore = importlib.import_module("botocore")
    session = importlib.import_module("botocore.session").get_session()
    config = importlib.import_module("botocore.config").Config(signature_version=botocore.UNSIGNED)
    client = session.create_client("bedrock-runtime", region_name="us-east-1", config=config)
    answer = importlib.import_module("botocore.awsrequest").AWSResponse

    def respond(request: Any, **_: Any) -> Any:
        wire.clock.advance(0.5)
        headers = {"content-type": "application/vnd.amazon.eventstream"}
        return answer(request.url, 200, headers, wire)

    client.meta.events.register(f"before-send.bedrock-runtime.{operation}", respond)
    return client


def converse_over(wire: Wire) -> Callable[[], Any]:
    client = client_over("ConverseStream", wire)
    return lambda: client.converse_stream(modelId="a.model", messages=MESSAGES)


both = pytest.mark.parametrize("decorate", [metrics_decorator, observe])


@extras
@both
def test_the_caller_gets_the_very_dict_with_a_measured_stream_in_it(
    decorate: Any, clock: FakeClock, sink: CollectingSink
) -> None:
    """The dict is the client's own, and in it is a stream that is measured from the call on."""
    kind = importlib.import_module("botocore.eventstream").EventStream
    given: list[Any] = []

    def converse() -> Any:
        given.append(converse_over(Wire(clock, HELLO))())
        return given[0]

    answer = decorate(converse, clock=clock)()
    assert answer is given[0]
    assert type(answer) is dict
    assert sorted(answer) == ["ResponseMetadata", "stream"]
    stream = answer["stream"]
    assert isinstance(stream, kind)
    assert issubclass(type(stream), MeasuredStream)
    assert not hasattr(type(stream), "__next__")
    assert [next(iter(event)) for event in stream] == [
        "messageStart", "contentBlockDelta", "contentBlockDelta", "messageStop", "metadata",
    ]  # fmt: skip
    result = metrics_of(stream)

    assert sink.results == [result]
    assert result is not None
    assert result.outcome == "completed"
    assert result.streamed
    assert result.time_to_first_chunk == 0.75
    assert result.time_to_first_token == 1.0
    assert result.time_to_last_token == 1.5
    assert result.generation_latency == 1.75
    assert result.idle_before_start == 0
    assert (result.token_count, result.token_source) == (832, "usage")
    assert result.finish_reason == "end_turn"


@extras
def test_a_bound_method_of_the_client_is_measured() -> None:
    """Observing the client's own method is enough."""
    clock = FakeClock()
    client = client_over("ConverseStream", Wire(clock, HELLO))
    converse: Any = observe(client.converse_stream, clock=clock)
    answer = converse(modelId="a.model", messages=MESSAGES)
    assert answer["stream"].collect().time_to_first_token == 1.0


@extras
@pytest.mark.parametrize(
    ("said", "tokens", "source", "finish"),
    [
        (
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 9}}},
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS},
            ],
            7, "usage", "end_turn",
        ),
        (
            [{"outputText": "Hi"}, {"outputText": " there", "completionReason": "FINISH"}],
            2, "chunks", "FINISH",
        ),
    ],
)  # fmt: skip
def test_invoke_model_has_its_stream_under_another_name(
    said: Sequence[Any], tokens: int, source: str, finish: str, clock: FakeClock
) -> None:
    """What invoke_model_with_response_stream() gives is measured in its body."""
    base64 = importlib.import_module("base64")
    messages = [
        (0.25, encoded("chunk", {"bytes": base64.b64encode(json.dumps(one).encode()).decode()}))
        for one in said
    ]
    client = client_over("InvokeModelWithResponseStream", Wire(clock, messages))
    invoke: Any = observe(client.invoke_model_with_response_stream, clock=clock)
    answer = invoke(modelId="a.model", body=b"{}")
    assert [json.loads(event["chunk"]["bytes"]) for event in answer["body"]] == said
    result = metrics_of(answer["body"])

    assert result is not None
    assert (result.token_count, result.token_source) == (tokens, source)
    assert result.finish_reason == finish
    assert result.generation_latency == 0.5 + 0.25 * len(said)


@extras
@both
def test_dropped_without_a_look_it_is_unconsumed(
    decorate: Any, clock: FakeClock, sink: CollectingSink
) -> None:
    """A dict that nobody reads is one result: unconsumed, as long as the call took."""
    answer = decorate(converse_over(Wire(clock, HELLO)), clock=clock)()
    clock.advance(60)
    del answer
    gc.collect()
    settle()

    assert [result.outcome for result in sink.results] == ["unconsumed"]
    assert sink.results[0].generation_latency == 0.5


@extras
def test_closed_half_way_it_is_stopped(clock: FakeClock, sink: CollectingSink) -> None:
    """close() reaches the connection, and the run ended at the last event."""
    wire = Wire(clock, HELLO)
    answer = observe(converse_over(wire), clock=clock)()
    for event in answer["stream"]:
        if "contentBlockDelta" in event:
            break
    clock.advance(60)
    assert sink.results == []
    answer["stream"].close()

    assert wire.is_closed
    assert [result.outcome for result in sink.results] == ["stopped"]
    assert sink.results[0].generation_latency == 1.0
    assert sink.results[0].token_count == 1
    assert sink.results[0].token_source == "chunks"


@extras
def test_an_error_among_the_events_passes_as_it_is(clock: FakeClock, sink: CollectingSink) -> None:
    """An exception in the stream is the client's own, and the run has failed."""
    kind = importlib.import_module("botocore.exceptions").EventStreamError
    answer = observe(converse_over(Wire(clock, BROKEN)), clock=clock)()
    with pytest.raises(kind, match="slow down"):
        list(answer["stream"])

    assert [result.outcome for result in sink.results] == ["failed"]
    assert sink.results[0].error == "botocore.exceptions.EventStreamError"
    assert sink.results[0].token_count == 1
    assert sink.results[0].generation_latency == 1.25


@extras
def test_an_error_of_the_call_is_one_failed_result(clock: FakeClock, sink: CollectingSink) -> None:
    """A call that the client refuses has no dict, and one result."""
    client = client_over("ConverseStream", Wire(clock, HELLO))
    kind = importlib.import_module("botocore.exceptions").ParamValidationError
    converse: Any = observe(client.converse_stream, clock=clock)
    with pytest.raises(kind):
        converse(modelId="a.model", messages="Hi")
    assert [result.outcome for result in sink.results] == ["failed"]


@extras
def test_the_initial_response_can_still_be_asked_for(clock: FakeClock) -> None:
    """Methods of the client's stream that are not about iterating work through the measured one."""
    message = encoded("initial-response", {})
    answer = observe(converse_over(Wire(clock, [(0.25, message), *HELLO])), clock=clock)()
    first = answer["stream"].get_initial_response()
    assert first.headers[":event-type"] == "initial-response"
    result = answer["stream"].collect()
    assert len(result.value) == 5


@extras
def test_a_measured_function_around_another_measures_too(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """Two measured functions, one inside the other, give the very dict and two results."""
    inner = observe(converse_over(Wire(clock, HELLO)), name="inner", clock=clock)

    def call() -> Any:
        return inner()

    outer = observe(call, name="outer", clock=clock)
    assert len(list(outer()["stream"])) == 5
    assert {result.function: result.token_count for result in sink.results} == {
        "inner": 832, "outer": 832,
    }  # fmt: skip


@extras
@pytest.mark.asyncio
async def test_a_coroutine_function_may_give_the_dict(clock: FakeClock) -> None:
    """What an awaited call gives is looked at in the same way."""
    converse = converse_over(Wire(clock, HELLO))

    async def aconverse() -> Any:
        return converse()

    answer = await observe(aconverse, clock=clock)()
    assert answer["stream"].collect().time_to_first_token == 1.0


@extras
def test_said_to_be_a_value_the_dict_is_one(clock: FakeClock) -> None:
    """streams=False says that the dict is a value, and then it is left as it is."""
    converse = converse_over(Wire(clock, HELLO))
    result: Any = metrics_decorator(converse, clock=clock, streams=False)()
    assert not issubclass(type(result.value["stream"]), MeasuredStream)
    assert result.generation_latency == 0.5


@extras
def test_said_to_be_a_stream_its_stream_is_measured(clock: FakeClock) -> None:
    """streams=True does not mean the names in the dict."""
    answer: Any = observe(converse_over(Wire(clock, HELLO)), clock=clock, streams=True)()
    assert answer["stream"].collect().token_count == 832


@extras
def test_the_stream_can_be_measured_by_itself(clock: FakeClock) -> None:
    """Without a decorator, measure() takes the client's stream as it is."""
    answer = converse_over(Wire(clock, HELLO))()
    stream = measure(answer["stream"], clock=clock)
    assert sum(1 for _ in stream) == 5
    assert stream.metrics.time_to_first_token == 0.5


@extras
@pytest.mark.asyncio
async def test_a_future_of_the_dict_tells_no_time_of_a_token(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """A future hands the dict through as it is: then nobody saw a token."""
    converse = converse_over(Wire(clock, HELLO))
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as threads:

        def start() -> asyncio.Future[Any]:
            return loop.run_in_executor(threads, converse)

        with pytest.warns(TokenclockWarning, match=r"Cannot time a 'dict'"):
            answer = await observe(start, clock=clock)()
    assert not issubclass(type(answer["stream"]), MeasuredStream)
    assert sink.results[0].time_to_first_token is None


class AsyncEvents:
    """Iterates as the stream of aiobotocore does, by a generator under an unusual name."""

    __module__ = "aiobotocore.eventstream"

    def __init__(self, events: Sequence[Any]) -> None:
        self.events = events

    def __aiter__(self) -> Any:
        return self.__anext__()

    async def __anext__(self) -> Any:
        for event in self.events:
            yield event


@pytest.mark.asyncio
async def test_the_async_clients_stream_is_known_too(clock: FakeClock) -> None:
    """What aiobotocore gives is measured alike."""
    answer: dict[str, Any] = {"stream": AsyncEvents([event for event, *_ in CONVERSE])}

    async def converse() -> Any:
        clock.advance(0.5)
        return answer

    measured = await observe(converse, clock=clock)()
    assert measured is answer
    assert [event async for event in measured["stream"]] == [event for event, *_ in CONVERSE]
    result = metrics_of(measured["stream"])
    assert result is not None
    assert (result.outcome, result.time_to_first_token) == ("completed", 0.5)
    assert result.token_chunk_count == 4


def test_other_streams_in_a_dict_are_left_alone() -> None:
    """A dict with a generator in it is a value: only the SDK's own streams are known."""
    answer = {"stream": iter("ab"), "body": iter("cd")}

    def give() -> Any:
        return answer

    result: Any = metrics_decorator(give)()
    assert result.value is answer
    assert list(answer["stream"]) == ["a", "b"]
