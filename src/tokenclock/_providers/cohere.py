"""Cohere's chat, version 2. Its streams name no model."""

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import (
    Fields,
    any_filled,
    fields_of,
    is_filled,
    items_of,
    module_of,
    tokens_in,
    usage_or_none,
)
from tokenclock._reading import NOTHING, Reading, Usage, bounded_text

_TEXT = Reading(tokens=1, channel="text")
_THOUGHT = Reading(tokens=1, channel="reasoning")
_TOOL = Reading(tokens=1, channel="tool")

_CONTENT = frozenset({"content-delta", "content-start"})
_CALLS = frozenset({"tool-call-delta", "tool-call-start"})
_PLAN = "tool-plan-delta"
_END = "message-end"
_EVENTS = frozenset(
    {
        *_CONTENT, *_CALLS, _PLAN, _END,
        "citation-end", "citation-start", "content-end", "message-start", "tool-call-end",
    }
)  # fmt: skip


class Cohere:
    """
    Reads chat events: one token for each delta of text, thought, plan or call.

    The plan that comes before calls is for people to read: its channel is text.
    """

    __slots__ = ()

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is one of the events, or a whole response."""
        event = fields.get("type")
        if isinstance(event, str):
            return event in _EVENTS or (event == "debug" and module_of(kind) == "cohere")
        if fields.get("message") is None or fields.get("finish_reason") is None:
            return False
        usage = fields_of(fields.get("usage"))
        is_counted = usage.get("tokens") is not None or usage.get("billed_units") is not None
        return is_counted or module_of(kind) == "cohere"

    def read(self, chunk: Any, /) -> Reading:
        """Read one event."""
        fields = fields_of(chunk)
        event = fields.get("type")
        if event == _END:
            return self.read_response(fields.get("delta"))
        if event in _CONTENT:
            content = fields_of(_message_of(fields).get("content"))
            if is_filled(content.get("text")):
                return _TEXT
            return _THOUGHT if is_filled(content.get("thinking")) else NOTHING
        if event in _CALLS:
            return _TOOL if _calls(_message_of(fields).get("tool_calls")) else NOTHING
        if event == _PLAN:
            return _TEXT if is_filled(_message_of(fields).get("tool_plan")) else NOTHING
        return NOTHING

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole response, or the end of a stream, which says the same."""
        fields = fields_of(response)
        usage = fields.get("usage")
        return Reading(
            usage=None if usage is None else _usage(fields_of(usage)),
            finish_reason=bounded_text(fields.get("finish_reason")),
        )


def _message_of(event: Fields) -> Fields:
    return fields_of(fields_of(event.get("delta")).get("message"))


def _calls(calls: object) -> bool:
    """Whether a tool is called: by an id, a name or arguments. A stream gives calls one by one."""
    for call in items_of(calls) or (calls,):
        fields = fields_of(call)
        if is_filled(fields.get("id")):
            return True
        if any_filled(fields_of(fields.get("function")), "name", "arguments"):
            return True
    return False


def _usage(said: Fields) -> Usage | None:
    """Give the tokens; what is billed leaves some of them out, and is better than nothing."""
    read = written = None
    for name in ("tokens", "billed_units"):
        counts = fields_of(said.get(name))
        read = tokens_in(counts.get("input_tokens"))
        written = tokens_in(counts.get("output_tokens"))
        if read is not None or written is not None:
            break
    return usage_or_none(Usage(read, written, None, tokens_in(said.get("cached_tokens"))))
