"""
Mistral's client: completions, conversations with agents, responses, speech.

Its events wrap what they carry. Inside is what OpenAI's families read, or, in conversations,
something that is easily said in their words. Mistral's plain chunks are read as OpenAI's.
"""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import Fields, fields_of, items_of, module_of
from tokenclock._providers.openai import OpenAI, usage_in
from tokenclock._providers.openai_responses import OpenAIResponses
from tokenclock._reading import Reading, bounded_text

_ABSENT: Any = object()

# Events whose text, thought or sound a model generated, and the field that holds it.
_CONTENTS = {
    "message.output.delta": "content",
    "transcription.text.delta": "text",
    "speech.audio.delta": "audio_data",
}
_CALLS = frozenset({"function.call.delta", "tool.execution.delta", "tool.execution.started"})
_OTHERS = frozenset(
    {
        "agent.handoff.done", "agent.handoff.started", "conversation.response.done",
        "conversation.response.error", "conversation.response.started", "speech.audio.done",
        "tool.execution.done", "transcription.done", "transcription.language",
        "transcription.segment",
    }
)  # fmt: skip
_CONVERSATION = "conversation.response"


class Mistral:
    """Reads the events of Mistral's client: one token for each delta of text, thought or call."""

    __slots__ = ("_chunks", "_responses")

    def __init__(self) -> None:
        self._chunks = OpenAI()
        self._responses = OpenAIResponses()

    @property
    def saw_choices(self) -> bool:
        """Whether one chunk carried tokens of several choices."""
        return self._chunks.saw_choices

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is an event around data, the data of one, or a whole conversation."""
        data = fields.get("data", _ABSENT)
        if data is _ABSENT:
            return _is_known(fields.get("type")) or fields.get("object") == _CONVERSATION
        said = fields_of(data)
        has_choices = said.get("choices", _ABSENT) is not _ABSENT
        if module_of(kind) == "mistralai":
            # The client gives a type also to what it does not know: "UNKNOWN".
            return has_choices or isinstance(said.get("type"), str)
        return _is_known(said.get("type")) or (has_choices and OpenAI.recognises(type(data), said))

    def read(self, chunk: Any, /) -> Reading:
        """Read one event."""
        data = fields_of(chunk).get("data", _ABSENT)
        if data is _ABSENT:
            data = chunk
        said = fields_of(data)
        if said.get("choices", _ABSENT) is not _ABSENT:
            return self._chunks.read(data)
        kind = said.get("type")
        if not _is_known(kind):
            return self._responses.read(data)
        in_openais_words = {
            "choices": [{"delta": _delta_of(kind, said)}],
            "model": said.get("model"),
            "usage": said.get("usage"),
        }
        return self._chunks.read(in_openais_words)

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read the whole answer of a conversation: the model is that of its latest entry."""
        fields = fields_of(response)
        model = None
        for output in items_of(fields.get("outputs")):
            model = bounded_text(fields_of(output).get("model")) or model
        return Reading(usage=usage_in(fields), model=model)


def _is_known(kind: object) -> bool:
    return isinstance(kind, str) and (kind in _CONTENTS or kind in _CALLS or kind in _OTHERS)


def _delta_of(kind: str, said: Fields) -> dict[str, Any]:
    """Give what an event carries as a delta of OpenAI's."""
    if kind in _CALLS:
        return {"tool_calls": [{"function": said}]}
    name = _CONTENTS.get(kind)
    if name is None:
        return {}
    content = said.get(name)
    return {"content": content if isinstance(content, str | list) else [content]}
