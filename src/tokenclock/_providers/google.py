"""Google's Gemini: what ``google-genai`` gives, its Live sessions among it, and plain REST."""

from __future__ import annotations

from typing import Any, NamedTuple

from tokenclock._providers._looking import (
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
    visible,
)
from tokenclock._reading import Channel, Reading, Usage, bounded_text

_ABSENT: Any = object()


class _Names(NamedTuple):
    """What the counts are called; a Live session calls those of the answer otherwise."""

    prompt: str
    tool_use: str
    answer: str
    live_answer: str
    thoughts: str
    cached: str


_CLIENTS_NAMES = _Names(
    "prompt_token_count", "tool_use_prompt_token_count", "candidates_token_count",
    "response_token_count", "thoughts_token_count", "cached_content_token_count",
)  # fmt: skip
_WIRE_NAMES = _Names(
    "promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount",
    "responseTokenCount", "thoughtsTokenCount", "cachedContentTokenCount",
)  # fmt: skip

# What only Gemini's own messages have; the client's names have an underscore.
_ONLY_OURS = (
    "usageMetadata", "promptFeedback", "serverContent", "server_content", "setupComplete",
)  # fmt: skip
_UNSAID = "FINISH_REASON_UNSPECIFIED"


class Google:
    """
    Reads chunks with ``candidates``: one token for each that says, thinks or calls something.

    The usage on every chunk is that of its answer so far. Where the client calls functions by
    itself and asks again, one stream holds several answers, and their usage is added.

    Attributes:
        saw_choices: Whether one chunk carried tokens of several candidates.
    """

    __slots__ = ("_answer", "_before", "_has_finished", "_latest", "_model", "saw_choices")

    def __init__(self) -> None:
        self._model = Words()
        self._answer: object = None
        self._has_finished = False
        self._before: Usage | None = None
        self._latest: Usage | None = None
        self.saw_choices = False

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:  # noqa: ARG004 - the fields tell enough
        """Whether there are candidates, or another field that only Gemini has."""
        candidates = fields.get("candidates")
        if candidates is not None:
            return _are_candidates(candidates)
        if any(fields.get(name, _ABSENT) is not _ABSENT for name in _ONLY_OURS):
            return True
        if fields.get("candidates", _ABSENT) is None:
            return fields.get("usage_metadata", _ABSENT) is not _ABSENT
        return _has_live_call(fields)

    def read(self, chunk: Any, /) -> Reading:
        """Read one chunk, or one message of a Live session."""
        fields = fields_of(chunk)
        found: list[Channel] = []
        index, finish = 0, None
        candidates = fields.get("candidates", _ABSENT)
        if candidates is _ABSENT:
            found, finish = _read_live(fields)
        for candidate in items_of(candidates):
            said = fields_of(candidate)
            finish = _finish_of(said) or finish
            channel = _channel_of(fields_of(said.get("content")))
            if channel is not None:
                found.append(channel)
                index = said.get("index")
        if len(found) > 1:
            self.saw_choices = True
        return Reading(
            tokens=len(found),
            choice=index if type(index) is int else 0,
            channel=_most_visible(found),
            usage=self._usage_of_all(fields, finish),
            model=self._model(first_of(fields, "model_version", "modelVersion")),
            finish_reason=finish,
        )

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole response."""
        fields = fields_of(response)
        finish = None
        for candidate in items_of(fields.get("candidates")):
            finish = _finish_of(fields_of(candidate)) or finish
        return Reading(
            usage=_usage_in(fields),
            model=bounded_text(first_of(fields, "model_version", "modelVersion")),
            finish_reason=finish,
        )

    def _usage_of_all(self, fields: Fields, finish: str | None) -> Usage | None:
        """Give the usage of the answers that have finished and of this one."""
        answer = first_of(fields, "response_id", "responseId")
        if self._has_finished and answer is not None and answer != self._answer:
            self._before, self._latest = _added(self._before, self._latest), None
            self._has_finished = False
        self._answer = answer or self._answer
        self._has_finished = self._has_finished or finish is not None
        usage = _usage_in(fields)
        if usage is None:
            return None
        self._latest = usage
        return usage if self._before is None else _added(self._before, usage)


def _added(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(*(total_of(*counts) for counts in zip(one, other, strict=True)))


def _usage_in(fields: Fields) -> Usage | None:
    """Give the usage of a chunk or response; thoughts and what tools gave are counted apart."""
    names = _CLIENTS_NAMES
    metadata = fields.get("usage_metadata")
    if metadata is None:
        names = _WIRE_NAMES
        metadata = fields.get("usageMetadata")
        if metadata is None:
            return None
    said = fields_of(metadata)
    read = tokens_in(said.get(names.prompt))
    tool_use = tokens_in(said.get(names.tool_use))
    if tool_use is not None:
        read = total_of(read, tool_use)
    written = tokens_in(first_of(said, names.answer, names.live_answer))
    thoughts = tokens_in(said.get(names.thoughts))
    if thoughts is not None:
        written = total_of(written, thoughts)
    return usage_or_none(Usage(read, written, thoughts, tokens_in(said.get(names.cached))))


def _are_candidates(candidates: object) -> bool:
    """Whether these are Gemini's, as opposed to something else under that name."""
    for candidate in items_of(candidates):
        fields = fields_of(candidate)
        return any(
            fields.get(name, _ABSENT) is not _ABSENT
            for name in ("content", "finish_reason", "finishReason")
        )
    return isinstance(candidates, list | tuple)


