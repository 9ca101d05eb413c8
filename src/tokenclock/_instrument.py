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
from threading import RLock
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from tokenclock import _log
from tokenclock._attributes import AttributeValue  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._callables import MeasuredCallable, is_disabled, measured
from tokenclock._clock import Clock  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._options import STREAM_NAMES, Options, refuse_unknown
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
# What the resources of clients are made from.
_PARTS = frozenset({"AsyncAPIResource", "SyncAPIResource"})
# Views of a client that keep what a method was when they were first asked for.
_VIEWS = ("with_raw_response", "with_streaming_response")

# gen_ai.provider.name of those conventions, by what is in the name of a client's class.
_CLOUDS = (("Azure", "azure.ai.openai"), ("Bedrock", "aws.bedrock"), ("Vertex", "gcp.vertex_ai"))

_PORTS = {"http": 80, "https": 443}

_ABSENT: Any = object()

# Two threads at one client would each keep the other's method as the one to put back.
_lock = RLock()


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
    itself is undone. Methods that were taken from it before are not measured; those that are taken
    from it while it is instrumented stay measured. OpenAI's SDK imports
    its parts when they are first looked at: the first call for it takes some tenths of a second.

    A client that is instrumented already is measured once, with the newer options. A method that
    was decorated already stays as it is.

    Args:
        client: The client, or LiteLLM's module. Of OpenAI's module, ``openai.chat`` and the like
            are measured, and not the clients that are made from its classes.
        name: The name results carry; by default ``module.qualname`` of the method.
        count_tokens: As for ``observe``.
        read_chunk: As for ``observe``.
        model: The model's name, used until a chunk reports one. Without it, the call's
            ``model=`` argument is kept as ``request_model``.
        provider: The provider's name; by default that of the client's SDK, in the words of the
            GenAI semantic conventions (``"openai"``, ``"anthropic"``, ``"azure.ai.openai"``).
        operation: What is done; by default ``"chat"`` or ``"text_completion"``.
        attributes: Labels for every call, as for ``observe``. Where the client has a ``base_url``,
            its host and port as they are now are labels too, ``server.address`` and
            ``server.port`` in the words of the same conventions, unless they are given here.
        sinks: Callables that take each finished result, besides the global ones.
        clock: Gives monotonic nanoseconds as ``int``; by default ``time.perf_counter_ns``.
        **unknown: Refused: there are no other options.

    Returns:
        The same *client*.

    Raises:
        NotMeasurableError: If *client* has none of these methods, or is a class, or a part of a
            client.
        InvalidOptionError: If an option is unknown or of the wrong kind.

    .. versionadded:: 0.1.0
    """
    refuse_unknown(unknown, where="instrument", names=STREAM_NAMES)
    options = Options(
        name=name, count_tokens=count_tokens, read_chunk=read_chunk, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    )  # fmt: skip
    _check_client(client)
    settings: dict[str, Any] = {
        "name": name, "count_tokens": count_tokens, "read_chunk": read_chunk, "model": model,
        "provider": provider or _provider_of(client), "attributes": options.attributes,
        "sinks": [entry.sink for entry in options.sinks], "clock": clock,
    }  # fmt: skip
    labels = {**_server_of(client), **options.attributes}
    labelled: dict[str, Any] = {**settings, "attributes": labels}
    by_operation = {
        one: Options(operation=operation or one, **labelled)
        for one in {method.operation for method in _methods_of(client)}
    }
    with _lock:
        uninstrument(client)  # which also lets go of views that keep the methods as they are now
        if not is_disabled():
            try:
                _put_in(client, by_operation)
                _follow_copies(client, {**settings, "operation": operation})
            except BaseException:  # half a client measured is worse than none
                uninstrument(client)
                raise
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
    if isinstance(client, type):
        return client
    with _lock:
        for holder, name, _ in _methods_of(client):
            _put_back(holder, name)
        for name in _COPIES:
            _put_back(client, name)
        for path, _, _ in _METHODS:
            _forget_views_along(client, path)
    return client


def _check_client(client: Any) -> None:
    """Refuse what is no client, before anything is changed."""
    kind = _log.type_name(client if isinstance(client, type) else type(client))
    if isinstance(client, type):
        msg = (
            f"Cannot instrument the class {kind!r}: only one client is measured at a time. "
            f"Make one first: instrument({client.__name__}(...))."
        )
        raise NotMeasurableError(msg)
    is_part = any(base.__name__ in _PARTS for base in type(client).__mro__)
    if is_part or not any(_methods_of(client)):
        none = "it has none of the methods that generate, such as chat.completions.create"
        why = "it is only a part of a client" if is_part else none
        msg = (
            f"Cannot instrument a {kind!r}: {why}. "
            "Pass the client itself, or use observe() on the method."
        )
        raise NotMeasurableError(msg)


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
    return getattr(_twin_of(method.holder) if is_resource else method.holder, method.name)


def _twin_of(holder: Any) -> Any:
    """Give an object that is *holder* in all but one thing: our methods are not found in it."""
    try:
        twin = copy.copy(holder)
        # What a method keeps in its object is kept there; so is what others replace in it.
        object.__setattr__(twin, "__dict__", _own(holder))
        object.__setattr__(twin, "__class__", _twin_class(type(holder)))
    except Exception:  # noqa: BLE001 - it cannot be copied, or its class not be derived from
        return holder
    return twin


def _twin_class(kind: type) -> type:
    made = _twin_classes.get(kind)
    if made is None:
        names = {name for _, names, _ in _METHODS for name in names.split() if hasattr(kind, name)}
        namespace: dict[str, Any] = {name: _Bare(name) for name in names}
        namespace |= {
            "__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__, "__deepcopy__": _deepcopied,
        }  # fmt: skip
        made = _twin_classes[kind] = type(kind.__name__, (kind,), namespace)
    return made


_twin_classes: WeakKeyDictionary[type, type] = WeakKeyDictionary()


class _Bare:
    """A method of a twin: the one that its holder would have, were it not for ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, twin: Any, owner: type) -> Any:
        found = _own(twin).get(self._name, _ABSENT)
        before = _before(found)
        found = found if before is None else before
        if found is _ABSENT or _measures(found, twin):
            return getattr(super(owner, owner if twin is None else twin), self._name)
        return found  # somebody's own

    def __set__(self, twin: Any, value: object) -> None:
        _own(twin)[self._name] = value

    def __delete__(self, twin: Any) -> None:
        _own(twin).pop(self._name, None)


