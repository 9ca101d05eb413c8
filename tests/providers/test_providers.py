"""What all families share: whose a chunk is, odd chunks, and what is not ours to read."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import collections
import enum
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mutating import assert_harmless
from stepping import every_shape, finished, frame, read, script_at, stream_of, usage_frame
from tokenclock import Reading, TokenclockWarning, Usage, metrics_decorator
from tokenclock._providers import ProviderReader, family_of, read_response
from tokenclock._providers.anthropic import Anthropic
from tokenclock._providers.openai import OpenAI
from tokenclock.testing import FakeClock, Script

TEXT = Reading(tokens=1, channel="text")

SAYING = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "a"},
}
OPENING = {
    "type": "message_start",
    "message": {"role": "assistant", "model": "m", "usage": {"input_tokens": 3}},
}
ENDING = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}},
}
COMPLETED: dict[str, Any] = {
    "type": "response.completed",
    "sequence_number": 9,
    "response": {
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "model": "m",
        "output": [],
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    },
}
GOOD: tuple[dict[str, Any], ...] = (
    frame("a", role="assistant", model="m", finish_reason="stop"),
    frame(reasoning_content="a"),
    frame([{"type": "thinking", "thinking": [{"text": "a"}]}]),  # type: ignore[arg-type]  # Mistral
    frame(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]),
    frame(function_call={"name": "f", "arguments": "{"}),
    frame(audio={"id": "a", "data": "b"}, refusal="c"),
    usage_frame(5, prompt_tokens=3, total_tokens=10, prompt_tokens_details={"cached_tokens": 1},
        completion_tokens_details={"reasoning_tokens": 2}),
    {**frame(finish_reason="stop"), "x_groq": {"usage": {"completion_tokens": 5}}},
    {"object": "text_completion", "choices": [{"index": 0, "text": "a", "logprobs": None}]},
    {"object": "chat.completion", "choices": [{"message": {"content": "a"}, "index": 0}]},
    {"type": "response.output_text.delta", "delta": "a", "sequence_number": 3},
    {"type": "response.output_item.added", "output_index": 0,
        "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "f"}},
    {"type": "transcript.text.done", "usage": {"type": "tokens", "output_tokens": 5}},
    COMPLETED, COMPLETED["response"], OPENING, SAYING, ENDING,
    {"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"outputTokenCount": 5}},
    {"type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 5}},
)  # fmt: skip


# --- whose a chunk is ----------------------------------------------------------------------------

NOT_OURS: dict[str, Any] = {
    "empty": {},
    "text": {"text": "a"},
    "content": {"content": "a"},
    "token": {"token": "a", "index": 3},
    "delta": {"delta": "a"},
    "chat": {"type": "message", "role": "user", "content": "a"},
    "chat with choices": {"role": "assistant", "content": "a", "choices": None},
    "an event of an application": {"type": "token", "data": "a"},
    "an event that sounds like a response's": {"type": "response.chunk", "text": "a"},
    "an event that sounds like a message's": {"type": "message_delta", "text": "a"},
    "an event of AG-UI": {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a"},
    "an event of Vercel's": {"type": "text-delta", "id": "0", "delta": "a"},
    "a question": {"question": "?", "choices": ["a", "b"]},
    "a question with answers": {"question": "?", "choices": [{"text": "a", "right": True}]},
    "a question without answers": {"question": "?", "choices": []},
    "a question with messages": {"choices": [{"message": "a"}]},
    "choices of numbers": {"choices": [1, 2], "created": 1},
    "choices by name": {"choices": {"a": 1}, "object": "menu"},
    "choices as text": {"choices": "ab", "object": "menu"},
    "embeddings": {"object": "list", "model": "m", "data": [{"embedding": [0.5]}],
        "usage": {"prompt_tokens": 5, "total_tokens": 5}},
    "usage alone": {"usage": {"prompt_tokens": 5, "completion_tokens": 5}},
    "a model": {"id": "m", "object": "model", "created": 1},
    "an error in words": {"error": "a", "code": 429},
    "an event that is no text": {"type": None, "text": "a"},
    "a row": {"id": 1, "name": "a", "created": "2024-05-01"},
}  # fmt: skip


@pytest.mark.parametrize("chunk", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_an_application_streams_is_not_ours(chunk: Any) -> None:
    """Dicts and objects that only resemble a provider's are of no known shape."""
    text = json.dumps(chunk)
    for one in (chunk, json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))):
        assert family_of(one) is None
        assert ProviderReader().read(one) is None
        assert read_response(one) is None