def _finish_of(candidate: Fields) -> str | None:
    reason = bounded_text(first_of(candidate, "finish_reason", "finishReason"))
    return None if reason == _UNSAID else reason or None


def _channel_of(content: Fields) -> Channel | None:
    """Give the channel of a content's parts; ``None`` if they hold nothing of the model's."""
    found: list[Channel] = []
    for part in items_of(content.get("parts")):
        said = fields_of(part)
        if is_filled(said.get("text")) or _has_data(said):
            found.append("reasoning" if said.get("thought") is True else "text")
        elif _calls(said):
            found.append("tool")
    return _most_visible(found)


def _most_visible(found: list[Channel]) -> Channel | None:
    if len(found) == 1:
        return found[0]
    return visible(text="text" in found, tool="tool" in found, reasoning="reasoning" in found)


def _has_data(part: Fields) -> bool:
    """Whether a part holds audio or an image."""
    blob = first_of(part, "inline_data", "inlineData")
    return blob is not None and any_filled(fields_of(blob), "data")


def _calls(part: Fields) -> bool:
    """Whether a part calls a function, a tool of the server, or runs code; results do not."""
    call = first_of(part, "function_call", "functionCall", "tool_call", "toolCall")
    if call is not None:
        return _is_call(call)
    code = first_of(part, "executable_code", "executableCode")
    return code is not None and any_filled(fields_of(code), "code")


def _is_call(call: object) -> bool:
    said = fields_of(call)
    if any_filled(said, "id", "name"):
        return True
    # Arguments may come whole, as a dict, or bit by bit, as a list of parts.
    arguments: object = first_of(said, "args", "partial_args", "partialArgs")
    return isinstance(arguments, dict | list) and arguments not in ({}, [])


def _read_live(fields: Fields) -> tuple[list[Channel], str | None]:
    """Give the channel that a message of a Live session has, and why the turn is over."""
    content = fields_of(first_of(fields, "server_content", "serverContent"))
    channel = _channel_of(fields_of(first_of(content, "model_turn", "modelTurn")))
    if channel is None and _has_live_call(fields):
        channel = "tool"
    reason = bounded_text(first_of(content, "turn_complete_reason", "turnCompleteReason"))
    return [] if channel is None else [channel], reason


def _has_live_call(fields: Fields) -> bool:
    call = fields_of(first_of(fields, "tool_call", "toolCall"))
    return any(_is_call(one) for one in items_of(first_of(call, "function_calls", "functionCalls")))
