"""What the events of OpenAI's Responses API say, and those of transcriptions."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import json
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stepping import every_shape, finished, script_at
from tokenclock import Reading, Usage, metrics_decorator
from tokenclock._providers import ProviderReader, family_of
from tokenclock._providers.openai_responses import OpenAIResponses

if TYPE_CHECKING:
    from tokenclock import MetricsResult
    from tokenclock.testing import FakeClock

MODEL = "gpt-5.2"

BLANK = Reading()
TEXT = Reading(tokens=1, channel="text")
THOUGHT = Reading(tokens=1, channel="reasoning")
TOOL = Reading(tokens=1, channel="tool")

# The events of the client whose delta a model generated.
DELTAS = {
    "response.audio.delta": TEXT,
    "response.audio.transcript.delta": TEXT,
    "response.code_interpreter_call_code.delta": TOOL,
    "response.custom_tool_call_input.delta": TOOL,
    "response.function_call_arguments.delta": TOOL,
    "response.mcp_call_arguments.delta": TOOL,
    "response.output_text.delta": TEXT,
    "response.reasoning_summary_text.delta": THOUGHT,
    "response.reasoning_text.delta": THOUGHT,
    "response.refusal.delta": TEXT,
    "response.shell_call_command.delta": TOOL,
    "transcript.text.delta": TEXT,
}
# Events that some servers send, or sent, and that the client does not list.
DELTAS_ON_THE_WIRE = {
    "response.apply_patch_call_operation_diff.delta": TOOL,
    "response.audio_transcript.delta": TEXT,
    "response.output_audio.delta": TEXT,
    "response.output_audio_transcript.delta": TEXT,
    "response.reasoning.delta": THOUGHT,
    "response.reasoning_summary.delta": THOUGHT,
    "response.text.delta": TEXT,
}
# Those that carry no new token: they begin, end, or repeat. Written down so that one can see at
# once which of a newer client's events nobody has looked at yet.
OTHERS = (
    "error",
    "response.audio.done",
    "response.audio.transcript.done",
    "response.code_interpreter_call.completed",
    "response.code_interpreter_call.in_progress",
    "response.code_interpreter_call.interpreting",
    "response.code_interpreter_call_code.done",
    "response.compaction.compacting",
    "response.completed",
    "response.content_part.added",
    "response.content_part.done",
    "response.created",
    "response.custom_tool_call_input.done",
    "response.failed",
    "response.file_search_call.completed",
    "response.file_search_call.in_progress",
    "response.file_search_call.searching",
    "response.function_call_arguments.done",
    "response.image_generation_call.completed",
    "response.image_generation_call.generating",
    "response.image_generation_call.in_progress",
    "response.image_generation_call.partial_image",
    "response.in_progress",
    "response.incomplete",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.done",
    "response.mcp_list_tools.completed",
    "response.mcp_list_tools.failed",
    "response.mcp_list_tools.in_progress",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.annotation.added",
    "response.output_text.done",
    "response.queued",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.done",
    "response.reasoning_text.done",
    "response.refusal.done",
    "response.shell_call_command.added",
    "response.shell_call_command.done",
    "response.shell_call_output_content.delta",
    "response.shell_call_output_content.done",
    "response.web_search_call.completed",
    "response.web_search_call.in_progress",
    "response.web_search_call.searching",
    "transcript.text.done",
    "transcript.text.segment",
)

COUNTS = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 16},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 25,
}
USAGE = Usage(20, 5, 3, 16)


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sequence_number": 4, **fields}


def whole(status: str | None, **fields: Any) -> dict[str, Any]:
    said = {"id": "resp_1", "object": "response", "created_at": 1.0, "model": MODEL, "output": []}
    return {**said, "status": status, "parallel_tool_calls": True, "tools": [], **fields}


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return event("response.output_item.added", output_index=0, item={"type": kind, **fields})


CUT = {"reason": "max_output_tokens"}

EVENTS: dict[str, tuple[dict[str, Any], Reading]] = {
    "created": (event("response.created", response=whole("in_progress", usage=None)),
        Reading(model=MODEL)),
    "queued": (event("response.queued", response=whole("queued")), Reading(model=MODEL)),
    "completed": (event("response.completed", response=whole("completed", usage=COUNTS)),
        Reading(usage=USAGE, model=MODEL, finish_reason="completed")),
    "incomplete": (
        event("response.incomplete",
            response=whole("incomplete", incomplete_details=CUT, usage=COUNTS)),
        Reading(usage=USAGE, model=MODEL, finish_reason="max_output_tokens")),
    "failed": (event("response.failed", response=whole("failed", usage=None)),
        Reading(model=MODEL, finish_reason="failed")),
    "no status": (event("response.completed", response=whole(None)), Reading(model=MODEL)),
    "no response": (event("response.completed", response=None), BLANK),
    "usage without details": (
        event("response.completed",
            response=whole("completed", usage={"input_tokens": 20, "output_tokens": 5})),
        Reading(usage=Usage(20, 5), model=MODEL, finish_reason="completed")),
    "empty delta": (event("response.output_text.delta", delta=""), BLANK),
    "no delta": (event("response.output_text.delta", delta=None), BLANK),
    "a delta that is no text": (
        event("response.shell_call_output_content.delta", delta={"stdout": "a"}), BLANK),
    "function call": (item("function_call", id="fc_1", call_id="c", name="f", arguments=""), TOOL),
    "function call, name only": (item("function_call", name="f"), TOOL),
    "function call, nothing": (item("function_call", id="", arguments=""), BLANK),
    "a call of the server's": (item("web_search_call", id="ws_1", status="in_progress"), TOOL),
    "custom tool call": (item("custom_tool_call", id="ctc_1", name="f", input=""), TOOL),
    "request to approve a call": (item("mcp_approval_request", id="r", name="f"), TOOL),
    "program": (item("program", id="p", code="f()"), TOOL),
    "output of a call": (item("function_call_output", id="o", call_id="c"), BLANK),
    "list of tools": (item("mcp_list_tools", id="l"), BLANK),
    "message": (item("message", id="m", role="assistant", content=[]), BLANK),
    "reasoning": (item("reasoning", id="r", summary=[]), BLANK),
    "no item": (event("response.output_item.added", item=None), BLANK),
    "keepalive": (event("keepalive"), BLANK),
    "an event yet to come": (event("response.news.delta", item_id="m", delta="a"), BLANK),
    "transcription done": (
        {"type": "transcript.text.done", "text": "Hello",
            "usage": {"type": "tokens", "input_tokens": 20, "output_tokens": 5}},
        Reading(usage=Usage(20, 5))),
    "transcription done, by time": (
        {"type": "transcript.text.done", "text": "Hello",
            "usage": {"type": "duration", "seconds": 2.5}}, BLANK),
    "realtime done": (
        {"type": "response.done", "event_id": "e", "response": {
            "object": "realtime.response", "status": "completed", "output": [], "usage": {
                "input_tokens": 20, "output_tokens": 5,
                "input_token_details": {"cached_tokens": 16}}}},
        Reading(usage=Usage(20, 5, None, 16), finish_reason="completed")),
}  # fmt: skip


def as_namespace(value: Any) -> Any:
    """Give the same in attributes, at every depth."""
    text = json.dumps(value)
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def read_one(chunk: Any) -> Reading | None:
    return ProviderReader().read(chunk)


def kinds_in(union: Any) -> dict[str, Any]:
    """Give the classes of a union of events by the type that each is for."""
    if typing.get_origin(union) is typing.Annotated:
        return kinds_in(typing.get_args(union)[0])
    members = typing.get_args(union) or (union,)
    return {typing.get_args(one.model_fields["type"].annotation)[0]: one for one in members}


@pytest.fixture(scope="module")
def kinds() -> dict[str, Any]:
    """Every class of event that the client has, of answers and of transcriptions."""
    from openai.types.audio import TranscriptionStreamEvent  # noqa: PLC0415 - an extra
    from openai.types.responses import ResponseStreamEvent  # noqa: PLC0415 - an extra

    return kinds_in(ResponseStreamEvent) | kinds_in(TranscriptionStreamEvent)


# --- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "reading"), EVENTS.values(), ids=EVENTS.keys())
def test_what_an_event_says(event: dict[str, Any], reading: Reading) -> None:
    """An event says the same as a dict and in attributes."""
    for chunk in (event, as_namespace(event)):
        assert family_of(chunk) is OpenAIResponses
        assert read_one(chunk) == reading


@pytest.mark.extras
@pytest.mark.parametrize(("event", "reading"), EVENTS.values(), ids=EVENTS.keys())
def test_what_an_event_says_in_the_clients_class(
    event: dict[str, Any], reading: Reading, kinds: dict[str, Any]
) -> None:
    """The client's own objects say it too; a type that it does not know comes in some class."""
    some = kinds["response.created"]
    made = kinds.get(event["type"], some).construct(**event)

    assert family_of(made) is OpenAIResponses
    assert read_one(made) == reading


