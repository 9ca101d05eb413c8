"""Anthropic's messages, from its own client, from Bedrock and from servers that speak like it."""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import (
    Fields,
    any_filled,
    any_present,
    fields_of,
    is_filled,
    keeps_fields,
    module_of,
    tokens_in,
    total_of,
    usage_or_none,
)
from tokenclock._reading import NOTHING, Reading, Usage, bounded_text

_TEXT = Reading(tokens=1, channel="text")
_THOUGHT = Reading(tokens=1, channel="reasoning")
_TOOL = Reading(tokens=1, channel="tool")

_EVENTS = frozenset(
    {
        "content_block_delta", "content_block_start", "content_block_stop", "message_delta",
        "message_start", "message_stop", "ping",
    }
)  # fmt: skip
# What messages.stream() gives beside each raw event, for convenience.
_TYPED_EVENTS = frozenset({"citation", "compaction", "input_json", "signature", "text", "thinking"})

# What a delta of each type holds, and what that is. Signatures and citations are no tokens.
_DELTAS = {
    "text_delta": ("text", _TEXT),
    "thinking_delta": ("thinking", _THOUGHT),
    "input_json_delta": ("partial_json", _TOOL),
}
_CALLS = frozenset({"mcp_tool_use", "server_tool_use", "tool_use"})
_COUNTS = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens",
)  # fmt: skip


class _Nobody:
    """What no event is."""


class Anthropic:
    """Reads message events: one token for each delta of text, thought or tool input."""

    __slots__ = ("_said", "_usual")

    def __init__(self) -> None:
        # The types of an event and of the delta in it that said text; most of a stream are such.
        self._usual: tuple[type, type] = (_Nobody, _Nobody)
        # Each frame reports some counts, which replace those of the same name before.
        self._said: dict[str, Any] = {}

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is one of the events, or a whole message."""
        event = fields.get("type")
        if not isinstance(event, str):
            return False
        if event in _EVENTS:
            return event != "message_delta" or _is_message_delta(fields)
        if event == "message":
            return fields.get("usage") is not None and fields.get("role") is not None
        if event == "error":
            return fields.get("error") is not None
        return event in _TYPED_EVENTS and module_of(kind) == "anthropic"

    def read(self, chunk: Any, /) -> Reading:
        """Read one event; those that the client derives from another are no tokens."""
        if type(chunk) is self._usual[0] and _says_text(chunk, self._usual[1]):
            return _TEXT
        fields = fields_of(chunk)
        event = fields.get("type")
        if event == "content_block_delta":
            return self._read_delta(chunk, fields.get("delta"))
        if event == "content_block_start":
            return _read_start(fields_of(fields.get("content_block")))
        return self._read_frame(event, fields)

    def _read_frame(self, event: object, fields: Fields) -> Reading:
        """Read an event around the content, or a whole message."""
        if event == "message_start":
            return self._read_opening(fields_of(fields.get("message")))
        if event == "message_delta":
            stop = fields_of(fields.get("delta")).get("stop_reason")
            usage = self._usage(fields.get("usage"))
            return Reading(usage=usage, finish_reason=bounded_text(stop) or None)
        if event == "message_stop":
            return self._read_invocation(fields)
        return self._read_message(fields) if event == "message" else NOTHING

    def _read_delta(self, chunk: object, delta: object) -> Reading:
        said = fields_of(delta)
        name, reading = _DELTAS.get(said.get("type"), ("", NOTHING))
        if not is_filled(said.get(name)):
            return NOTHING
        if reading is _TEXT and keeps_fields(type(chunk)) and keeps_fields(type(delta)):
            self._usual = type(chunk), type(delta)
        return reading

    def _read_opening(self, message: Fields) -> Reading:
        """Read a message that has only begun: its output count is that of an answer to come."""
        reading = self._read_message(message)
        if reading.usage is None:
            return reading
        return reading._replace(usage=usage_or_none(reading.usage._replace(output_tokens=None)))

    def _read_message(self, message: Fields) -> Reading:
        return Reading(
            usage=self._usage(message.get("usage")),
            model=bounded_text(message.get("model")) or None,
            finish_reason=bounded_text(message.get("stop_reason")) or None,
        )

    def _read_invocation(self, fields: Fields) -> Reading:
        """Read what Bedrock adds to the last event."""
        metrics = fields.get("amazon-bedrock-invocationMetrics")
        if metrics is None:
            return NOTHING
        said = fields_of(metrics)
        named = {
            "input_tokens": said.get("inputTokenCount"),
            "cache_creation_input_tokens": said.get("cacheWriteInputTokenCount"),
            "cache_read_input_tokens": said.get("cacheReadInputTokenCount"),
            "output_tokens": said.get("outputTokenCount"),
        }
        return Reading(usage=self._usage(named))

    def _usage(self, usage: object) -> Usage | None:
        if usage is None:
            return None
        said = fields_of(usage)
        for name in _COUNTS:
            count = tokens_in(said.get(name))
            # A count never falls: a 0 after another number is one that was not filled in.
            if count or self._said.get(name) is None:
                self._said[name] = count
        details = fields_of(said.get("output_tokens_details"))
        reasoning = tokens_in(details.get("thinking_tokens"))
        # Only what this frame says: the first one's output count is no count of what follows.
        output = tokens_in(said.get("output_tokens"))
        read, created, cached, _ = map(self._said.get, _COUNTS)
        # No request is empty: 0 is what some servers send before they know.
        total = total_of(read, created, cached) or None
        return usage_or_none(Usage(total, output, reasoning, cached))

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole message."""
        return Anthropic().read(response)


def _is_message_delta(fields: Fields) -> bool:
    """Whether this says how the message ends, as opposed to another's event of that name."""
    delta = fields_of(fields.get("delta"))
    return any_present(fields, ("usage",)) or any_present(delta, ("stop_reason",))


def _says_text(event: Any, kind: type) -> bool:
    """Whether an event that keeps its fields has a delta of this kind with text; nothing odd is."""
    delta = event.__dict__.get("delta")
    if type(delta) is not kind or event.__dict__.get("type") != "content_block_delta":
        return False
    said = delta.__dict__
    text = said.get("text")
    return said.get("type") == "text_delta" and type(text) is str and text != ""


def _read_start(block: Fields) -> Reading:
    """Read the start of a block: that of a tool call names the tool, others are mostly empty."""
    kind = block.get("type")
    if kind in _CALLS:
        return _TOOL if any_filled(block, "id", "name") else NOTHING
    if kind == "text":
        return _TEXT if is_filled(block.get("text")) else NOTHING
    return _THOUGHT if kind == "thinking" and is_filled(block.get("thinking")) else NOTHING
