"""
Runs a program bare and with each driver.

A course is what the caller of the streams saw, and what was measured meanwhile.
"""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import programs
from driver_programs import Caller
from driver_sources import World, described, source_of
from tokenclock import TokenclockWarning, _streams, capture
from tokenclock.testing import settle

if TYPE_CHECKING:
    from programs import Log, Operation


class Course(NamedTuple):
    """What the caller of a stream saw, and what was measured meanwhile."""

    seen: Log
    measured: Log


@contextmanager
def read_by(driver: str, kind: str = "") -> Iterator[None]:
    """Have streams read by Python's driver, or leave that open."""
    with pytest.MonkeyPatch.context() as patch:
        if driver == "python":
            patch.setattr(_streams, "takes", lambda clock: False)
        if kind == "nested":  # two measured streams have two frames
            patch.setattr(programs, "check_frames", lambda error: None)
        yield


class _Records(logging.Handler):
    """Keeps what we log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        self.log.append(("logged", record.levelname, record.getMessage()))


@contextmanager
def _logs(world: World) -> Iterator[None]:
    """Note what we log."""
    logger = logging.getLogger("tokenclock")
    records = _Records(world.measured)
    logger.addHandler(records)
    logger.propagate = False  # a record that is kept would keep what its traceback refers to
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(records)


@contextmanager
def _warnings(world: World) -> Iterator[None]:
    """Note what the interpreter warns of, and apart from it what we warn of, and where."""

    def show(message: Any, kind: type, filename: str, line: int, *_: Any) -> None:
        if kind is TokenclockWarning:
            world.measured.append((kind.__name__, str(message), filename, line))
        else:
            world.note((kind.__name__, str(message)))

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(warnings, "showwarning", show)
        yield


@contextmanager
def _listening(world: World) -> Iterator[None]:
    """Note what is said of finalisers; what is dropped in a cycle goes when a program says so."""

    def note(unraisable: Any) -> None:
        error = unraisable.exc_value
        world.note(("unraisable", type(error).__name__, error.args))

    with _logs(world), _warnings(world), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", note)
        gc.disable()
        gc.freeze()  # a collection then looks at the program's objects alone
        try:
            yield
            gc.collect()
        finally:
            gc.unfreeze()
            gc.enable()


def _numbered(measured: Log) -> Log:
    """Count the calls of a course from 0."""
    results = [one[1] for one in measured if isinstance(one[1], dict)]
    first = min((fields["call_id"] for fields in results), default=0)
    for fields in results:
        for name in ("call_id", "parent_id"):
            fields[name] = fields[name] and fields[name] - first
    return measured


def run(
    kind: str,
    body: list[Any],
    program: list[Operation],
    driver: str,
    options: Mapping[str, Any] | None = None,
) -> Course:
    """Run a program on two streams of a kind with that body, read by a driver or bare."""
    world = World(options or {}, is_measured=driver != "bare")
    with read_by(driver, kind), capture() as results, _listening(world):
        function = world.decorate(source_of(kind), "source")
        world.streams += [function(world, number, body) for number in range(2)]
        caller = Caller(world)
        for operation in program:
            caller.do(operation)
        world.note("dropped")
        world.awaitables.clear()
        world.streams[:] = [None] * len(world.streams)
    settle()
    world.measured += [("captured", described(result)) for result in results]
    sunk = [("sunk", described(result)) for result in world.sink.results]
    world.measured += sorted(sunk, key=lambda one: int(one[1]["call_id"]))
    return Course(world.seen, _numbered(world.measured))