@pytest.mark.parametrize("kind", DELTAS | DELTAS_ON_THE_WIRE)
def test_a_delta_is_one_token(kind: str) -> None:
    """Each kind of delta is of one channel, and a blank one is no token."""
    reading = (DELTAS | DELTAS_ON_THE_WIRE)[kind]

    assert read_one({"type": kind, "delta": "a"}) == reading
    assert read_one({"type": kind, "delta": ""}) == BLANK


@pytest.mark.parametrize("kind", OTHERS)
def test_other_events_are_known_and_no_tokens(kind: str) -> None:
    """What begins, ends or repeats something is known, and counts nothing."""
    filled = dict.fromkeys(("text", "delta", "arguments", "code", "command"), "a")

    assert read_one(event(kind, **filled)) == BLANK


@pytest.mark.extras
def test_every_event_of_the_client_is_looked_at(kinds: dict[str, Any]) -> None:
    """All deltas of the client count; no other event does, not even one that is new to us."""
    assert {"response.output_text.delta", "transcript.text.delta"} <= set(kinds)
    for kind, made in kinds.items():
        filled = dict.fromkeys(made.model_fields, "a")
        read = read_one(made.construct(**{**filled, "type": kind, "sequence_number": 4}))

        assert read is not None, f"{kind} is not recognised"
        assert read == DELTAS.get(kind, BLANK), f"{kind}: list it here, in DELTAS or in OTHERS"


