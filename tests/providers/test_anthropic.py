"""What Anthropic's events and messages say: from its client, from Bedrock, from others' servers."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import importlib
import json
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stepping import close, every_shape, finished, script_at, step, stream_of
from tokenclock import Reading, Usage, metrics_decorator
from tokenclock._providers import ProviderReader, family_of
from tokenclock._providers.anthropic import Anthropic

if TYPE_CHECKING:
    from tokenclock import MetricsResult
    from tokenclock.testing import FakeClock

MODEL = "claude-sonnet-5"

BLANK = Reading()
TEXT = Reading(tokens=1, channel="text")
THOUGHT = Reading(tokens=1, channel="reasoning")
TOOL = Reading(tokens=1, channel="tool")


def delta(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}}


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": kind, **fields}}


def message(usage: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    return {**said, "stop_reason": None, "stop_sequence": None, "usage": usage, **fields}


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": message(usage)}


def end(stop: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    said = {"stop_reason": stop, "stop_sequence": None}
    return {"type": "message_delta", "delta": said, "usage": usage}


def say(text: str) -> dict[str, Any]:
    return delta("text_delta", text=text)


INVOCATION = {
    "inputTokenCount": 20, "outputTokenCount": 5, "invocationLatency": 900,
    "firstByteLatency": 300, "cacheReadInputTokenCount": 4, "cacheWriteInputTokenCount": 2,
}  # fmt: skip
CACHED = {"cache_creation_input_tokens": 10, "cache_read_input_tokens": 70}

EVENTS: dict[str, tuple[dict[str, Any], Reading]] = {
    "text": (say("a"), TEXT),
    "empty text": (say(""), BLANK),
    "no text": (delta("text_delta", text=None), BLANK),
    "thinking": (delta("thinking_delta", thinking="a"), THOUGHT),
    "empty thinking": (delta("thinking_delta", thinking=""), BLANK),
    "input of a tool": (delta("input_json_delta", partial_json="{"), TOOL),
    "empty input of a tool": (delta("input_json_delta", partial_json=""), BLANK),
    "signature": (delta("signature_delta", signature="EqQB"), BLANK),
    "citation": (delta("citations_delta", citation={"type": "char_location"}), BLANK),
    "a delta yet to come": (delta("news_delta", text="a"), BLANK),
    "no delta": ({"type": "content_block_delta", "index": 0, "delta": None}, BLANK),
    "start of text": (block("text", text=""), BLANK),
    "start with text": (block("text", text="a"), TEXT),
    "start of thinking": (block("thinking", thinking="", signature=""), BLANK),
    "start with thinking": (block("thinking", thinking="a", signature=""), THOUGHT),
    "hidden thinking": (block("redacted_thinking", data="EmwK"), BLANK),
    "tool": (block("tool_use", id="toolu_1", name="f", input={}), TOOL),
    "tool, name only": (block("tool_use", name="f"), TOOL),
    "tool, nothing": (block("tool_use", id="", name=None), BLANK),
    "tool of the server's": (block("server_tool_use", id="s", name="web_search", input={}), TOOL),
    "tool elsewhere": (block("mcp_tool_use", id="m", name="f", server_name="s", input={}), TOOL),
    "result of a tool": (block("web_search_tool_result", tool_use_id="s", content=[]), BLANK),
    "no block": ({"type": "content_block_start", "index": 0, "content_block": None}, BLANK),
    "stop of a block": ({"type": "content_block_stop", "index": 0}, BLANK),
    "ping": ({"type": "ping"}, BLANK),
    "error": ({"type": "error", "error": {"type": "overloaded_error", "message": "a"}}, BLANK),
    "start": (start(input_tokens=20, output_tokens=1),
        Reading(usage=Usage(20), model=MODEL)),
    "start, cached": (start(input_tokens=20, output_tokens=1, **CACHED),
        Reading(usage=Usage(100, None, None, 70), model=MODEL)),
    "start, nothing cached": (
        start(input_tokens=20, output_tokens=1,
            cache_creation_input_tokens=0, cache_read_input_tokens=0),
        Reading(usage=Usage(20, None, None, 0), model=MODEL)),
    "start, cache unknown": (
        start(input_tokens=20, cache_creation_input_tokens=None, cache_read_input_tokens=None),
        Reading(usage=Usage(20), model=MODEL)),
    "start without counts": (start(), Reading(model=MODEL)),
    "start with zeros": (start(input_tokens=0, output_tokens=0), Reading(model=MODEL)),
    "start without usage": (
        {"type": "message_start", "message": message(None)}, Reading(model=MODEL)),
    "start without a message": ({"type": "message_start", "message": None}, BLANK),
    "end": (end(output_tokens=5), Reading(usage=Usage(None, 5), finish_reason="end_turn")),
    "end, all counts": (end("tool_use", input_tokens=20, output_tokens=5, **CACHED),
        Reading(usage=Usage(100, 5, None, 70), finish_reason="tool_use")),
    "end, some of it thinking": (
        end(output_tokens=5, output_tokens_details={"thinking_tokens": 3}),
        Reading(usage=Usage(None, 5, 3), finish_reason="end_turn")),
    "not yet the end": (end(None, output_tokens=5), Reading(usage=Usage(None, 5))),
    "end without usage": ({**end("max_tokens"), "usage": None},
        Reading(finish_reason="max_tokens")),
    "stop": ({"type": "message_stop"}, BLANK),
    "stop from Bedrock": (
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": INVOCATION},
        Reading(usage=Usage(26, 5, None, 4))),
    "a whole message": (
        message({"input_tokens": 20, "output_tokens": 5}, stop_reason="end_turn"),
        Reading(usage=Usage(20, 5), model=MODEL, finish_reason="end_turn")),
}  # fmt: skip


def as_namespace(value: Any) -> Any:
    """Give the same in attributes, at every depth."""
    text = json.dumps(value)
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def read_one(chunk: Any) -> Reading | None:
    return ProviderReader().read(chunk)


@pytest.fixture(scope="module")
def types() -> Any:
    """The client's own classes."""
    import anthropic  # noqa: PLC0415 - an extra

    return anthropic.types


