"""Measured streams: the objects that callers get in place of the streams of their functions."""

# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from inspect import isfunction
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tokenclock._compiled import compiled_bases, compiled_names, is_compilable
from tokenclock._driver import speed, takes
from tokenclock._hands import hands_for
from tokenclock._hooks import astepped, stepped
from tokenclock._proxy import INHERITED, ClassesByOriginal, Proxy, StandIn, bound, offers
from tokenclock._runs import steps_on_stack
from tokenclock._tape import Tape

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult
    from tokenclock._runs import Run

T_co = TypeVar("T_co", covariant=True)
SendT_contra = TypeVar("SendT_contra", contravariant=True)
ReturnT_co = TypeVar("ReturnT_co", covariant=True)


class _Addition:
    """
    What we add to a stream: a property, or a method.

    Under ``observe`` an attribute of the original with that name wins.
    """

    def __init__(self, name: str, function: Callable[..., Any], *, is_property: bool) -> None:
        self.__doc__ = function.__doc__
        self._name = name
        self._function = function
        self._is_property = is_property

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if instance._tc_observed:  # noqa: SLF001 - our own
            try:
                return getattr(instance._tc_original, self._name)  # noqa: SLF001 - our own
            except AttributeError:
                pass
        method = self._function.__get__(instance, owner)
        return method() if self._is_property else method


def _view(self: Any, given: object) -> Any:
    """Measure in the same run what the original's ``__iter__`` or ``__aiter__`` gave."""
    if given is self._tc_original:
        return self
    owner = self if self._tc_owner is None else self._tc_owner
    return stream_around(given, self._tc_run, observed=self._tc_observed, owner=owner)


def _iter(self: Any) -> Any:
    original = self._tc_original
    try:
        given = stepped(self._tc_run.scopes, type(original).__iter__)(original)
    except BaseException as error:
        if not offers(type(original), "__next__"):
            self._tc_run.raised(error, None)
        raise
    return _view(self, given)


def _aiter(self: Any) -> Any:
    original = self._tc_original
    try:
        given = stepped(self._tc_run.scopes, type(original).__aiter__)(original)
    except BaseException as error:
        if not offers(type(original), "__anext__"):
            self._tc_run.raised(error, None)
        raise
    return _view(self, given)


def _collect(self: Any) -> Any:
    """
    Read what is left of the stream, and give the result with the chunks as ``value``.

    What the stream raises passes on as it is; ``metrics`` has the numbers then.
    """
    if offers(type(self), "__iter__"):
        chunks = [chunk for chunk in self]  # noqa: C416 - list() would ask for a length first
    else:
        chunks = []
        while True:
            try:
                chunks.append(next(self))
            except StopIteration:
                break
    return self._tc_run.result_with(chunks)


async def _acollect(self: Any) -> Any:
    """
    Read what is left of the stream, and give the result with the chunks as ``value``.

    To be awaited. What the stream raises passes on as it is; ``metrics`` has the numbers then.
    """
    if offers(type(self), "__aiter__"):
        chunks = [chunk async for chunk in self]
    else:
        chunks = []
        while True:
            try:
                chunks.append(await type(self).__anext__(self))
            except StopAsyncIteration:
                break
    return self._tc_run.result_with(chunks)


_acollect.__name__ = "acollect"
_acollect.__qualname__ = "AsyncMeasuredStream.acollect"  # a warning of one not awaited says so


def _metrics(self: Any) -> Any:
    """
    Give what was observed: the finished result, or a snapshot while the stream goes on.

    Its ``value`` is ``None``; ``collect()`` gives a result with the chunks.
    """
    return self._tc_run.result()


