"""How the families look at chunks: dicts and objects alike, and whatever a field holds."""

# What is looked at is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tokenclock._reading import MOST_TOKENS, Channel, Reading, Usage, bounded_text


class Fields(Protocol):
    """The fields of a dict or of an object."""

    def get(self, name: str, default: Any = None, /) -> Any:
        """Give what a field holds, *default* if there is no such field."""


class Family(Protocol):
    """
    The shapes of one family of SDKs; an instance reads the chunks of one stream.

    It may raise whatever it likes: who calls it lets no exception out.
    """

    def __init__(self) -> None: ...

    @staticmethod
    def recognises(kind: type, fields: Fields) -> bool:
        """Whether a chunk or a whole response of this type, with these fields, is one of ours."""
        ...

    def read(self, chunk: Any, /) -> Reading:
        """Give the reading of one chunk; it may remember what came before."""
        ...

    @staticmethod
    def read_response(response: Any, /) -> Reading:
        """Give usage, model and finish reason of a whole response, which was not streamed."""
        ...


class _Nothing:
    """The fields of what has none."""

    __slots__ = ()

    def get(self, _: str, default: Any = None, /) -> Any:
        return default


class _Slots:
    """The fields of an object with no, or an empty, ``__dict__``: slots, tuples with names."""

    __slots__ = ("_holder",)

    def __init__(self, holder: object) -> None:
        self._holder = holder

    def get(self, name: str, default: Any = None, /) -> Any:
        try:  # a __getattr__ may be any code; fields are found without it
            return object.__getattribute__(self._holder, name)
        except AttributeError:
            return default


NO_FIELDS: Fields = _Nothing()
_ABSENT: Any = object()
# object's own look-up throughout: a __getattr__ or a get() of their own may be any code.
_kept: Any = object.__getattribute__
_LISTS = (list, tuple)
_TEXTS = (str, bytes)


def fields_of(holder: Any) -> Fields:
    """
    Give the fields of a dict, or those that an object keeps, without asking its class.

    >>> fields_of({"model": "a"}).get("model")
    'a'
    """
    found: Fields
    kind = type(holder)
    if kind is dict:
        found = holder
        return found
    if holder is None:
        return NO_FIELDS
    try:
        fields = _kept(holder, "__dict__")
    except AttributeError:
        return _fields_elsewhere(holder)
    if issubclass(kind, dict):
        return _fields_elsewhere(holder)
    # pydantic keeps apart what a server sent beyond the fields that a model declares.
    # Its models have a metaclass; asking other objects in vain would cost more than all of this.
    if type(kind) is not type:
        try:
            extra = _kept(holder, "__pydantic_extra__")
        except AttributeError:
            extra = None
        if extra and type(extra) is dict:
            return {**extra, **fields}
    found = fields or _fields_elsewhere(holder)
    return found


def has_kept(holder: object, name: str) -> bool:
    """Whether a model keeps something of this name beyond the fields that it declares."""
    try:
        extra = _kept(holder, "__pydantic_extra__")
    except AttributeError:
        return False
    return bool(extra) and (type(extra) is not dict or extra.get(name) is not None)


def _fields_elsewhere(holder: Any) -> Fields:
    if issubclass(type(holder), dict):
        return dict(dict.items(holder))  # no method of its own class is called
    return NO_FIELDS if type(holder).__module__ == "builtins" else _Slots(holder)


def keeps_fields(kind: type) -> bool:
    """
    Whether ``x.__dict__`` of an object of this type has fields of its own, and runs no code.

    ``fields_of`` finds what is in there too; what is not may still be elsewhere.
    """
    has_own_look_up = type.__getattribute__(kind, "__getattribute__") is not _kept
    return not has_own_look_up and type.__getattribute__(kind, "__dictoffset__") != 0


def module_of(kind: type) -> str:
    """
    Give the package that a type comes from.

    >>> import collections.abc
    >>> module_of(collections.abc.Mapping)
    'collections'
    """
    return kind.__module__.partition(".")[0]


def is_from(kind: type, package: str) -> bool:
    """Whether a type, or one that it is made from, is defined in a package or a module of it."""
    inside = f"{package}."
    return any(f"{base.__module__}.".startswith(inside) for base in kind.__mro__)


def items_of(value: object) -> Iterable[Any]:
    """Give the items of a list or tuple; of anything else, none."""
    return value if isinstance(value, _LISTS) else ()


def is_filled(value: object) -> bool:
    """Whether this is text, or data, and there is some."""
    if type(value) is str:  # as nearly always, and told sooner
        return value != ""
    return isinstance(value, _TEXTS) and len(value) > 0


def any_filled(fields: Fields, *names: str) -> bool:
    """Whether one of these fields holds text."""
    for name in names:  # noqa: SIM110 - a generator expression costs as much as all of this
        if is_filled(fields.get(name)):
            return True
    return False


def any_present(fields: Fields, names: tuple[str, ...]) -> bool:
    """Whether one of these fields is there, whatever it holds."""
    for name in names:  # noqa: SIM110 - as above
        if fields.get(name, _ABSENT) is not _ABSENT:
            return True
    return False


def tokens_in(value: object) -> int | None:
    """
    Give a provider's count, ``None`` where it is none: absent, negative, absurd, no number.

    Some providers write whole numbers as floats.

    >>> tokens_in(12.0), tokens_in(-1), tokens_in("12"), tokens_in(True)
    (12, None, None, None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        return None
    return value


def total_of(*counts: int | None) -> int | None:
    """
    Add what was reported; ``None`` if nothing was.

    >>> total_of(3, None, 4), total_of(None, None)
    (7, None)
    """
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def usage_or_none(usage: Usage) -> Usage | None:
    """Give the usage, if it says anything."""
    return usage if any(count is not None for count in usage) else None


def visible(*, text: bool, tool: bool, reasoning: bool) -> Channel | None:
    """
    Give the most visible of the channels that carry something.

    >>> visible(text=False, tool=True, reasoning=True)
    'tool'
    """
    if text:
        return "text"
    if tool:
        return "tool"
    return "reasoning" if reasoning else None


class Words:
    """What chunks repeat again and again, cleaned once: a model's name, mostly."""

    __slots__ = ("_clean", "_raw")

    def __init__(self) -> None:
        self._raw: str | None = None
        self._clean: str | None = None

    def __call__(self, raw: object) -> str | None:
        """Give a string from outside as ``bounded_text`` does, an empty one as none."""
        if type(raw) is not str:
            return bounded_text(raw) or None
        if raw != self._raw:
            self._clean = bounded_text(raw) or None
            self._raw = raw
        return self._clean


def first_of(fields: Fields | Mapping[str, Any], *names: str) -> Any:
    """Give the first of these fields that is not ``None``."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    return None