@pytest.mark.extras
def test_the_helpers_events_are_the_clients() -> None:
    """responses.stream() gives the same events with more in them; each comes once."""
    from openai.lib.streaming.responses import (  # noqa: PLC0415 - an extra
        ResponseFunctionCallArgumentsDeltaEvent,
        ResponseTextDeltaEvent,
        ResponseTextDoneEvent,
    )

    text = event("response.output_text.delta", delta="a", snapshot="aa")
    call = event("response.function_call_arguments.delta", delta="{", snapshot="{")
    done = event("response.output_text.done", text="aa", parsed=None)

    assert read_one(ResponseTextDeltaEvent.construct(**text)) == TEXT
    assert read_one(ResponseFunctionCallArgumentsDeltaEvent.construct(**call)) == TOOL
    assert read_one(ResponseTextDoneEvent.construct(**done)) == BLANK


@pytest.mark.parametrize(
    "other",
    [
        {"type": "response.chunk", "text": "a"},
        {"type": "response.text", "response": "a"},
        {"type": "response.message", "data": {"response": {"status": "ok"}}},
        {"type": "error", "message": "a"},
        {"type": "keepalive"},
        {"object": "response", "text": "a"},
        {"type": 3, "sequence_number": 4},
    ],
)
def test_what_only_sounds_like_an_event_is_none(other: dict[str, Any]) -> None:
    """An application's own events are of no known shape, whatever their names begin with."""
    assert read_one(other) is None
    assert read_one(as_namespace(other)) is None