class MeasuredStream(Proxy, Generic[T_co]):
    """
    An iterator that is measured while it is read.

    A transparent stand-in for the function's own stream: it yields the very chunks, has its
    attributes, and offers only the protocols that it offers.

    .. versionadded:: 0.1.0
    """

    __slots__ = ()

    def _tc_additions(self) -> tuple[str, ...]:
        return ("collect", "metrics", *super()._tc_additions())

    if TYPE_CHECKING:

        @property
        def metrics(self) -> MetricsResult[None]:  # pyright: ignore[reportReturnType]
            """
            What was observed: the finished result, or a snapshot while the stream goes on.

            Its ``value`` is ``None``; ``collect()`` gives a result with the chunks.
            """

        def collect(self) -> MetricsResult[list[T_co]]:  # pyright: ignore[reportReturnType]
            """
            Read what is left of the stream, and give the result with the chunks as ``value``.

            Raises:
                BaseException: Whatever the stream raises, as it is; ``metrics`` has the numbers.
            """

        def __iter__(self) -> Iterator[T_co]: ...
        def __next__(self) -> T_co: ...
    else:
        metrics = _Addition("metrics", _metrics, is_property=True)
        collect = _Addition("collect", _collect, is_property=False)


class AsyncMeasuredStream(Proxy, Generic[T_co]):
    """
    An async iterator that is measured while it is read.

    The async twin of ``MeasuredStream``: ``collect()`` and ``acollect()`` are to be awaited.
    The source runs in the caller's task and context.

    .. versionadded:: 0.1.0
    """

    __slots__ = ()

    def _tc_additions(self) -> tuple[str, ...]:
        return ("acollect", "collect", "metrics", *super()._tc_additions())

    if TYPE_CHECKING:

        @property
        def metrics(self) -> MetricsResult[None]:  # pyright: ignore[reportReturnType]
            """What was observed: the finished result, or a snapshot while the stream goes on."""

        async def collect(self) -> MetricsResult[list[T_co]]:  # pyright: ignore[reportReturnType]
            """Read what is left, and give the result with the chunks as ``value``."""

        async def acollect(self) -> MetricsResult[list[T_co]]:  # pyright: ignore[reportReturnType]
            """Do what ``collect`` does; on a stream that is both sync and async, without it."""

        def __aiter__(self) -> AsyncIterator[T_co]: ...
        def __anext__(self) -> Coroutine[Any, Any, T_co]: ...
    else:
        metrics = _Addition("metrics", _metrics, is_property=True)
        collect = _Addition("collect", _acollect, is_property=False)
        acollect = _Addition("acollect", _acollect, is_property=False)


if TYPE_CHECKING:

    class _SyncGenerator(MeasuredStream[T_co], Generator[T_co, SendT_contra, ReturnT_co]):
        def __iter__(self) -> Generator[T_co, SendT_contra, ReturnT_co]: ...

    class _AsyncGenerator(AsyncMeasuredStream[T_co], AsyncGenerator[T_co, SendT_contra]):
        def __aiter__(self) -> AsyncGenerator[T_co, SendT_contra]: ...
        def __anext__(self) -> Coroutine[Any, Any, T_co]: ...
else:

    class _SyncGenerator(MeasuredStream[T_co], Generic[T_co, SendT_contra, ReturnT_co]):
        __slots__ = ()

    class _AsyncGenerator(AsyncMeasuredStream[T_co], Generic[T_co, SendT_contra]):
        __slots__ = ()


class MeasuredGenerator(_SyncGenerator[T_co, SendT_contra, ReturnT_co]):
    """
    A measured stream that is also a generator: ``send``, ``throw``, ``close``, a return value.

    .. versionadded:: 0.1.0
    """

    __slots__ = ()


class AsyncMeasuredGenerator(_AsyncGenerator[T_co, SendT_contra]):
    """
    An async measured stream that is also an async generator: ``asend``, ``athrow``, ``aclose``.

    .. versionadded:: 0.1.0
    """

    __slots__ = ()


def _bases_for(kind: type) -> tuple[type, ...]:
    """Say what a stand-in for a stream of type *kind* is: sync, async, or both."""
    is_iterator, is_async_iterator = offers(kind, "__next__"), offers(kind, "__anext__")
    only_iterable = not is_iterator and not is_async_iterator
    bases: list[type[Proxy]] = []
    if is_iterator or (only_iterable and offers(kind, "__iter__")):
        bases.append(MeasuredGenerator if offers(kind, "send") else MeasuredStream)
    if is_async_iterator or (only_iterable and offers(kind, "__aiter__")):
        bases.append(AsyncMeasuredGenerator if offers(kind, "asend") else AsyncMeasuredStream)
    return tuple(bases)


