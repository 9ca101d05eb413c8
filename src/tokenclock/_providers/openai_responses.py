"""OpenAI's Responses API, and the transcriptions that stream like it."""

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import (
    Fields,
    any_filled,
    any_present,
    fields_of,
    first_of,
    is_filled,
    module_of,
    tokens_in,
    usage_or_none,
)
from tokenclock._reading import NOTHING, Reading, Usage, bounded_text

_TEXT = Reading(tokens=1, channel="text")
_THOUGHT = Reading(tokens=1, channel="reasoning")
_TOOL = Reading(tokens=1, channel="tool")

# Events whose delta a model generated; the output of a tool is none of those. Some are not in
# the client's list, but on the wire, and the Realtime API has names of its own.
_DELTAS = {
    "response.output_text.delta": _TEXT,
    "response.text.delta": _TEXT,
    "response.refusal.delta": _TEXT,
    "response.audio.delta": _TEXT,
    "response.audio.transcript.delta": _TEXT,
    "response.audio_transcript.delta": _TEXT,
    "response.output_audio.delta": _TEXT,
    "response.output_audio_transcript.delta": _TEXT,
    "transcript.text.delta": _TEXT,
    "response.reasoning.delta": _THOUGHT,
    "response.reasoning_summary.delta": _THOUGHT,
    "response.reasoning_summary_text.delta": _THOUGHT,
    "response.reasoning_text.delta": _THOUGHT,
    "response.apply_patch_call_operation_diff.delta": _TOOL,
    "response.code_interpreter_call_code.delta": _TOOL,
    "response.custom_tool_call_input.delta": _TOOL,
    "response.function_call_arguments.delta": _TOOL,
    "response.mcp_call_arguments.delta": _TOOL,
    "response.shell_call_command.delta": _TOOL,
}
_WHILE_IT_RUNS = ("in_progress", "queued", "")
# Items that are calls though their type does not end like that.
_CALLS = frozenset({"mcp_approval_request", "program"})
# Each event has one of the former beside its type, or a response in it, which has the latter.
_SIGNS_OF_AN_EVENT = ("sequence_number", "response_id", "item", "item_id", "output_index")
_SIGNS_OF_A_RESPONSE = ("output", "status", "usage")


class OpenAIResponses:
    """Reads events of type ``response.*``: one token for each delta of text, thought or call."""

    __slots__ = ()

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is one of the events, or a whole response."""
        event = fields.get("type")
        if isinstance(event, str):
            if event in _DELTAS or event.startswith("transcript.text."):
                return True
            if event.startswith("response."):
                return module_of(kind) == "openai" or _is_event(fields)
            if event in {"error", "keepalive"}:
                return fields.get("sequence_number") is not None or module_of(kind) == "openai"
        return fields.get("object") == "response" and any_present(fields, ("output",))

    def read(self, chunk: Any, /) -> Reading:
        """Read one event."""
        fields = fields_of(chunk)
        event = fields.get("type")
        delta = _DELTAS.get(event) if isinstance(event, str) else None
        if delta is not None:
            return delta if is_filled(fields.get("delta")) else NOTHING
        if event == "response.output_item.added":
            return _read_item(fields_of(fields.get("item")))
        if event == "transcript.text.done":
            return Reading(usage=_usage(fields.get("usage")))
        response = fields.get("response")
        return NOTHING if response is None else self.read_response(response)

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a response, whole or as far as it is; it has ended once it says how."""
        fields = fields_of(response)
        finish = bounded_text(fields_of(fields.get("incomplete_details")).get("reason"))
        if not finish:
            finish = bounded_text(fields.get("status"))
        return Reading(
            usage=_usage(fields.get("usage")),
            model=bounded_text(fields.get("model")) or None,
            finish_reason=None if finish in _WHILE_IT_RUNS else finish,
        )


def _is_event(fields: Fields) -> bool:
    """Whether this is one of the events, as opposed to another's of a name like theirs."""
    if any_present(fields, _SIGNS_OF_AN_EVENT):
        return True
    return any_present(fields_of(fields.get("response")), _SIGNS_OF_A_RESPONSE)


def _read_item(item: Fields) -> Reading:
    """Read the start of an output item: that of a call names what is called."""
    kind = item.get("type")
    if not isinstance(kind, str) or not (kind.endswith("_call") or kind in _CALLS):
        return NOTHING
    return _TOOL if any_filled(item, "id", "call_id", "name") else NOTHING


def _usage(usage: object) -> Usage | None:
    if usage is None:
        return None
    said = fields_of(usage)
    read_details = first_of(said, "input_tokens_details", "input_token_details")
    return usage_or_none(
        Usage(
            tokens_in(said.get("input_tokens")),
            tokens_in(said.get("output_tokens")),
            tokens_in(fields_of(said.get("output_tokens_details")).get("reasoning_tokens")),
            tokens_in(fields_of(read_details).get("cached_tokens")),
        )
    )