def _measures(found: Any, twin: Any) -> bool:
    """Whether this is ours around a method of a twin, as in a deep copy of a client."""
    is_measured = issubclass(type(found), MeasuredCallable)
    return is_measured and type(getattr(found, "__self__", None)) is type(twin)


def _deepcopied(twin: Any, memo: dict[int, Any]) -> Any:
    """Give a deep copy; the dict that it shares may itself be half copied by now."""
    copied = memo[id(twin)] = copy.copy(twin)
    object.__setattr__(copied, "__dict__", copy.deepcopy(_own(twin), memo))
    return copied


def _own(holder: Any) -> dict[str, Any]:
    """Give the attributes that an object has of its own, apart from its class's."""
    own: dict[str, Any] = getattr(holder, "__dict__", {})
    return own


def _replace(holder: Any, name: str, ours: Any) -> None:
    ours._self_before = _own(holder).get(name, _ABSENT)  # noqa: SLF001 - our own
    setattr(holder, name, ours)


def _put_back(holder: Any, name: str) -> None:
    """Undo ``_replace``, unless somebody else has replaced it since."""
    before = _before(_own(holder).get(name))
    if before is _ABSENT:
        del _own(holder)[name]
    elif before is not None:
        setattr(holder, name, before)


def _before(found: Any) -> Any:
    """Give what an object had in the place of what we put there; ``None`` if this is not ours."""
    is_of_our_kind = issubclass(type(found), MeasuredCallable | FunctionType)
    return getattr(found, "_self_before", None) if is_of_our_kind else None


def _forget_views_along(client: Any, path: str) -> None:
    """Let the raw views on a path be made anew: they keep the methods that there were."""
    parts = path.split(".") if path else []
    for depth in range(len(parts) + 1):
        holder = _at(client, ".".join(parts[:depth]))
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


def _server_of(client: Any) -> dict[str, AttributeValue]:
    """Give where a client sends its requests, in the words of the conventions, if it says so."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - importing tokenclock need not pay for it

    try:
        url = urlsplit(str(getattr(client, "base_url", "")))
        port = url.port or _PORTS.get(url.scheme)
    except ValueError:  # no URL, or no port in it
        return {}
    if not url.hostname or port is None:
        return {}
    return {"server.address": url.hostname, "server.port": port}