def _hands(kind: type) -> dict[str, Any]:
    hands = {**hands_for(kind), "__iter__": _iter, "__aiter__": _aiter}
    return {**_methods_that_read(kind), **hands}


def _is_helper(kind: type) -> bool:
    """Whether this is what an SDK's streaming helper gives, with methods that read on their own."""
    return ".lib.streaming." in f"{kind.__module__}."


def _methods_that_read(kind: type) -> dict[str, Any]:
    """
    Give an SDK helper's own methods, to be called with the stand-in as ``self``.

    So ``get_final_message()``, ``until_done()`` and the like read the measured stream.
    """
    if not _is_helper(kind):
        return {}
    names = [name for name in dir(kind) if not name.startswith("_")]
    methods = {name: getattr(kind, name) for name in names}
    return {name: _Method(name, each) for name, each in methods.items() if isfunction(each)}


class _Method:
    """A helper's own method, unless somebody put another in the helper itself."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._function
        own = vars(instance._tc_original)  # noqa: SLF001 - our own
        if self._name in own:
            return own[self._name]
        return self._function.__get__(instance, owner)


def _rebuild_text_stream(stream: Any, kind: type) -> None:
    """Let an SDK helper's ``text_stream``, not begun yet, read the measured stream too."""
    make = getattr(kind, "__stream_text__", None)
    if isfunction(make) and hasattr(stream, "text_stream"):
        stream.text_stream = make(stream)


_class_for = ClassesByOriginal(lambda kind: (*_bases_for(kind), StandIn), _hands)
_compiled_class_for = ClassesByOriginal(
    lambda kind: (*_bases_for(kind), *compiled_bases(kind)),
    lambda kind: {**_hands(kind), **dict.fromkeys(compiled_names(kind), INHERITED)},
)


def measured_stream(original: object, run: Run, *, observed: bool) -> Any:
    """Open *run* for *original*, and give the measured stream that stands in for it."""
    kind = type(original)
    is_generator = kind in _GENERATORS
    if (
        takes(run.clock)
        and (is_generator or is_compilable(kind))
        and (run.scopes is None or not run.lends_context)
    ):
        tape = speed.Tape(run.clock, run.options.reads_plainly)
        run.tape, run.streamed, run.shelf = tape, True, []
        stream = _compiled_class_for(kind)(original, run, tape, observed, None)
        if not is_generator:
            steps_on_stack[run.number] = run  # its ways out are hands of Python's
            if _is_helper(kind):
                _rebuild_text_stream(stream, kind)
        return stream
    run.tape, run.streamed, run.shelf = Tape(run.clock), True, []
    steps_on_stack[run.number] = run
    return stream_around(original, run, observed=observed)


_GENERATORS = frozenset({AsyncGeneratorType, GeneratorType})


def stream_around(original: object, run: Run, *, observed: bool, owner: object = None) -> Any:
    """Give the measured stream that stands in for *original*; *run* has been opened for it."""
    kind: Any = type(original)
    if type(run.tape) is not Tape and is_compilable(kind):
        return _compiled_class_for(kind)(original, run, run.tape, observed, owner)
    stream = _class_for(kind)(original, run, observed=observed, owner=owner)
    _put_in_hands(stream, original, run)
    if owner is None and _is_helper(kind):
        _rebuild_text_stream(stream, kind)
    return stream


def _put_in_hands(stream: object, original: object, run: Run) -> None:
    """Give the Python hands of a stream what they need at every step, in one look."""
    kind = type(original)
    if offers(kind, "__next__"):
        advance = stepped(run.scopes, bound(original, "__next__"))
        object.__setattr__(stream, "_tc_next", (run.tape, advance))
    if offers(kind, "__anext__"):
        advance = astepped(run.scopes, bound(original, "__anext__"))
        object.__setattr__(stream, "_tc_anext", (run.tape, advance))


def is_stream(kind: type) -> bool:
    """Whether objects of this type are iterators, sync or async."""
    return offers(kind, "__next__") or offers(kind, "__anext__")


def is_iterable(kind: type) -> bool:
    """Whether objects of this type can be iterated over, sync or async."""
    return is_stream(kind) or offers(kind, "__iter__") or offers(kind, "__aiter__")