# --- whole responses -----------------------------------------------------------------------------


def assert_hello(value: Any, clock: FakeClock) -> None:
    def respond() -> Any:
        clock.advance(0.25)
        return value

    result: MetricsResult[Any] = metrics_decorator(respond, clock=clock)()

    assert result.value is value
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.input_token_count == 20
    assert result.reasoning_token_count == 3
    assert result.cached_token_count == 16
    assert result.model == MODEL
    assert result.finish_reason == "completed"
    assert result.throughput == 20.0


def test_a_whole_response_tells_what_it_used(clock: FakeClock) -> None:
    """A response that was not streamed has usage, model and finish reason."""
    response = whole("completed", usage=COUNTS)

    assert_hello(response, clock)
    assert_hello(as_namespace(response), clock)


@pytest.mark.extras
def test_a_whole_response_of_the_client_tells_what_it_used(clock: FakeClock) -> None:
    """The client's responses, plain and parsed, are read."""
    from openai.types.responses import ParsedResponse, Response  # noqa: PLC0415 - an extra

    response = whole("completed", usage=COUNTS)

    assert_hello(Response.construct(**response), clock)
    assert_hello(ParsedResponse.construct(**response), clock)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_in_the_background_has_not_ended(status: str, clock: FakeClock) -> None:
    """A response that is under way has no finish reason and no count yet."""
    result = metrics_decorator(lambda: whole(status), clock=clock)()

    assert result.finish_reason is None
    assert result.token_count is None
    assert result.model == MODEL


# --- streams -------------------------------------------------------------------------------------


@pytest.fixture(params=["dict", pytest.param("client", marks=pytest.mark.extras)])
def made(request: pytest.FixtureRequest) -> Any:
    """Makes of a dict what the stream gives: the dict, or the client's own object."""
    if request.param == "dict":
        return dict
    kinds = request.getfixturevalue("kinds")
    return lambda event: kinds[event["type"]].construct(**event)


@every_shape
def test_an_answer_from_its_creation_to_its_end(shape: str, made: Any, clock: FakeClock) -> None:
    """The first token is the first delta, the count is the usage at the end."""
    arrivals: dict[float, Any] = {
        20: made(event("response.created", response=whole("in_progress"))),
        21: made(event("response.in_progress", response=whole("in_progress"))),
        40: made(item("reasoning", id="rs_1", summary=[])),
        100: made(event("response.reasoning_summary_text.delta", delta="Hm")),
        200: made(item("message", id="msg_1", content=[])),
        250: made(event("response.output_text.delta", delta="a")),
        350: made(event("response.output_text.delta", delta="b")),
        351: made(event("response.output_text.done", text="ab")),
        400: made(event("response.completed", response=whole("completed", usage=COUNTS))),
    }
    result = finished(shape, script_at(clock, arrivals, end=500))

    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.1
    assert result.time_to_first_output_token == 0.25
    assert result.time_to_last_token == 0.35
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.token_chunk_count == 3
    assert result.time_per_output_token == 0.0625
    assert result.throughput == 10.0
    assert result.input_token_count == 20
    assert result.reasoning_token_count == 3
    assert result.cached_token_count == 16
    assert result.model == MODEL
    assert result.finish_reason == "completed"


@every_shape
def test_a_call_starts_with_its_name(shape: str, made: Any, clock: FakeClock) -> None:
    """The item that names the function is the first token of a call."""
    arrivals: dict[float, Any] = {
        20: made(event("response.created", response=whole("in_progress"))),
        300: made(item("function_call", id="fc_1", call_id="c", name="f", arguments="")),
        340: made(event("response.function_call_arguments.delta", delta="{}")),
        341: made(event("response.function_call_arguments.done", arguments="{}")),
    }
    result = finished(shape, script_at(clock, arrivals, end=400))

    assert result.time_to_first_token == 0.3
    assert result.time_to_last_token == 0.34
    assert result.token_count == 2
    assert result.token_source == "chunks"
