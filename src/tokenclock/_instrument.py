"""Measuring a whole client in one line: every generating method of one instance."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple, NoReturn, TypeVar

from tokenclock import _log
from tokenclock._attributes import AttributeValue  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._callables import MeasuredCallable, is_disabled, measured
from tokenclock._clock import Clock  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._options import Options, refuse_unknown
from tokenclock._reading import Reading  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._sinks import Sink  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock.errors import NotMeasurableError

ClientT = TypeVar("ClientT")

# Where clients keep the methods that generate, and what these do in the words of the GenAI
# semantic conventions (gen_ai.operation.name).
_METHODS: tuple[tuple[str, str, str], ...] = (
    ("chat.completions", "create parse stream", "chat"),
    ("completions", "create", "text_completion"),
    ("responses", "create parse stream", "chat"),
    ("messages", "create parse stream", "chat"),
    ("beta.chat.completions", "create parse stream", "chat"),
    ("beta.messages", "create parse stream", "chat"),
    ("", "acompletion aresponses completion responses", "chat"),
    ("", "atext_completion text_completion", "text_completion"),
)
_COPIES = ("copy", "with_options")
# Views of a client that keep what a method was when they were first asked for.
_VIEWS = ("with_raw_response", "with_streaming_response")

# gen_ai.provider.name of those conventions, by what is in the name of a client's class.
_CLOUDS = (("Azure", "azure.ai.openai"), ("Bedrock", "aws.bedrock"), ("Vertex", "gcp.vertex_ai"))

_ABSENT: Any = object()


class _Method(NamedTuple):
    """One generating method: who has it, under which name, and what it does."""

    holder: Any
    name: str
    operation: str


def instrument(
    client: ClientT,
    /,
    *,
    name: str | None = None,
    count_tokens: Callable[[Any], int] | None = None,
    read_chunk: Callable[[Any], Reading] | None = None,
    model: str | None = None,
    provider: str | None = None,
    operation: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
    **unknown: NoReturn,
) -> ClientT:
    """
    Measure every call of *client* that generates, as ``observe`` does.

    The methods ``create``, ``parse`` and ``stream`` of ``chat.completions``, ``completions``,
    ``responses``, ``messages`` and their ``beta`` twins, and ``completion``, ``acompletion`` and
    the like, where the client has them: OpenAI's and Anthropic's clients, sync and async, clients
    built like them, LiteLLM. Only this one object changes, no class and no other client. Copies
    that it makes from now on (``copy()``, ``with_options()``) are measured too, until the copy
    itself is undone. Methods that were taken from it before are not measured. OpenAI's SDK imports
    its parts when they are first looked at: the first call for it takes some tenths of a second.

    A client that is instrumented already is measured once, with the newer options. A method that
    was decorated already stays as it is.

    Args:
        client: The client, or LiteLLM's module.
        name: The name results carry; by default ``module.qualname`` of the method.
        count_tokens: As for ``observe``.
        read_chunk: As for ``observe``.
        model: The model's name, used until a chunk reports one. Without it, the call's
            ``model=`` argument is kept as ``request_model``.
        provider: The provider's name; by default that of the client's SDK, in the words of the
            GenAI semantic conventions (``"openai"``, ``"anthropic"``, ``"azure.ai.openai"``).
        operation: What is done; by default ``"chat"`` or ``"text_completion"``.
        attributes: Labels for every call, as for ``observe``.
        sinks: Callables that take each finished result, besides the global ones.
        clock: Gives monotonic nanoseconds as ``int``; by default ``time.perf_counter_ns``.
        **unknown: Refused: there are no other options.

    Returns:
        The same *client*.

    Raises:
        NotMeasurableError: If *client* has none of these methods.
        InvalidOptionError: If an option is unknown or of the wrong kind.

    .. versionadded:: 0.1.0
    """
    refuse_unknown(unknown, where="instrument")
    settings: dict[str, Any] = {
        "name": name, "count_tokens": count_tokens, "read_chunk": read_chunk, "model": model,
        "provider": provider or _provider_of(client), "attributes": attributes,
        "sinks": tuple(sinks), "clock": clock,
    }  # fmt: skip
    by_operation = {
        one: Options(operation=operation or one, **settings)
        for one in {method.operation for method in _methods_of(client)}
    }
    if not by_operation:
        msg = (
            f"Cannot instrument a {_log.type_name(type(client))!r}: it has none of the methods "
            "that generate, such as chat.completions.create or messages.create. "
            "Pass the client itself, or use observe() on the method."
        )
        raise NotMeasurableError(msg)
    uninstrument(client)  # which also lets go of views that keep the methods as they are now
    if not is_disabled():
        _put_in(client, by_operation)
        _follow_copies(client, {**settings, "operation": operation})
    return client


def uninstrument(client: ClientT, /) -> ClientT:
    """
    Undo what ``instrument`` did to *client*; one that is not instrumented stays as it is.

    Calls that are under way are still measured to their end, and copies stay measured.

    Args:
        client: The client.

    Returns:
        The same *client*.

    .. versionadded:: 0.1.0
    """
    for holder, name, _ in _methods_of(client):
        _put_back(holder, name)
        _forget_views(holder)
    for name in _COPIES:
        _put_back(client, name)
    _forget_views(client)
    return client


def _methods_of(client: Any) -> Iterator[_Method]:
    """Give the generating methods that a client has."""
    for path, names, operation in _METHODS:
        holder = _at(client, path)
        if holder is not _at(client, path):  # made anew each time: what is put in it is lost
            continue
        for name in names.split():
            if callable(getattr(holder, name, None)) and hasattr(holder, "__dict__"):
                yield _Method(holder, name, operation)


def _at(client: Any, path: str) -> Any:
    """Give what stands at a path of attributes, ``None`` if nothing does."""
    for part in path.split(".") if path else ():
        client = getattr(client, part, None)
    return client


def _put_in(client: Any, by_operation: Mapping[str, Options]) -> None:
    """Put measured methods in the place of a client's own."""
    bare = [(method, _bare(client, method)) for method in _methods_of(client)]
    for (holder, name, operation), method in bare:
        if not isinstance(method, MeasuredCallable):  # else the user has decorated it
            _replace(holder, name, measured(method, by_operation[operation], observed=True))


