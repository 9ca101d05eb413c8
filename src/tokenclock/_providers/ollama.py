"""Ollama's chat and generate, as objects of its client and as the dicts that its server sends."""

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import (
    Fields,
    Words,
    any_filled,
    fields_of,
    is_filled,
    items_of,
    module_of,
    tokens_in,
    usage_or_none,
    visible,
)
from tokenclock._reading import NOTHING, Channel, Reading, Usage, bounded_text


class Ollama:
    """
    Reads answers: one token for each that says, thinks or calls something.

    The server's own durations, in nanoseconds, stay where they are: our times are the caller's.
    """

    __slots__ = ("_model", "_usual")

    def __init__(self) -> None:
        self._model = Words()
        # The reading of the latest chunk that was not the last; most of a stream are alike.
        self._usual = NOTHING

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this says if it is done, beside a message or a response."""
        done = fields.get("done")
        if done is None and module_of(kind) != "ollama":
            return False
        if done is not None and not isinstance(done, bool):
            return False
        response = fields.get("response")
        return isinstance(response, str) or fields.get("message") is not None

    def read(self, chunk: Any, /) -> Reading:
        """Read one chunk; the last one has the counts."""
        fields = fields_of(chunk)
        channel = _channel_of(fields)
        model = self._model(fields.get("model"))
        if fields.get("done"):
            return _last(fields, 0 if channel is None else 1, channel, model)
        usual = self._usual
        if channel != usual.channel or model != usual.model:
            tokens = 0 if channel is None else 1
            usual = self._usual = Reading(tokens=tokens, channel=channel, model=model)
        return usual

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole answer."""
        fields = fields_of(response)
        return _last(fields, 0, None, bounded_text(fields.get("model")))


def _last(fields: Fields, tokens: int, channel: Channel | None, model: str | None) -> Reading:
    # A server that took the whole prompt from its cache leaves its count out.
    usage = Usage(tokens_in(fields.get("prompt_eval_count")), tokens_in(fields.get("eval_count")))
    return Reading(
        tokens=tokens,
        channel=channel,
        usage=usage_or_none(usage),
        model=model,
        finish_reason=bounded_text(fields.get("done_reason")),
    )


def _channel_of(fields: Fields) -> Channel | None:
    if is_filled(fields.get("response")):
        return "text"
    message = fields.get("message")
    said = fields if message is None else fields_of(message)
    if is_filled(said.get("content")):
        return "text"
    calls = said.get("tool_calls")
    return visible(
        text=False, tool=calls is not None and _calls(calls), reasoning=any_filled(said, "thinking")
    )


def _calls(calls: object) -> bool:
    """Whether a tool is called; the server sends each call in one piece."""
    return any(
        is_filled(fields_of(fields_of(call).get("function")).get("name"))
        for call in items_of(calls)
    )