@pytest.fixture(scope="module")
def kinds(types: Any) -> dict[str, Any]:
    """The client's classes of events by the type that each is for."""
    return {
        "message_start": types.RawMessageStartEvent,
        "message_delta": types.RawMessageDeltaEvent,
        "message_stop": types.RawMessageStopEvent,
        "content_block_start": types.RawContentBlockStartEvent,
        "content_block_delta": types.RawContentBlockDeltaEvent,
        "content_block_stop": types.RawContentBlockStopEvent,
        "message": types.Message,
    }


# --- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "reading"), EVENTS.values(), ids=EVENTS.keys())
def test_what_an_event_says(event: dict[str, Any], reading: Reading) -> None:
    """An event says the same as a dict and in attributes."""
    for chunk in (event, as_namespace(event)):
        assert family_of(chunk) is Anthropic
        assert read_one(chunk) == reading


@pytest.mark.extras
@pytest.mark.parametrize(("event", "reading"), EVENTS.values(), ids=EVENTS.keys())
def test_what_an_event_says_in_the_clients_class(
    event: dict[str, Any], reading: Reading, kinds: dict[str, Any]
) -> None:
    """The client's own objects say it too; a type that it does not know comes in some class."""
    made = kinds.get(event["type"], kinds["message_stop"]).construct(**event)

    assert family_of(made) is Anthropic
    assert read_one(made) == reading


def members_of(union: Any) -> list[str]:
    """Give the types that the members of a union are for."""
    if typing.get_origin(union) is typing.Annotated:
        return members_of(typing.get_args(union)[0])
    members = typing.get_args(union)
    return [typing.get_args(one.model_fields["type"].annotation)[0] for one in members]


@pytest.mark.extras
def test_every_event_block_and_delta_of_the_client_is_looked_at(types: Any) -> None:
    """What the client's beta knows is known here, and what is new there counts no token."""
    from anthropic.types import beta  # noqa: PLC0415 - an extra
    from anthropic.types.beta import beta_raw_content_block_start_event as starts  # noqa: PLC0415 - an extra

    filled = dict.fromkeys(("text", "thinking", "partial_json", "id", "name", "data"), "a")
    tokens = {
        "text": TEXT, "thinking": THOUGHT, "tool_use": TOOL, "server_tool_use": TOOL,
        "mcp_tool_use": TOOL, "text_delta": TEXT, "thinking_delta": THOUGHT,
        "input_json_delta": TOOL,
    }  # fmt: skip

    for kind in members_of(beta.BetaRawMessageStreamEvent):
        assert read_one({"type": kind, "usage": {}, "delta": {}}) == BLANK, kind
    for kind in members_of(starts.ContentBlock):
        assert read_one(block(kind, **filled)) == tokens.get(kind, BLANK), kind
    for kind in members_of(beta.BetaRawContentBlockDelta):
        assert read_one(delta(kind, **filled)) == tokens.get(kind, BLANK), kind


