"""Chunks like one that came before: they are known at a glance, and read as any other is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutating import mutated
from stepping import frame
from tokenclock import Reading, Usage
from tokenclock._providers import ProviderReader
from tokenclock._providers.anthropic import Anthropic
from tokenclock._providers.openai import OpenAI

if TYPE_CHECKING:
    from tokenclock._providers._looking import Family

Fields = dict[str, Any]

TEXT = Reading(tokens=1, channel="text")
SAID = Reading(tokens=1, channel="text", model="m")
SILENT = Reading(model="m")

CHAT: Fields = frame("a", model="m")
USED = {"prompt_tokens": 3, "completion_tokens": 5}
CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}


class Object:
    """What a client makes of fields: attributes."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class Slots:
    """The same without a dict."""

    __slots__ = (
        "arguments", "choices", "completion_tokens", "content", "created", "delta",
        "finish_reason", "function", "id", "index", "model", "name", "object", "partial_json",
        "prompt_tokens", "reasoning", "refusal", "role", "text", "thinking", "timings",
        "tool_calls", "type", "usage", "x_groq",
    )  # fmt: skip

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)


def as_object(fields: Any, kind: type = Object) -> Any:
    if isinstance(fields, dict):
        return kind(**{name: as_object(inner, kind) for name, inner in fields.items()})
    return [as_object(inner, kind) for inner in fields] if isinstance(fields, list) else fields


def in_slots(fields: Fields) -> Any:
    return as_object(fields, Slots)


def chat(**choice: Any) -> Fields:
    """Give a chunk whose choice differs in this."""
    return {**CHAT, "choices": [{**CHAT["choices"][0], **choice}]}


def event(**delta: Any) -> Fields:
    """Give an event whose delta differs in this."""
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", **delta}}


# What differs from a chunk of text, and what that says.
CHATS: dict[str, tuple[Fields, Reading]] = {
    "more text": (frame("b", model="m"), SAID),
    "a role": (frame("b", model="m", role="assistant"), SAID),
    "no text": (frame("", model="m"), SILENT),
    "nothing": (frame(None, model="m"), SILENT),
    "no content": (chat(delta={}), SILENT),
    "no delta": (chat(delta=None), SILENT),
    "parts": (chat(delta={"content": [{"text": "b"}]}), SAID),
    "a refusal": (frame(None, model="m", refusal="b"), SAID),
    "a thought": (frame(None, model="m", reasoning="b"), SAID._replace(channel="reasoning")),
    "a call": (frame(None, model="m", tool_calls=[CALL]), SAID._replace(channel="tool")),
    "an end": (frame("b", model="m", finish_reason="stop"), SAID._replace(finish_reason="stop")),
    "another choice": (frame("b", model="m", index=1), SAID._replace(choice=1)),
    "a far choice": (frame("b", model="m", index=1000), SAID._replace(choice=1000)),
    "a choice that is no number": (chat(index=True), SAID),
    "two choices": ({**CHAT, "choices": CHAT["choices"] * 2}, SAID._replace(tokens=2)),
    "no choices": ({**CHAT, "choices": []}, SILENT),
    "another model": (frame("b", model="n"), SAID._replace(model="n")),
    "no model": (frame("b"), TEXT),
    "usage": (frame("b", model="m", usage=USED), SAID._replace(usage=Usage(3, 5))),
    "usage elsewhere": (
        {**CHAT, "x_groq": {"usage": USED}}, SAID._replace(usage=Usage(3, 5)),
    ),
    "no usage elsewhere": ({**CHAT, "x_groq": None}, SAID),
    "something else": ({**CHAT, "timings": {"usage": USED}}, SAID),
}  # fmt: skip
EVENTS: dict[str, tuple[Fields, Reading]] = {
    "more text": (event(text="b"), TEXT),
    "no text": (event(text=""), Reading()),
    "nothing": (event(text=None), Reading()),
    "no field": (event(), Reading()),
    "a number": (event(text=3), Reading()),
    "a thought": (event(type="thinking_delta", thinking="b"), TEXT._replace(channel="reasoning")),
    "a call": (event(type="input_json_delta", partial_json="{"), TEXT._replace(channel="tool")),
    "a citation": (event(type="citations_delta", text="b"), Reading()),
    "a delta of no type": (event(type=None, text="b"), Reading()),
    "a delta of odd type": (event(type=["text_delta"], text="b"), Reading()),
    "no delta": ({**event(), "delta": None}, Reading()),
    "an end": ({**event(text="b"), "type": "content_block_stop"}, Reading()),
}
TABLE = [
    pytest.param(first, *row, id=f"{name} {what}")
    for name, first, rows in (("chat:", CHAT, CHATS), ("event:", event(text="a"), EVENTS))
    for what, row in rows.items()
]


def readings(*chunks: Any) -> list[Reading | None]:
    """Read the chunks of one stream."""
    return list(map(ProviderReader().read, chunks))


@pytest.mark.parametrize(("first", "then", "expected"), TABLE)
def test_what_differs_is_read(first: Fields, then: Fields, expected: Reading) -> None:
    """A chunk that differs from an earlier one of its type in one thing is read for what it is."""
    for make in (dict, as_object, in_slots):
        assert readings(make(first), make(then), make(then))[1:] == [expected, expected]


@pytest.mark.extras
@pytest.mark.parametrize(("first", "then", "expected"), TABLE)
def test_what_differs_in_a_clients_object_is_read(
    first: Fields, then: Fields, expected: Reading
) -> None:
    """The same holds for the real clients' objects, which keep unknown fields apart."""
    assert readings(*map(as_the_client_does, (first, then, then)))[1:] == [expected, expected]