@every_shape
def test_what_is_not_ours_is_an_item(shape: str, clock: FakeClock) -> None:
    """An application's own events count one each, and the source says what that is worth."""
    chunks = list(NOT_OURS.values())
    stream = stream_of(shape, Script([(0.25, chunk) for chunk in chunks], clock=clock))
    with pytest.warns(TokenclockWarning, match="no known shape"):
        assert read(stream) == chunks

    assert stream.metrics.token_count == len(chunks)
    assert stream.metrics.token_source == "items"


def test_a_returned_list_of_chunks_is_a_list(clock: FakeClock) -> None:
    """Chunks that somebody collected are a list, however many tokens are in them."""
    result = metrics_decorator(lambda: [frame("a"), frame()], clock=clock)()

    assert result.token_count == 2
    assert result.token_source == "length"


class Event:
    """An event of an application, of one class for all its kinds."""

    def __init__(self, kind: str, **fields: Any) -> None:
        self.type = kind
        vars(self).update(fields)


def test_an_object_of_a_known_type_may_be_of_another_shape() -> None:
    """A class whose first object resembles a provider's is not that provider's for good."""
    reader = ProviderReader()

    assert reader.read(Event("ping")) == Reading()
    assert reader.read(Event("token", text="a")) is None
    assert reader.read(Event("response.created", response={"status": "queued"})) == Reading()
    assert reader.read(Event("token", text="a")) is None
    assert reader.read(Event("content_block_delta", delta=SAYING["delta"])) == TEXT


def test_a_stream_may_mix_shapes() -> None:
    """Each chunk is read as what it is, whatever came before."""
    reader = ProviderReader()
    chunks = [frame("a"), SAYING, {"text": "a"}, frame("a"), OPENING, ENDING, SAYING]

    readings = [reader.read(chunk) for chunk in chunks]

    assert readings == [
        TEXT,
        TEXT,
        None,
        TEXT,
        Reading(usage=Usage(3), model="m"),
        Reading(usage=Usage(3, 5, 2), finish_reason="end_turn"),
        TEXT,
    ]


# --- other classes -------------------------------------------------------------------------------


class Slotted:
    __slots__ = ("choices", "model")

    def __init__(self, choices: Any) -> None:
        self.choices = choices


@dataclass(slots=True)
class Data:
    choices: Any
    model: str | None = None
    usage: Any = None


@dataclass
class Growing:
    choices: Any
    extra: dict[str, Any] = field(default_factory=dict)


class Tuple(NamedTuple):
    choices: Any
    model: str | None = None


class Below(dict[str, Any]):
    """A dict of somebody's own."""


class Sneaky:
    """It says that it is a dict."""

    def __init__(self, choices: Any) -> None:
        self.choices = choices

    @property  # type: ignore[misc]  # it lies
    def __class__(self) -> Any:
        return dict

    def get(self, name: str, default: Any = None) -> Any:
        return vars(self).get(name, default)


CHOICES = frame("a")["choices"]


@pytest.mark.parametrize(
    "chunk",
    [
        Slotted(CHOICES),
        Data(CHOICES),
        Growing(CHOICES),
        Tuple(CHOICES),
        Below(choices=CHOICES),
        collections.OrderedDict(choices=CHOICES),
        Sneaky(CHOICES),
        Data([Data(None)]).__class__([{"delta": Below(content="a")}]),
        Data(({"delta": {"content": "a"}},)),
    ],
    ids=lambda chunk: type(chunk).__name__,
)
def test_a_chunk_may_be_of_any_class(chunk: Any) -> None:
    """Slots, tuples, dataclasses and dicts of somebody's own are read alike, again and again."""
    reader = ProviderReader()

    assert family_of(chunk) is OpenAI
    assert [reader.read(chunk), reader.read(chunk)] == [TEXT, TEXT]


