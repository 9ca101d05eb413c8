"""
OpenAI's chat completions and completions, and all who speak like them.

Among them Azure, Groq, DeepSeek, Together, vLLM, SGLang, llama.cpp and LiteLLM; llama-cpp-python
and xllamacpp give the same as dicts.
"""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from tokenclock._providers._looking import (
    Fields,
    Words,
    any_filled,
    any_present,
    fields_of,
    first_of,
    has_kept,
    is_filled,
    items_of,
    keeps_fields,
    module_of,
    tokens_in,
    usage_or_none,
)
from tokenclock._reading import NOTHING, Channel, Reading, Usage, bounded_text

# The client's chat.completions.stream() gives each raw chunk in an event of type "chunk", and the
# same again in events that are easier to use, of these types.
_RAW_EVENT = "chunk"
_TYPED_EVENTS = ("content.", "refusal.", "tool_calls.", "logprobs.")

# A chunk or response, and a choice in one, always have some of these beside what they carry.
_SIGNS_OF_A_FRAME = ("object", "created", "usage", "prompt_filter_results")
_SIGNS_OF_A_CHOICE = ("delta", "finish_reason", "logprobs")

_ABSENT: Any = object()


class OpenAI:
    """
    Reads chunks with ``choices``: one token for each choice that says, thinks or calls something.

    Attributes:
        saw_choices: Whether one chunk carried tokens of several choices.
    """

    __slots__ = ("_alike", "_model", "_usual", "_usual_said", "saw_choices")

    def __init__(self) -> None:
        self._alike: Alike | None = None  # not None once there was a token
        self._model = Words()
        # The latest reading that said nothing else; most chunks of a stream are alike.
        self._usual = Reading()
        self._usual_said: tuple[int, int, Channel | None] = (0, 0, None)
        self.saw_choices = False

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether there are choices, or this is an event of the client's streaming helper."""
        choices = fields.get("choices", _ABSENT)
        if choices is not _ABSENT:
            return _are_choices(choices, fields)
        event = fields.get("type")
        if event is None:  # a server that fails in the middle says so in a frame of its own
            return is_filled(fields_of(fields.get("error")).get("message"))
        if not isinstance(event, str) or module_of(kind) != "openai":
            return False
        return event == _RAW_EVENT or event.startswith(_TYPED_EVENTS)

    def read(self, chunk: Any, /) -> Reading:
        """Read a chunk, or an event of the helper: its raw chunk counts, its typed twin not."""
        alike = self._alike
        if alike is not None and type(chunk) is alike.kind and alike.fits(chunk):
            return alike.reading
        fields = fields_of(chunk)
        choices = fields.get("choices", _ABSENT)
        if choices is _ABSENT:
            if fields.get("type") != _RAW_EVENT:
                return NOTHING
            fields = fields_of(fields.get("chunk"))
            choices = fields.get("choices")
        tokens, index, finish = 0, 0, None
        channel: Channel | None = None
        for choice in items_of(choices):
            said = fields_of(choice)
            reason = said.get("finish_reason")
            if reason is not None:
                finish = bounded_text(reason) or finish
            found = _channel_of(said)
            if found is None:
                continue
            if not tokens or _is_more_visible(found, channel):
                channel = found
            tokens += 1
            place = said.get("index")
            index = place if type(place) is int else 0
        if tokens > 1:
            self.saw_choices = True
        reading = self._reading(fields, (tokens, index, channel), finish)
        if alike is None and tokens == 1:
            self._alike = Alike(chunk, reading)
        return reading

    def _reading(
        self, fields: Fields, said: tuple[int, int, Channel | None], finish: str | None
    ) -> Reading:
        model = self._model(fields.get("model"))
        usage = usage_in(fields)
        is_usual = usage is None and finish is None
        if is_usual and said == self._usual_said and model == self._usual.model:
            return self._usual
        tokens, choice, channel = said
        reading = Reading(tokens, None, choice, channel, usage, model, finish)
        if is_usual:
            self._usual, self._usual_said = reading, said
        return reading

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read a whole completion."""
        fields = fields_of(response)
        finish = None
        for choice in items_of(fields.get("choices")):
            finish = bounded_text(fields_of(choice).get("finish_reason")) or finish
        return Reading(
            usage=usage_in(fields),
            model=bounded_text(fields.get("model")) or None,
            finish_reason=finish,
        )


class Alike:
    """
    Tells the chunks that differ from an earlier one in their text and in nothing else.

    Most chunks of a stream are such, and telling so takes a third of the time that reading takes.

    Args:
        chunk: One that carries one token.
        reading: What it says, and what those that fit say.

    Attributes:
        kind: The type of those that may fit; ``None`` if none does.
    """

    __slots__ = ("_choice", "_delta", "_index", "_model", "kind", "reading")

    def __init__(self, chunk: Any, reading: Reading) -> None:
        fields = fields_of(chunk)
        choices = fields.get("choices")
        choice = choices[0] if type(choices) is list else None
        delta = fields_of(choice).get("delta")
        kinds = (type(chunk), type(choice), type(delta))
        says_text = reading == (1, None, reading.choice, "text", None, reading.model, None)
        self.kind = kinds[0] if says_text and all(map(keeps_fields, kinds)) else None
        self._choice, self._delta = kinds[1:]
        self._index, self._model = reading.choice, fields.get("model")
        self.reading = reading

    def fits(self, chunk: Any) -> bool:
        """Whether a chunk of this kind is such; what is odd is not."""
        fields = chunk.__dict__
        choices, model = fields.get("choices"), fields.get("model")
        if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not self._choice:
            return False
        if type(model) is not str or model != self._model or fields.get("usage", 0) is not None:
            return False
        if fields.get("x_groq") is not None or has_kept(chunk, "x_groq"):
            return False
        choice = choices[0].__dict__
        delta = choice.get("delta")
        if type(delta) is not self._delta or choice.get("index") is not self._index:
            return False
        content = delta.__dict__.get("content")
        return type(content) is str and content != "" and choice.get("finish_reason", 0) is None


def usage_in(fields: Fields) -> Usage | None:
    """Give the usage of a chunk or response; Groq puts it elsewhere while it streams."""
    usage = fields.get("usage")
    if usage is None:
        groq = fields.get("x_groq")
        if groq is None:
            return None
        usage = fields_of(groq).get("usage")
    return None if usage is None else _usage(fields_of(usage))


def _usage(said: Fields) -> Usage | None:
    read = tokens_in(said.get("prompt_tokens"))
    written = tokens_in(said.get("completion_tokens"))
    if read == written == 0:  # some servers fill every frame with zeros until they know
        return None
    details = fields_of(said.get("completion_tokens_details"))
    reasoning = tokens_in(first_of(details, "reasoning_tokens"))
    if reasoning is None:
        reasoning = tokens_in(said.get("reasoning_tokens"))
    cached = tokens_in(fields_of(said.get("prompt_tokens_details")).get("cached_tokens"))
    if cached is None:  # what DeepSeek, Moonshot and Mistral call it
        cached = tokens_in(
            first_of(said, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
        )
    # xAI leaves reasoning out of the completion; its total tells.
    if reasoning and read is not None and written is not None:
        total = tokens_in(said.get("total_tokens"))
        if total == read + written + reasoning:
            written += reasoning
    return usage_or_none(Usage(read, written, reasoning, cached))


def _are_choices(choices: Any, holder: Fields) -> bool:
    """Whether these are choices of a model, as opposed to something else under that name."""
    if not items_of(choices):
        return not choices and any_present(holder, _SIGNS_OF_A_FRAME)
    first = fields_of(choices[0])
    if any_present(first, _SIGNS_OF_A_CHOICE):
        return True
    if first.get("text", _ABSENT) is not _ABSENT:
        return any_present(holder, _SIGNS_OF_A_FRAME)
    message = first.get("message")
    return message is not None and not isinstance(message, str)


def _channel_of(choice: Fields) -> Channel | None:
    """Give the channel of what one choice says in this chunk; ``None`` if it says nothing."""
    delta = choice.get("delta")
    if delta is None:
        delta = choice.get("message")
    if delta is None:
        return "text" if is_filled(choice.get("text")) else None
    said = fields_of(delta)
    content = said.get("content")
    if is_filled(content):
        return "text"
    if is_filled(said.get("refusal")) or _is_heard(said) or _has_text(content):
        return "text"
    if _calls(said):
        return "tool"
    return "reasoning" if _thinks(said, content) else None


def _has_text(content: object) -> bool:
    """Whether a list of content parts has text in it."""
    for part in items_of(content):  # noqa: SIM110 - a generator expression costs more than this
        if is_filled(fields_of(part).get("text")):
            return True
    return False


def _thinks(said: Fields, content: object) -> bool:
    """Whether there is reasoning; Mistral has it in the content, in parts of parts."""
    if any_filled(said, "reasoning_content", "reasoning"):
        return True
    for part in items_of(content):
        thinking = fields_of(part).get("thinking")
        if is_filled(thinking) or _has_text(thinking):
            return True
    return _has_text(said.get("reasoning_details"))


def _is_heard(said: Fields) -> bool:
    audio = said.get("audio")
    return audio is not None and any_filled(fields_of(audio), "data", "transcript")


def _calls(said: Fields) -> bool:
    """Whether a tool is called: by an id, a name or arguments; the frame may be empty."""
    for call in items_of(said.get("tool_calls")):
        fields = fields_of(call)
        called = fields.get("id")
        if is_filled(called) and called != "null":  # what Mistral's client says for none
            return True
        for part in ("function", "custom"):
            if any_filled(fields_of(fields.get(part)), "name", "arguments", "input"):
                return True
    legacy = said.get("function_call")
    return legacy is not None and any_filled(fields_of(legacy), "name", "arguments")


_VISIBILITY = {None: 0, "reasoning": 1, "tool": 2, "text": 3}


def _is_more_visible(one: Channel | None, other: Channel | None) -> bool:
    return _VISIBILITY[one] > _VISIBILITY[other]