@pytest.mark.extras
def test_the_helpers_typed_events_are_twins(types: Any, kinds: dict[str, Any]) -> None:
    """messages.stream() gives each raw event and one made of it: the raw one alone counts."""
    events: Any = importlib.import_module("anthropic.lib.streaming._types")
    whole = types.Message.construct(**message({"input_tokens": 20, "output_tokens": 5}))
    raw = kinds["content_block_delta"].construct
    given = [
        (raw(**say("a")), TEXT),
        (events.TextEvent.construct(type="text", text="a", snapshot="a"), BLANK),
        (raw(**delta("thinking_delta", thinking="a")), THOUGHT),
        (events.ThinkingEvent.construct(type="thinking", thinking="a", snapshot="a"), BLANK),
        (events.SignatureEvent.construct(type="signature", signature="a"), BLANK),
        (raw(**delta("input_json_delta", partial_json="{")), TOOL),
        (events.InputJsonEvent.construct(type="input_json", partial_json="{", snapshot={}), BLANK),
        (events.CitationEvent.construct(type="citation", citation=None, snapshot=[]), BLANK),
        (events.ContentBlockStopEvent.construct(type="content_block_stop", index=0), BLANK),
        (events.MessageStopEvent.construct(type="message_stop", message=whole), BLANK),
    ]
    reader = ProviderReader()

    for event, reading in given:
        assert family_of(event) is Anthropic
        assert reader.read(event) == reading


@pytest.mark.parametrize(
    "other",
    [
        {"type": "message"},
        {"type": "message", "role": "user", "content": "a"},
        {"type": "message", "usage": {"input_tokens": 1}},
        {"type": "message_delta", "text": "a"},
        {"type": "message_delta", "delta": "a"},
        {"type": "message_delta", "delta": {"content": "a"}},
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "a"},
        {"type": "error", "message": "a"},
        {"type": ["ping"]},
    ],
)
def test_what_only_sounds_like_an_event_is_none(other: dict[str, Any]) -> None:
    """An application's own events are of no known shape, whatever they are called."""
    assert read_one(other) is None
    assert read_one(as_namespace(other)) is None


# --- usage ---------------------------------------------------------------------------------------


def usages(*events: dict[str, Any]) -> list[Usage | None]:
    reader = Anthropic()
    return [reader.read(event).usage for event in events]


def test_the_end_adds_to_what_the_start_said() -> None:
    """The frame at the end may leave out what the one at the start said."""
    assert usages(start(input_tokens=20, output_tokens=1, **CACHED), end(output_tokens=5)) == [
        Usage(100, None, None, 70),
        Usage(100, 5, None, 70),
    ]


def test_the_end_replaces_what_the_start_said() -> None:
    """Counts of the frame at the end are those of everything."""
    first = start(input_tokens=20, output_tokens=1, cache_read_input_tokens=0)
    last = end(input_tokens=30, output_tokens=5, cache_read_input_tokens=8)

    assert usages(first, last) == [Usage(20, None, None, 0), Usage(38, 5, None, 8)]


def test_zeros_at_the_start_are_not_yet_counted() -> None:
    """Servers that know only at the end say 0 at the start."""
    assert usages(start(input_tokens=0, output_tokens=0), end(input_tokens=9, output_tokens=5)) == [
        None,
        Usage(9, 5),
    ]


def test_zeros_at_the_end_take_nothing_back() -> None:
    """A count that was reported stays when a later frame does not fill it in."""
    assert usages(start(input_tokens=20, **CACHED), end(input_tokens=0, output_tokens=5)) == [
        Usage(100, None, None, 70),
        Usage(100, 5, None, 70),
    ]


# --- whole messages ------------------------------------------------------------------------------

WHOLE = message(
    {
        "input_tokens": 20,
        "output_tokens": 5,
        **CACHED,
        "output_tokens_details": {"thinking_tokens": 3},
    },
    content=[{"type": "text", "text": "Hello"}],
    stop_reason="end_turn",
)


def assert_hello(value: Any, clock: FakeClock) -> None:
    def respond() -> Any:
        clock.advance(0.25)
        return value

    result: MetricsResult[Any] = metrics_decorator(respond, clock=clock)()

    assert result.value is value
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.input_token_count == 100
    assert result.cached_token_count == 70
    assert result.reasoning_token_count == 3
    assert result.model == MODEL
    assert result.finish_reason == "end_turn"
    assert result.throughput == 20.0


def test_a_whole_message_tells_what_it_used(clock: FakeClock) -> None:
    """A message that was not streamed has usage, model and stop reason."""
    assert_hello(WHOLE, clock)
    assert_hello(as_namespace(WHOLE), clock)


@pytest.mark.extras
def test_a_whole_message_of_the_client_tells_what_it_used(clock: FakeClock, types: Any) -> None:
    """The client's message is read, and so is the beta's."""
    assert_hello(types.Message.construct(**WHOLE), clock)
    assert_hello(types.beta.BetaMessage.construct(**WHOLE), clock)