class Kind(str, enum.Enum):
    DELTA = "content_block_delta"
    TEXT = "text_delta"
    STOP = "stop"


def test_a_string_may_be_an_enums() -> None:
    """Types and reasons that are members of an enum are the strings that they are."""
    event = {"type": Kind.DELTA, "delta": {"type": Kind.TEXT, "text": "a"}}
    end: Any = frame(finish_reason=Kind.STOP, model=Kind.TEXT)

    assert family_of(event) is Anthropic
    assert ProviderReader().read(event) == TEXT
    reading = ProviderReader().read(end)
    assert reading == Reading(model="text_delta", finish_reason="stop")
    assert type(reading.finish_reason) is type(reading.model) is str


@pytest.mark.extras
def test_a_pydantic_model_with_more_fields_is_read() -> None:
    """A model of somebody's own is read, whether it declares the fields or allows them."""
    from pydantic import BaseModel, ConfigDict  # noqa: PLC0415 - an extra

    class Declaring(BaseModel):
        choices: list[dict[str, Any]]

    class Allowing(BaseModel):
        model_config = ConfigDict(extra="allow")

    for kind in (Declaring, Allowing):
        assert ProviderReader().read(kind.model_validate(frame("a"))) == TEXT


# --- strings of a provider's ---------------------------------------------------------------------

LONG = "x" * 10_000
COLOURED = "a\x1b[31m\x00\n\u202e"
ENDINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "chat": lambda word: frame("a", finish_reason=word, model=word),
    "completion": lambda word: {
        "model": word, "choices": [{"text": "", "finish_reason": word}],
    },
    "responses": lambda word: {
        "type": "response.completed",
        "response": {"object": "response", "output": [], "status": word, "model": word},
    },
    "message": lambda word: {
        "type": "message", "role": "assistant", "usage": {}, "model": word, "stop_reason": word,
    },
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
@pytest.mark.parametrize(
    ("word", "clean"), [(LONG, "x" * 200), (COLOURED, "a[31m"), ("", None), (3, None)]
)
def test_strings_of_a_provider_are_bounded(
    ending: Callable[[str], dict[str, Any]], word: Any, clean: str | None
) -> None:
    """Names and reasons have at most 200 characters, all of which can be printed."""
    chunk = ending(word)
    for said in (ProviderReader().read(chunk), read_response(chunk.get("response", chunk))):
        assert said is not None
        assert said.model == clean
        assert said.finish_reason == clean


# --- odd chunks ----------------------------------------------------------------------------------


class Raising:
    """Whatever one asks of it, it raises."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError

    __bool__ = __len__ = __iter__ = __getattr__ = __str__ = __float__ = __int__ = __index__ = _raise
    __eq__ = __ne__ = __lt__ = __getitem__ = __contains__ = __call__ = _raise
    __hash__ = None  # type: ignore[assignment]  # as classes with an __eq__ have it


class RaisingDict:
    """It has no fields to show."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # it may be anything
        raise RuntimeError


class NoDict:
    """Its fields are no dict."""

    __dict__ = 3  # type: ignore[assignment]  # it may be anything


class RaisingProperty:
    """Its fields are code that raises."""

    __slots__ = ()

    @property
    def choices(self) -> Any:
        raise RuntimeError

    type = delta = usage = content = choices