def _bare(client: Any, method: _Method) -> Any:
    """
    Give a method whose own calls of its object's methods are not measured.

    OpenAI's ``chat.completions.stream`` calls ``self.create``: one call, not two.
    """
    is_resource = method.holder is not client and not isinstance(method.holder, ModuleType)
    holder = copy.copy(method.holder) if is_resource else method.holder
    return getattr(holder, method.name)


def _own(holder: Any) -> dict[str, Any]:
    """Give the attributes that an object has of its own, apart from its class's."""
    own: dict[str, Any] = getattr(holder, "__dict__", {})
    return own


def _replace(holder: Any, name: str, ours: Any) -> None:
    ours._self_before = _own(holder).get(name, _ABSENT)  # noqa: SLF001 - our own
    setattr(holder, name, ours)


def _put_back(holder: Any, name: str) -> None:
    """Undo ``_replace``, unless somebody else has replaced it since."""
    before = getattr(_own(holder).get(name), "_self_before", None)
    if before is _ABSENT:
        delattr(holder, name)
    elif before is not None:
        setattr(holder, name, before)


def _forget_views(holder: Any) -> None:
    """Let the raw views of a resource be made anew: they keep the methods that it had."""
    for view in _VIEWS:
        _own(holder).pop(view, None)


def _follow_copies(client: Any, settings: Mapping[str, Any]) -> None:
    """Instrument what the client's ``copy()`` gives, too."""
    for name in _COPIES:
        method = getattr(client, name, None)
        if inspect.ismethod(method):
            _replace(client, name, _instrumenting(method, settings))


def _instrumenting(method: Callable[..., Any], settings: Mapping[str, Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def copied(*args: Any, **kwargs: Any) -> Any:
        return instrument(method(*args, **kwargs), **settings)

    return copied


def _provider_of(client: Any) -> str:
    """Name the provider of an SDK's client as the GenAI semantic conventions do."""
    kind: type = type(client)
    if isinstance(client, ModuleType):
        return client.__name__.partition(".")[0]
    for word, provider in _CLOUDS:
        if word in kind.__name__:
            return provider
    return kind.__module__.partition(".")[0]
