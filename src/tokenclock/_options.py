"""What a user may set on a decorator, checked when it is applied."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tokenclock._attributes import Attributes, AttributeValue, checked_attributes
from tokenclock._clock import Clock, checked_clock
from tokenclock._sinks import Sink, SinkEntry, check_sink
from tokenclock.errors import InvalidOptionError

NAMES = (
    "attributes", "clock", "count_tokens", "model", "name", "operation", "provider",
    "read_chunk", "sinks", "streams",
)  # fmt: skip

STREAM_NAMES = tuple(name for name in NAMES if name != "streams")


class Options:
    """The checked options of one decorated function; shared by its calls, never changed."""

    __slots__ = (
        "attributes", "clock", "count_tokens", "model", "name", "operation", "provider",
        "read_chunk", "reads_plainly", "sinks", "streams", "warned_types",
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str | None = None,
        count_tokens: Callable[[Any], int] | None = None,
        read_chunk: Callable[[Any], Any] | None = None,
        streams: bool | None = None,
        model: str | None = None,
        provider: str | None = None,
        operation: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        sinks: Iterable[Sink] = (),
        clock: Clock | None = None,
    ) -> None:
        _check_texts(name=name, model=model, provider=provider, operation=operation)
        _check_callable("count_tokens", count_tokens, "a function from a chunk to an int")
        _check_callable("read_chunk", read_chunk, "a function from a chunk to a Reading")
        _check_streams(streams)
        self.name = name
        self.count_tokens = count_tokens
        self.read_chunk = read_chunk
        # Whether no function of the user's has to see every chunk.
        self.reads_plainly = count_tokens is None and read_chunk is None
        self.streams = streams
        self.model = model
        self.provider = provider
        self.operation = operation
        # Results share it, so it must not be changed through one of them.
        self.attributes = Attributes(checked_attributes({} if attributes is None else attributes))
        self.sinks = _sink_entries(sinks)
        self.clock = checked_clock(clock)
        # Types of chunk that were warned about: one warning for each, not one for each call.
        self.warned_types: set[str] = set()

    def named(self, name: str) -> Options:
        """Give these options for one function, whose name they carry unless one was set."""
        twin = object.__new__(Options)
        for slot in Options.__slots__:
            setattr(twin, slot, getattr(self, slot))
        twin.name = self.name or name
        twin.warned_types = set()
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: getattr(self, name) for name in NAMES}
        options["attributes"] = dict(self.attributes)
        options["sinks"] = [entry.sink for entry in self.sinks]
        return (_rebuilt, (options,))


def _rebuilt(options: dict[str, Any]) -> Options:
    return Options(**options)


def refuse_unknown(
    unknown: Mapping[str, object], *, where: str, names: Iterable[str] = NAMES
) -> None:
    """Refuse options that do not exist, naming the one that was probably meant."""
    for name in unknown:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}=?" if near else f"The options are {', '.join(names)}."
        msg = f"Cannot apply {where}({name}=...): there is no such option. {hint}"
        raise InvalidOptionError(msg, option=name)


def _check_texts(**options: object) -> None:
    for name, value in options.items():
        if value is not None and not isinstance(value, str):
            msg = (
                f"Cannot use {name}={value!r}: it is a {type(value).__name__}. "
                f"Pass a str, or leave {name} out."
            )
            raise InvalidOptionError(msg, option=name)


def _check_callable(name: str, value: object, wanted: str) -> None:
    if value is None:
        return
    if not callable(value):
        msg = f"Cannot use {name}={value!r}: it is not callable. Pass {wanted}."
        raise InvalidOptionError(msg, option=name)
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__):
        msg = (
            f"Cannot use {name}={value!r}: it is a coroutine function, and a chunk is read "
            f"without waiting. Pass {wanted}."
        )
        raise InvalidOptionError(msg, option=name)


def _check_streams(streams: object) -> None:
    if streams is not None and not isinstance(streams, bool):
        msg = (
            f"Cannot use streams={streams!r}: it is neither True, False nor None. "
            "Pass True if the call gives an iterable to measure, False if it gives a value."
        )
        raise InvalidOptionError(msg, option="streams")


def _sink_entries(sinks: Iterable[Sink]) -> tuple[SinkEntry, ...]:
    is_iterable = isinstance(sinks, Iterable)  # pyright: ignore[reportUnnecessaryIsInstance]
    if callable(sinks) or not is_iterable:
        msg = (
            f"Cannot use sinks={sinks!r}: it is not a list of sinks. Pass sinks=[{sinks!r}]."
            if callable(sinks)
            else f"Cannot use sinks={sinks!r}: it is not iterable. Pass a list of callables."
        )
        raise InvalidOptionError(msg, option="sinks")
    entries: list[SinkEntry] = []
    for sink in sinks:
        check_sink(sink)
        if all(entry.sink != sink for entry in entries):
            entries.append(SinkEntry(sink))
    return tuple(entries)