class Untrue(str):
    """Text that lies about its length."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = str.__hash__


class Liar:
    """It says that it is text."""

    @property  # type: ignore[misc]  # it lies
    def __class__(self) -> Any:
        return str


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 7, 1.5, float("nan"), 10**30, "", "odd", "\x1b", b"", b"a", [], [None],
    [[1]], {}, {"type": []}, {"": None}, (), frozenset(), object(), Raising(), RaisingDict(),
    NoDict(), RaisingProperty(), Untrue("a"), Liar(), [Raising()], {"content": Raising()}, Ellipsis,
)  # fmt: skip


def fresh(value: Any) -> Any:
    """Copy the dicts and lists, which will be changed, and nothing else."""
    if type(value) is dict:
        return {name: fresh(inner) for name, inner in value.items()}
    return [fresh(inner) for inner in value] if type(value) is list else value


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """Draw a good chunk with some of its fields, at any depth, replaced by something odd."""
    chunk = fresh(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = chunk
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            place = draw(st.sampled_from(places))
            inner = holder[place]
            if type(inner) in {dict, list} and inner and draw(st.booleans()):
                holder = inner
                continue
            holder[place] = fresh(draw(st.sampled_from(ODD)))
            break
    return chunk


def in_attributes(value: Any) -> Any:
    if type(value) is dict:
        return SimpleNamespace(**{name: in_attributes(inner) for name, inner in value.items()})
    return [in_attributes(inner) for inner in value] if type(value) is list else value


@given(st.lists(spoiled(), min_size=1, max_size=4))
@example([frame(Raising())])  # type: ignore[arg-type]  # it is odd
@example([{**frame("a"), "model": Raising()}])
@example([{**frame("a"), "choices": Raising()}])
def test_no_chunk_is_too_odd(chunks: list[Any]) -> None:
    """Whatever the fields hold, nothing raises and every reading is in order."""
    assert_harmless(chunks)
    assert_harmless([in_attributes(chunk) for chunk in chunks])


@given(st.lists(spoiled(), min_size=1, max_size=4))
def test_the_loop_sees_the_very_chunks(chunks: list[Any]) -> None:
    """Odd chunks come through as they are, in order, and are counted from 0 upwards."""
    stream: Any = metrics_decorator(lambda: iter(chunks))()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TokenclockWarning)
        seen = list(stream)

    assert [id(chunk) for chunk in seen] == [id(chunk) for chunk in chunks]
    assert stream.metrics.outcome == "completed"
    assert stream.metrics.chunk_count == len(chunks)
    assert stream.metrics.token_count >= 0


@pytest.mark.parametrize("chunk", ODD, ids=lambda chunk: type(chunk).__name__)
def test_no_object_is_too_odd(chunk: Any) -> None:
    """An odd object is no chunk and no response of ours."""
    assert ProviderReader().read(chunk) is None
    assert read_response(chunk) is None


@pytest.mark.extras
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_the_clients_objects_may_hold_anything(odd: Any) -> None:
    """The client does not check what a server sends; what comes is read or is no token."""
    from openai.types.chat import ChatCompletionChunk  # noqa: PLC0415 - an extra

    chunks: list[Any] = [
        {**frame("a"), name: odd} for name in ("model", "usage", "id", "created", "x_groq")
    ]
    contents: list[Any] = [odd, [odd], {"text": odd}]
    chunks += map(frame, contents)
    reader = ProviderReader()
    for chunk in chunks:
        reading = reader.read(ChatCompletionChunk.construct(**chunk))
        assert reading is not None
        assert reading.tokens in {0, 1}


@every_shape
def test_an_odd_chunk_takes_no_token_from_its_neighbours(shape: str, clock: FakeClock) -> None:
    """Chunks without choices, or with odd ones, are no tokens, and the stream is read on."""
    arrivals: dict[float, Any] = {
        10: frame("a"),
        20: {**frame(), "choices": None},
        30: {**frame(), "choices": []},
        40: {**frame(), "choices": [{"index": 0, "delta": Raising(), "finish_reason": None}]},
        50: frame("b"),
    }
    result = finished(shape, script_at(clock, arrivals, end=60))

    assert result.outcome == "completed"
    assert result.chunk_count == 5
    assert result.token_count == 2
    assert result.token_source == "chunks"
    assert result.time_to_last_token == 0.05
