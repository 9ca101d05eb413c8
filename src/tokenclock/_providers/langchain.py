"""LangChain's messages and generations, and LangGraph's messages with what it says of them."""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokenclock._providers._looking import (
    Fields,
    Words,
    any_filled,
    fields_of,
    first_of,
    is_filled,
    is_from,
    items_of,
    tokens_in,
    total_of,
    usage_or_none,
    visible,
)
from tokenclock._providers.openai import usage_in
from tokenclock._reading import NOTHING, Channel, Reading, Usage, bounded_text

_PACKAGE = "langchain_core"
_ABSENT: Any = object()

# What a message, a generation and a result have, and no prompt and no document.
_FIELDS = ("content", "generation_info", "generations")

# Types of message that a model says; those of others, in a graph's stream, are no tokens.
_SAID = frozenset({"AIMessageChunk", "ai"})

# Readings of chunks that say nothing else.
_PLAIN: dict[Channel | None, Reading] = {
    None: NOTHING,
    "text": Reading(tokens=1, channel="text"),
    "reasoning": Reading(tokens=1, channel="reasoning"),
    "tool": Reading(tokens=1, channel="tool"),
}

# In which field a block of content has what it says.
_THOUGHTS = {"thinking": "thinking", "reasoning": "reasoning", "reasoning_content": "text"}
_TEXTS = {"text": "text", "refusal": "refusal", "output_text": "text"}
_CALLS = frozenset(
    {
        "function_call", "input_json_delta", "server_tool_call", "server_tool_call_chunk",
        "server_tool_use", "tool_call", "tool_call_chunk", "tool_use",
    }
)  # fmt: skip
_CALL_FIELDS = ("id", "name", "args", "arguments", "partial_json")


class LangChain:
    """
    Reads messages and generations: one token for each that says, thinks or calls something.

    A model's usage is spread over its chunks, and is their sum.
    """

    __slots__ = ("_model", "_usage")

    def __init__(self) -> None:
        self._model = Words()
        self._usage = Usage()

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is a message, a generation or a result, or the dict of a chunk."""
        if issubclass(kind, dict):
            return fields.get("type") == "AIMessageChunk" and fields.get("content") is not None
        if not is_from(kind, _PACKAGE):
            return False
        return any(fields.get(name, _ABSENT) is not _ABSENT for name in _FIELDS)

    @staticmethod
    def is_streamed_by_graph(chunk: tuple[Any, ...]) -> bool:
        """Whether this is a message beside its metadata, as a graph streams them."""
        if len(chunk) != 2 or type(chunk[1]) is not dict:  # noqa: PLR2004 - a pair
            return False
        return LangChain.recognises(type(chunk[0]), fields_of(chunk[0]))

    def read(self, chunk: Any, /) -> Reading:
        """Read one chunk."""
        if type(chunk) is tuple:
            chunk = chunk[0]
        fields = fields_of(chunk)
        message = _message_in(fields)
        if message is None:
            channel: Channel | None = "text" if is_filled(fields.get("text")) else None
            told = fields.get("generation_info")
            return self._reading(channel, None, fields_of(told) if told else None)
        if message.get("type") not in _SAID:
            return NOTHING
        told = message.get("response_metadata") or fields.get("generation_info")
        usage = message.get("usage_metadata")
        return self._reading(_channel_of(message), usage, fields_of(told) if told else None)

    def _reading(self, channel: Channel | None, usage: object, told: Fields | None) -> Reading:
        if usage is None and told is None:
            return _PLAIN[channel]
        so_far = None
        if usage is not None:
            so_far = self._usage = _sum(self._usage, _usage(fields_of(usage)))
        return Reading(
            tokens=0 if channel is None else 1,
            channel=channel,
            usage=so_far,
            model=None if told is None else self._model(_model_in(told)),
            finish_reason=None if told is None else _finish_in(told),
        )

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole message, or the result of all that one call asked for."""
        if type(response) is tuple:
            response = response[0]
        fields = fields_of(response)
        usage, model, finish = Usage(), None, None
        for said in _messages_in(fields):
            usage = _sum(usage, _usage_of(said))
            told = fields_of(first_of(said, "response_metadata", "generation_info"))
            model = bounded_text(_model_in(told)) or model
            finish = _finish_in(told) or finish
        output = fields_of(fields.get("llm_output"))
        if usage.output_tokens is None:
            usage = usage_in({"usage": output.get("token_usage")}) or usage
        return Reading(
            usage=usage_or_none(usage),
            model=model or bounded_text(_model_in(output)),
            finish_reason=finish,
        )