# --- streams -------------------------------------------------------------------------------------


@pytest.fixture(params=["dict", pytest.param("client", marks=pytest.mark.extras)])
def made(request: pytest.FixtureRequest) -> Any:
    """Makes of a dict what the stream gives: the dict, or the client's own object."""
    if request.param == "dict":
        return dict
    kinds = request.getfixturevalue("kinds")
    return lambda event: kinds[event["type"]].construct(**event)


@every_shape
def test_an_answer_from_its_start_to_its_stop(shape: str, made: Any, clock: FakeClock) -> None:
    """Thinking is the first token, text the first output, usage the count."""
    arrivals: dict[float, Any] = {
        20: made(start(input_tokens=20, output_tokens=1)),
        21: made(block("thinking", thinking="", signature="")),
        50: made(delta("thinking_delta", thinking="Hm")),
        60: made(delta("signature_delta", signature="EqQB")),
        61: made({"type": "content_block_stop", "index": 0}),
        850: made(block("text", text="")),
        900: made(say("a")),
        930: made(say("b")),
        940: made(end(output_tokens=9, output_tokens_details={"thinking_tokens": 6})),
        941: made({"type": "message_stop"}),
    }
    result = finished(shape, script_at(clock, arrivals, end=950))

    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.05
    assert result.time_to_first_output_token == 0.9
    assert result.time_to_last_token == 0.93
    assert result.generation_latency == 0.95
    assert result.time_per_output_token == 0.11
    assert result.token_chunk_count == 3
    assert result.token_count == 9
    assert result.token_source == "usage"
    assert result.input_token_count == 20
    assert result.reasoning_token_count == 6
    assert result.model == MODEL
    assert result.finish_reason == "end_turn"


@every_shape
def test_the_output_of_the_opening_frame_is_not_the_count(
    shape: str, made: Any, clock: FakeClock
) -> None:
    """A stream left early has counted what came, whatever its opening frame said."""
    arrivals: dict[float, Any] = {5: made(start(input_tokens=25, output_tokens=0))}
    arrivals.update((time, made(say("a"))) for time in range(10, 120, 10))
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
def test_a_tool_call_starts_with_its_block(shape: str, made: Any, clock: FakeClock) -> None:
    """The block that names the tool is the first token, not the start of the message."""
    arrivals: dict[float, Any] = {
        20: made(start(input_tokens=20, output_tokens=1)),
        466: made(block("tool_use", id="toolu_1", name="f", input={})),
        467: made(delta("input_json_delta", partial_json="")),
        506: made(delta("input_json_delta", partial_json="{}")),
        700: made(end("tool_use", output_tokens=14)),
    }
    result = finished(shape, script_at(clock, arrivals, end=700))

    assert result.time_to_first_token == 0.466
    assert result.time_to_first_output_token == 0.466
    assert result.time_to_last_token == 0.506
    assert result.token_count == 14
    assert result.finish_reason == "tool_use"


@every_shape
def test_thinking_that_is_not_shown_is_left_out_of_the_time_per_token(
    shape: str, made: Any, clock: FakeClock
) -> None:
    """Thinking that only usage reports was over before the first token came."""
    details = {"thinking_tokens": 1000}
    times = [20_000, *(20_000 + 20 * place for place in range(1, 49)), 21_000]
    arrivals: dict[float, Any] = {15_000: made(block("redacted_thinking", data="EmwK"))}
    arrivals.update((time, made(say("a"))) for time in times)
    arrivals[21_001] = made(end(output_tokens=1050, output_tokens_details=details))
    result = finished(shape, script_at(clock, arrivals, end=21_001))

    assert result.token_chunk_count == 50
    assert result.token_count == 1050
    assert result.reasoning_token_count == 1000
    assert result.time_per_output_token == 1 / 49


@pytest.mark.extras
@every_shape
def test_the_helpers_stream_counts_each_token_once(
    shape: str, clock: FakeClock, kinds: dict[str, Any]
) -> None:
    """Raw and typed events come in pairs; the pair is one token, at the time of the raw one."""
    from anthropic.lib.streaming import TextEvent  # noqa: PLC0415 - an extra

    raw = kinds["content_block_delta"].construct(**say("a"))
    typed = TextEvent.construct(type="text", text="a", snapshot="a")
    script = script_at(clock, {10: raw, 11: typed, 30: raw, 31: typed}, end=40)

    result = finished(shape, script)

    assert result.token_count == 2
    assert result.chunk_count == 4
    assert result.token_source == "chunks"
    assert result.time_to_last_token == 0.03
