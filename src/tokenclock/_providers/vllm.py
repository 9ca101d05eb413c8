"""vLLM's own engine, used in the process: ``LLM.generate()`` and ``AsyncLLM.generate()``."""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tokenclock._providers._looking import (
    Fields,
    fields_of,
    items_of,
    module_of,
    tokens_in,
    total_of,
    usage_or_none,
)
from tokenclock._reading import Reading, Usage, bounded_text

_ABSENT: Any = object()


class VLLM:
    """
    Reads request outputs: their token ids are the count.

    A request may repeat in each output all that came before (the default), give what is new, or
    give all at once at its end, and no output says which. They count as repeating for as long as
    each one starts like the one before; the first that does not brings the count up to the sum.
    So the count of an answer that is one and the same token again and again may be too low.
    """

    __slots__ = ("_before", "_given", "_latest", "_repeats", "_sum")

    def __init__(self) -> None:
        self._before: dict[Any, _Output] = {}
        self._repeats = True
        self._latest = 0  # tokens so far if outputs repeat: those of the latest of each index
        self._sum = 0  # tokens so far if they do not: those of all
        self._given = 0  # tokens in the readings so far

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether this is a request's output with completions, not with what was pooled."""
        outputs = fields.get("outputs")
        if not isinstance(outputs, list | tuple) or fields.get("request_id", _ABSENT) is _ABSENT:
            return False
        if not outputs:
            return module_of(kind) == "vllm"
        return fields_of(outputs[0]).get("token_ids", _ABSENT) is not _ABSENT

    def read(self, chunk: Any, /) -> Reading:
        """Read what is new in an output, beside the totals of its request."""
        fields = fields_of(chunk)
        index, finish = None, None
        for completion in items_of(fields.get("outputs")):
            said = fields_of(completion)
            finish = said.get("finish_reason") or finish
            if self._take(said):
                index = said.get("index")
        total = self._latest if self._repeats else self._sum
        tokens, self._given = total - self._given, total
        return Reading(
            tokens=tokens,
            choice=index if type(index) is int else 0,
            channel="text" if tokens else None,
            usage=_usage(fields, total),
            finish_reason=bounded_text(finish),
        )

    def _take(self, said: Fields) -> bool:
        """Take one completion in; whether it holds tokens."""
        ids = _ids_in(said)
        if ids is None:
            return False
        index = said.get("index")
        before = self._before.get(index)
        output = _Output(ids, said.get("text"))
        if before is None:
            self._latest += output.size
        else:
            self._latest += output.size - before.size
            self._repeats = self._repeats and before.starts(output, ids)
        self._sum += output.size
        self._before[index] = output
        return output.size > 0

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Read the whole output of one request."""
        return VLLM().read(response)._replace(tokens=0, channel=None)

    @staticmethod
    def read_responses(responses: Iterable[Any], /) -> Reading:
        """Read the outputs of all the requests that one call made."""
        usage, finish = Usage(), None
        for response in responses:
            reading = VLLM.read_response(response)
            usage = Usage(*map(total_of, usage, reading.usage or Usage()))
            finish = reading.finish_reason or finish
        return Reading(usage=usage_or_none(usage), finish_reason=finish)


class _Output:
    """What has to be kept of one output to see whether the next one repeats it."""

    __slots__ = ("_edges", "_text", "size")

    def __init__(self, ids: Sequence[Any], text: object) -> None:
        self.size = len(ids)
        self._edges = (ids[0], ids[-1]) if self.size else (None, None)
        self._text = text if isinstance(text, str) else ""

    def starts(self, later: _Output, ids: Sequence[Any]) -> bool:
        """Whether a later output, of these ids, may start with this one: its edges are there."""
        size, length = self.size, len(self._text)
        if later.size < size or len(later._text) < length:
            return False
        if size and self._edges != (ids[0], ids[size - 1]):
            return False
        text = later._text
        return not length or (text[0], text[length - 1]) == (self._text[0], self._text[-1])


def _ids_in(said: Fields) -> Sequence[Any] | None:
    ids = said.get("token_ids")
    return ids if isinstance(ids, Sequence) and not isinstance(ids, str | bytes) else None


def _usage(fields: Fields, written: int) -> Usage:
    prompt = fields.get("prompt_token_ids")
    read = len(prompt) if isinstance(prompt, Sequence) and not isinstance(prompt, str) else None
    return Usage(read, written, None, tokens_in(fields.get("num_cached_tokens")))
