"""
What the chunks and responses of the known SDKs say.

One file per family. Shapes are recognised by looking at fields and at the name of the module
that a type comes from; no SDK is ever imported. Whatever a field holds, nothing raises.
"""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tokenclock._providers._looking import Family, fields_of
from tokenclock._providers.anthropic import Anthropic
from tokenclock._providers.bedrock import Bedrock
from tokenclock._providers.cohere import Cohere
from tokenclock._providers.google import Google
from tokenclock._providers.langchain import LangChain
from tokenclock._providers.mistral import Mistral
from tokenclock._providers.ollama import Ollama
from tokenclock._providers.openai import OpenAI
from tokenclock._providers.openai_responses import OpenAIResponses
from tokenclock._providers.vllm import VLLM
from tokenclock._reading import NOTHING, Reading

# Asked in this order; the first that recognises a shape reads it.
FAMILIES: tuple[type[Family], ...] = (
    OpenAI, OpenAIResponses, Anthropic, Google, Mistral, Cohere, Bedrock, Ollama, LangChain, VLLM,
)  # fmt: skip

# Objects of these types may have any shape; one of any other type is like all of its type.
_ANY_SHAPE = (dict, SimpleNamespace, tuple)

_WITHOUT_FIELDS = frozenset({bool, bytes, float, int, str, type(None)})


class ProviderReader:
    """
    Reads the chunks of one stream, if their shape is known.

    The family of the latest chunk is asked first, an object of a type seen before is read at once.

    Args:
        families: Those to ask, in order.

    Attributes:
        saw_choices: Whether one chunk carried tokens of several choices.
    """

    __slots__ = ("_by_family", "_by_type", "_families", "_latest")

    def __init__(self, families: tuple[type[Family], ...] = FAMILIES) -> None:
        self._families = families
        self._by_family: dict[type[Family], Family] = {}
        self._by_type: dict[type, Family] = {}
        self._latest: Family | None = None

    @property
    def saw_choices(self) -> bool:
        return any(getattr(reader, "saw_choices", False) for reader in self._by_family.values())

    def read(self, chunk: Any) -> Reading | None:
        """Give the reading of a chunk, ``None`` if its shape is not known."""
        reader = self._by_type.get(type(chunk))
        try:
            if reader is not None:
                reading = reader.read(chunk)
                if reading is not NOTHING:
                    return reading
            # The first of its type, or one that seems empty: is it of another shape after all?
            reader = self._reader_for(chunk)
            return None if reader is None else reader.read(chunk)
        except Exception:  # noqa: BLE001 - odd fields are what a shape promises nothing about
            return None if reader is None else NOTHING

    def _reader_for(self, chunk: Any) -> Family | None:
        kind: type = type(chunk)
        reader = self._latest
        if reader is None or not reader.recognises(kind, fields_of(chunk)):
            family = family_of(chunk, self._families)
            if family is None:
                return None
            reader = self._by_family.get(family)
            if reader is None:
                reader = self._by_family[family] = family()
            self._latest = reader
        if not issubclass(kind, _ANY_SHAPE):
            self._by_type[kind] = reader
        return reader


def family_of(chunk: Any, families: tuple[type[Family], ...] = FAMILIES) -> type[Family] | None:
    """Give the family that a chunk or response belongs to; ``None`` if it is of no known one."""
    kind: type = type(chunk)
    if kind is tuple and LangChain.is_streamed_by_graph(chunk):
        return LangChain
    fields = fields_of(chunk)
    for family in families:
        try:
            if family.recognises(kind, fields):
                return family
        except Exception:  # noqa: BLE001, S112 - as above: then it is none of theirs
            continue
    return None


def read_response(response: Any) -> Reading | None:
    """Give usage, model and finish reason of a whole response, ``None`` if it is of no shape."""
    if type(response) in _WITHOUT_FIELDS:
        return None
    try:
        if type(response) is list:
            return _read_outputs(response)
        family = family_of(response)
        return None if family is None else family.read_response(response)
    except Exception:  # noqa: BLE001 - as above
        return None


def _read_outputs(responses: list[Any]) -> Reading | None:
    """Read what vLLM gives for many prompts at once; any other list is of no shape."""
    if not responses or not VLLM.recognises(type(responses[0]), fields_of(responses[0])):
        return None
    if not all(VLLM.recognises(type(one), fields_of(one)) for one in responses):
        return None
    return VLLM.read_responses(responses)