def _message_in(fields: Fields) -> Fields | None:
    """Give the fields of a message, maybe one in a generation; ``None`` if there is only text."""
    message = fields.get("message")
    if message is not None:
        return fields_of(message)
    return None if fields.get("content") is None else fields


def _messages_in(fields: Fields) -> Iterator[Fields]:
    """Give the messages, or the generations of mere text, of a whole response."""
    generations = fields.get("generations")
    if generations is None:
        yield _message_in(fields) or fields
        return
    for generation in items_of(generations):
        for one in generation if isinstance(generation, list) else (generation,):
            said = fields_of(one)
            yield _message_in(said) or said


def _channel_of(message: Fields) -> Channel | None:
    content = message.get("content")
    if is_filled(content):
        return "text"
    channels = {_channel_in(block) for block in items_of(content)}
    if "text" in channels:
        return "text"
    more = message.get("additional_kwargs")
    extra = fields_of(more) if more else None
    calls = first_of(message, "tool_call_chunks", "tool_calls")
    is_call = any(any_filled(fields_of(call), *_CALL_FIELDS) for call in items_of(calls))
    is_thought = extra is not None and any_filled(extra, "reasoning_content", "reasoning")
    return visible(
        text=False,
        tool=is_call or "tool" in channels,
        reasoning=is_thought or "reasoning" in channels,
    )


def _channel_in(block: object) -> Channel | None:
    """Give the channel of one block of content; signatures and what was redacted are no tokens."""
    if isinstance(block, str):
        return "text" if block else None
    fields = fields_of(block)
    kind = fields.get("type")
    if not isinstance(kind, str):
        return "text" if kind is None and is_filled(fields.get("text")) else None
    if kind in _TEXTS:
        return "text" if is_filled(fields.get(_TEXTS[kind])) else None
    if kind in _THOUGHTS:
        return "reasoning" if _thinks(kind, fields) else None
    return "tool" if kind in _CALLS and any_filled(fields, *_CALL_FIELDS) else None


def _thinks(kind: str, fields: Fields) -> bool:
    inner = fields.get("reasoning_content")  # Bedrock's, as it came
    if is_filled(fields_of(inner).get("text")) or is_filled(fields.get(_THOUGHTS[kind])):
        return True
    return any(is_filled(fields_of(part).get("text")) for part in items_of(fields.get("summary")))


def _model_in(told: Fields) -> object:
    return first_of(told, "model_name", "model", "model_id")


def _finish_in(told: Fields) -> str | None:
    return bounded_text(first_of(told, "finish_reason", "stop_reason", "stopReason", "done_reason"))


def _usage_of(said: Fields) -> Usage:
    usage = said.get("usage_metadata")
    if usage is not None:
        return _usage(fields_of(usage))
    told = fields_of(said.get("response_metadata"))
    return usage_in({"usage": told.get("token_usage")}) or Usage()


def _usage(said: Fields) -> Usage:
    return Usage(
        tokens_in(said.get("input_tokens")),
        tokens_in(said.get("output_tokens")),
        tokens_in(fields_of(said.get("output_token_details")).get("reasoning")),
        tokens_in(fields_of(said.get("input_token_details")).get("cache_read")),
    )


def _sum(usage: Usage, more: Usage) -> Usage:
    return Usage(*map(total_of, usage, more))