def as_the_client_does(fields: Fields) -> Any:
    """Make a chunk as the client does from what a server sent, which it does not check."""
    from anthropic import types as messages  # noqa: PLC0415 - an extra
    from openai.types import chat as chats  # noqa: PLC0415 - as above

    kind = chats.ChatCompletionChunk if "choices" in fields else messages.RawContentBlockDeltaEvent
    return kind.construct(**json.loads(json.dumps(fields)))


# --- whatever it holds ----------------------------------------------------------------------------

FIRSTS = ((OpenAI, CHAT), (Anthropic, event(text="a")))
every_first = pytest.mark.parametrize(("family", "first"), FIRSTS, ids=["chat", "event"])


def readings_of(family: Family, *chunks: Any) -> list[Reading | None]:
    """Read chunks; ``None`` where one is too odd, and whoever asks makes it no token."""
    found: list[Reading | None] = []
    for chunk in chunks:
        try:
            found.append(family.read(chunk))
        except Exception:  # noqa: BLE001 - so does who asks
            found.append(None)
    return found


def assert_read_alike(family: type[Family], first: Any, chunks: list[Any]) -> None:
    """Hold readings after a first chunk against those of a reader that saw nothing before."""
    alone = [reading for chunk in chunks for reading in readings_of(family(), chunk)]
    assert readings_of(family(), first, *chunks)[1:] == alone


@every_first
@given(data=st.data())
def test_what_came_before_changes_no_reading(
    family: type[Family], first: Fields, data: st.DataObject
) -> None:
    """Whatever a chunk holds, it is read after others as it is read alone."""
    rows = CHATS if first is CHAT else EVENTS
    known = st.sampled_from([chunk for chunk, _ in rows.values()])
    before, *chunks = data.draw(st.lists(known | mutated([first]), min_size=2, max_size=6))
    assert_read_alike(family, as_object(before), [as_object(chunk) for chunk in chunks])


@pytest.mark.parametrize(("outside", "inside"), [(Object, Slots), (Slots, Object)])
def test_an_object_may_hold_another_kind(outside: type, inside: type) -> None:
    """Where one of two objects has slots, both are read, however many came before."""
    said = event(text="a")
    chunks = [outside(type=said["type"], delta=as_object(said["delta"], inside)) for _ in "123"]
    assert readings(*chunks) == [TEXT, TEXT, TEXT]


def test_a_choice_may_be_empty() -> None:
    """A choice that is no object says nothing, also after one that was."""
    then = as_object({**CHAT, "choices": [None]})
    assert readings(as_object(CHAT), then) == [SAID, SILENT]


@pytest.mark.extras
@pytest.mark.parametrize("what", ["usage", "usage elsewhere", "an end", "another choice"])
def test_what_a_model_does_not_declare_is_read(what: str) -> None:
    """A field that a model does not declare is found where pydantic keeps it, in each chunk."""
    from pydantic import BaseModel, ConfigDict, create_model  # noqa: PLC0415 - an extra

    def model(name: str, **fields: Any) -> type[BaseModel]:
        """Make a model that has fields of these types, without the one that is looked for."""
        declared = {key: (kind, None) for key, kind in fields.items() if key != missing}
        return create_model(name, __config__=ConfigDict(extra="allow"), **declared)  # type: ignore[call-overload,no-any-return]

    missing = {"usage": "usage", "an end": "finish_reason", "another choice": "index"}.get(what)
    said = model("Said", content=Any)
    choice = model("Choice", delta=said, finish_reason=Any, index=Any)
    chunk = model("Chunk", choices=list[choice], model=Any, usage=Any)  # type: ignore[valid-type]  # made above
    then, expected = CHATS[what]

    made = [chunk(**one) for one in (CHAT, then, CHAT)]
    assert readings(*made) == [SAID, expected, SAID]


class Raising:
    """It raises when it is compared, or asked whether it is true."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]  # as classes with an __eq__ have it


class Text(str):
    """Text of somebody's own."""

    __slots__ = ()


class Below(Object):
    """An object of a type made from the usual one."""


ODD: tuple[Any, ...] = (
    Raising(),
    Text("m"),
    Text(""),
    b"m",
    b"",
    Object(),
    Below(content="a", text="a"),
    (),
    {},
)


@every_first
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_no_field_is_too_odd(family: type[Family], first: Fields, odd: Any) -> None:
    """A field that is odd, in a chunk that is like the one before, is no surprise."""
    chunks = []
    for place in ("chunk", "choice", "delta"):
        for name in vars(holders(as_object(first))[place]):
            chunk = as_object(first)
            setattr(holders(chunk)[place], name, odd)
            chunks.append(chunk)
    assert_read_alike(family, as_object(first), chunks)


def holders(chunk: Any) -> dict[str, Any]:
    """Give the objects of a chunk that have fields."""
    choice = chunk.choices[0] if hasattr(chunk, "choices") else chunk
    return {"chunk": chunk, "choice": choice, "delta": choice.delta}


# --- at a glance ----------------------------------------------------------------------------------


@pytest.mark.extras
@every_first
def test_the_clients_text_is_known_at_a_glance(
    family: type[Family], first: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once one chunk of the real client's was read, the next one like it need not be."""
    one, other = as_the_client_does(first), as_the_client_does(first)
    reader = family()
    expected = reader.read(one)
    assert expected.tokens == 1

    room = sys.modules[family.__module__]
    monkeypatch.setattr(room, "fields_of", lambda _: pytest.fail("it was read"))
    assert reader.read(other) == expected
