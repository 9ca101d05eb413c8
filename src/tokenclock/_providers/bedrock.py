"""
Amazon Bedrock: Converse, and what the models behind InvokeModel write each in its own way.

Claude's events inside are Anthropic's, and those of models with ``choices`` OpenAI's.
"""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import (
    Family,
    Fields,
    Words,
    any_filled,
    fields_of,
    first_of,
    is_filled,
    items_of,
    tokens_in,
    total_of,
    usage_or_none,
)
from tokenclock._providers.anthropic import Anthropic
from tokenclock._providers.openai import OpenAI
from tokenclock._reading import NOTHING, Reading, Usage, bounded_text

_TEXT = Reading(tokens=1, channel="text")
_THOUGHT = Reading(tokens=1, channel="reasoning")
_TOOL = Reading(tokens=1, channel="tool")

# The SDK gives one of these per event, in a dict of its own.
_EVENTS = frozenset(
    {
        "contentBlockDelta", "contentBlockStart", "contentBlockStop", "messageStart",
        "messageStop",
    }
)  # fmt: skip
# What the SDK calls its streams, and where in a response they are.
_STREAM_MODULES = ("botocore.eventstream", "aiobotocore.eventstream")
_STREAM_NAMES = ("stream", "body")

_HEADER = "x-amzn-bedrock-{}-token-count"


class Bedrock:
    """
    Reads events: one token for each delta of text, thought or tool input, and for a tool's name.

    Attributes:
        saw_choices: Whether one chunk of a model's carried tokens of several choices.
    """

    __slots__ = ("_guest", "_model")

    def __init__(self) -> None:
        # Who reads this model's own events; a stream is of one model.
        self._guest: Family | None = None
        self._model = Words()

    @property
    def saw_choices(self) -> bool:
        return getattr(self._guest, "saw_choices", False)

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is an event, or a whole response; the SDK gives dicts only."""
        if not issubclass(kind, dict):
            return False
        names: Any = fields
        if not _EVENTS.isdisjoint(names):
            return True
        chunk = fields.get("chunk")
        if chunk is not None:
            return fields_of(chunk).get("bytes") is not None
        metadata = fields.get("metadata")
        if metadata is not None:
            return _counts_in(fields_of(metadata).get("usage")) is not None
        if fields.get("stopReason") is not None:
            return fields.get("usage") is not None
        return fields.get("body") is not None and fields.get("ResponseMetadata") is not None

    def read(self, chunk: Any, /) -> Reading:
        """Read one event."""
        fields = fields_of(chunk)
        part = fields.get("chunk")
        if part is None:
            return _read_event(fields)
        return self._read_part(fields_of(part).get("bytes"))

    def _read_part(self, part: Any) -> Reading:
        """Read what a model wrote in its own way."""
        if not is_filled(part):
            return NOTHING
        import json  # noqa: PLC0415 - costs a millisecond, and only raw payloads need it

        said = json.loads(part)
        if type(said) is not dict:
            return NOTHING
        if self._guest is None:
            self._guest = _guest_for(said)
        if self._guest is not None:
            return self._with_counts(self._guest.read(said), said)
        if Bedrock.recognises(dict, said):  # Nova
            return _read_event(said)
        return self._with_counts(_read_text(said), said)

    def _with_counts(self, reading: Reading, said: Fields) -> Reading:
        """Add the counts that come with the last chunk, where the model has not said its own."""
        counts = said.get("amazon-bedrock-invocationMetrics")
        usage = None if counts is None else _usage(fields_of(counts))
        if usage is not None and not isinstance(self._guest, Anthropic):
            reading = reading._replace(usage=usage)
        if reading.finish_reason is None and isinstance(self._guest, OpenAI):
            finish = _stop_in(said.get("choices"))
            if finish is not None:
                reading = reading._replace(finish_reason=finish)
        return reading

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole answer of Converse, or the counts that come with one of InvokeModel."""
        fields = fields_of(response)
        if fields.get("stopReason") is None:
            headers = fields_of(fields.get("ResponseMetadata")).get("HTTPHeaders")
            return Reading(usage=_usage_in_headers(fields_of(headers)))
        usage = _counts_in(fields.get("usage"))
        return Reading(usage=usage, finish_reason=bounded_text(fields.get("stopReason")))


def stream_name_in(response: dict[Any, Any]) -> str | None:
    """
    Give the name under which a response holds a stream of the SDK's, ``None`` if it holds none.

    >>> stream_name_in({"stream": iter("ab")}) is None
    True
    """
    for name in _STREAM_NAMES:
        if name in response and type(response[name]).__module__ in _STREAM_MODULES:
            return name
    return None


def _read_event(event: Fields) -> Reading:
    happened = event.get("contentBlockDelta")
    if happened is not None:
        return _read_delta(fields_of(fields_of(happened).get("delta")))
    happened = event.get("contentBlockStart")
    if happened is not None:
        tool = fields_of(fields_of(fields_of(happened).get("start")).get("toolUse"))
        return _TOOL if any_filled(tool, "toolUseId", "name") else NOTHING
    happened = event.get("messageStop")
    if happened is not None:
        return Reading(finish_reason=bounded_text(fields_of(happened).get("stopReason")))
    happened = event.get("metadata")
    if happened is not None:
        return Reading(usage=_counts_in(fields_of(happened).get("usage")))
    return NOTHING


def _read_delta(delta: Fields) -> Reading:
    """Read a delta; signatures, what was redacted, citations and results are no tokens."""
    if is_filled(delta.get("text")):
        return _TEXT
    if is_filled(fields_of(delta.get("toolUse")).get("input")):
        return _TOOL
    return _THOUGHT if is_filled(fields_of(delta.get("reasoningContent")).get("text")) else NOTHING


def _read_text(said: Fields) -> Reading:
    """Read a chunk of Titan, Llama, Mistral or Cohere."""
    finish = first_of(said, "completionReason", "stop_reason", "finish_reason")
    # Cohere's last event repeats the whole answer, in a field that is not looked at.
    is_text = any_filled(said, "outputText", "generation", "text")
    for output in items_of(said.get("outputs")):
        fields = fields_of(output)
        is_text = is_text or is_filled(fields.get("text"))
        finish = fields.get("stop_reason") or finish
    usage = _usage(said)
    if usage is None and finish is None:
        return _TEXT if is_text else NOTHING
    return Reading(
        tokens=1 if is_text else 0,
        channel="text" if is_text else None,
        usage=usage,
        finish_reason=bounded_text(finish),
    )


def _guest_for(said: dict[str, Any]) -> Family | None:
    if said.get("choices") is not None:
        return OpenAI()
    return Anthropic() if Anthropic.recognises(dict, said) else None


def _stop_in(choices: object) -> str | None:
    """Give why a choice ended, under the name that some models on Bedrock have for it."""
    for choice in items_of(choices):
        finish = bounded_text(fields_of(choice).get("stop_reason"))
        if finish is not None:
            return finish
    return None


def _counts_in(usage: object) -> Usage | None:
    return None if usage is None else _usage(fields_of(usage))


def _usage(said: Fields) -> Usage | None:
    """
    Give the counts under the names of Converse, the invocation metrics, Titan and Llama.

    The input is what was neither read from the cache nor written to it.
    """
    read = tokens_in(
        first_of(
            said, "inputTokens", "inputTokenCount", "inputTextTokenCount", "prompt_token_count"
        )
    )
    cached = tokens_in(first_of(said, "cacheReadInputTokens", "cacheReadInputTokenCount"))
    stored = tokens_in(first_of(said, "cacheWriteInputTokens", "cacheWriteInputTokenCount"))
    written = tokens_in(
        first_of(
            said, "outputTokens", "outputTokenCount", "totalOutputTextTokenCount",
            "generation_token_count",
        )
    )  # fmt: skip
    return usage_or_none(Usage(total_of(read, cached, stored), written, None, cached))


def _usage_in_headers(headers: Fields) -> Usage | None:
    read, cached, stored, written = (
        _number(headers.get(_HEADER.format(name)))
        for name in ("input", "cache-read-input", "cache-write-input", "output")
    )
    return usage_or_none(Usage(total_of(read, cached, stored), written, None, cached))


def _number(text: object) -> int | None:
    if not isinstance(text, str) or not text.isdecimal() or len(text) > 10:  # noqa: PLR2004 - digits
        return None
    return tokens_in(int(text))
