"""
Random generator bodies, and programs that drive them, sync and async.

A program run against a bare generator and against the measured one must leave the same log:
values, exceptions, what the body saw, states, what was left to the interpreter, in that order.
"""

from __future__ import annotations

import gc
import inspect
import sys
import types
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import tokenclock
from tokenclock import _hooks

Log = list[Any]
Statement = tuple[Any, ...]
Operation = tuple[Any, ...]

OURS = str(Path(tokenclock.__file__).parent)
RAISED = ("ValueError", "KeyError", "GeneratorExit", "StopIteration", "StopAsyncIteration")
CAUGHT = (*RAISED, "Exception", "BaseException")

# --- bodies --------------------------------------------------------------------------------------

_numbers = st.integers(0, 9)
_leaves = st.one_of(
    st.tuples(st.just("yield"), _numbers),
    st.tuples(st.just("yield"), _numbers),
    st.tuples(st.just("suspend"), _numbers),
    st.tuples(st.just("raise"), st.sampled_from(RAISED)),
    st.tuples(st.just("raise from"), st.sampled_from(RAISED)),
    st.tuples(st.just("return"), _numbers),
    st.tuples(st.just("reenter")),
)


def _nested(inner: st.SearchStrategy[Statement]) -> st.SearchStrategy[Statement]:
    body = st.lists(inner, min_size=1, max_size=3)
    finally_ = st.one_of(st.none(), body)
    return st.one_of(
        st.tuples(st.just("try"), body, st.sampled_from(CAUGHT), body, finally_),
        st.tuples(st.just("delegate"), body),
        st.tuples(st.just("repeat"), body),
    )


bodies = st.lists(st.recursive(_leaves, _nested, max_leaves=6), min_size=1, max_size=4)


class _Renderer:
    """Writes a body as the source of a function of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.lines: list[str] = []
        self.inner = 0

    def function(self, name: str, body: Sequence[Statement], depth: int) -> None:
        word = "def" if self.kind == "generator" else "async def"
        self.line(depth, f"{word} {name}():")
        if self.kind != "coroutine":
            self.line(depth + 1, "if False: yield")
        self.block(body, depth + 1)

    def block(self, body: Sequence[Statement], depth: int) -> None:
        for statement in body:
            name, *rest = statement
            getattr(self, "write_" + name.replace(" ", "_"))(depth, *rest)

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def write_yield(self, depth: int, number: int) -> None:
        if self.kind == "coroutine":
            self.write_suspend(depth, number)
        else:
            self.line(depth, f"log(('received', (yield {number})))")

    def write_suspend(self, depth: int, number: int) -> None:
        if self.kind == "generator":
            self.line(depth, f"log('step {number}')")
        else:
            self.line(depth, f"log(('resumed', await suspend({number})))")

    def write_raise(self, depth: int, error: str) -> None:
        self.line(depth, f"raise {error}('from the body')")

    def write_raise_from(self, depth: int, error: str) -> None:
        self.line(depth, f"raise {error}('from the body') from OSError('the cause')")

    def write_return(self, depth: int, number: int) -> None:
        self.line(depth, "return" if self.kind == "async generator" else f"return {number}")

    def write_reenter(self, depth: int) -> None:
        self.line(depth, "reenter()")

    def write_try(
        self,
        depth: int,
        body: Sequence[Statement],
        caught: str,
        handler: Sequence[Statement],
        finally_: Sequence[Statement] | None,
    ) -> None:
        self.line(depth, "try:")
        self.block(body, depth + 1)
        self.line(depth, f"except {caught} as error:")
        self.line(depth + 1, "log(('caught', type(error).__name__, error.args))")
        self.block(handler, depth + 1)
        if finally_ is not None:
            self.line(depth, "finally:")
            self.line(depth + 1, "log('finally')")
            self.block(finally_, depth + 1)

    def write_repeat(self, depth: int, body: Sequence[Statement]) -> None:
        self.line(depth, "for _ in range(2):")
        self.block(body, depth + 1)

    def write_delegate(self, depth: int, body: Sequence[Statement]) -> None:
        self.inner += 1
        name = f"inner{self.inner}"
        self.function(name, body, depth)
        self.line(
            depth,
            {
                "generator": f"log(('delegated', (yield from {name}())))",
                "async generator": f"async for chunk in {name}(): log((yield chunk))",
                "coroutine": f"log(('delegated', await {name}()))",
            }[self.kind],
        )


@types.coroutine
def suspend(value: object) -> Generator[object, Any, Any]:
    """Give *value* to whoever drives, and what that one sends to whoever awaits."""
    return (yield value)


class Body:
    """A function made from a random body, with the log that it writes."""

    def __init__(self, kind: str, body: Sequence[Statement]) -> None:
        renderer = _Renderer(kind)
        renderer.function("body", body, 0)
        self.log: Log = []
        self.stream: Callable[[], Any] = lambda: None
        namespace: dict[str, Any] = {
            "log": self.log.append,
            "suspend": suspend,
            "reenter": self.reenter,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # return in finally, from 3.14 on
            code = compile("\n".join(renderer.lines), "<body>", "exec")
        exec(code, namespace)  # noqa: S102 - the source is ours
        self.function: Callable[[], Any] = namespace["body"]

    def reenter(self) -> None:
        """Ask the stream for more while its body is running."""
        stream = self.stream()
        if stream is None:
            self.log.append("gone")
        elif hasattr(stream, "gi_frame"):
            self.log.append(("reentered", gi_state(stream), outcome(next, stream)))
        elif hasattr(stream, "cr_frame"):
            self.log.append(("reentered", cr_state(stream), outcome(stream.send, None)))
        else:
            self.log.append(("reentered", stream.ag_running))

    def make(self, decorate: Callable[[Any], Any]) -> Any:
        """Call the function, decorated, and let its body know of the stream."""
        stream = decorate(self.function)()
        self.stream = weakref.ref(stream)
        return stream


# --- what is seen --------------------------------------------------------------------------------


def frames(error: BaseException) -> list[tuple[str, str]]:
    """Give file and function of every frame in a traceback."""
    found = []
    step = error.__traceback__
    while step is not None:
        found.append((step.tb_frame.f_code.co_filename, step.tb_frame.f_code.co_name))
        step = step.tb_next
    return found


def frames_of_ours(error: BaseException) -> list[tuple[str, str]]:
    """Give those of them that are tokenclock's."""
    testing = f"{OURS}/testing.py"  # scripted streams stand for the user's
    return [one for one in frames(error) if one[0].startswith(OURS) and one[0] != testing]


def check_frames(error: BaseException) -> None:
    """Check that one frame at most is ours; with a tracer Python 3.10 shows the step's, too."""
    shows_steps = bool(_hooks.call_hooks) and sys.version_info < (3, 11)
    assert len(frames_of_ours(error)) <= 1 + shows_steps, frames_of_ours(error)


def seen(error: BaseException | None, thrown: BaseException | None = None) -> Any:
    """Describe an exception as its catcher sees it; no more than one frame may be ours."""
    if error is None:
        return None
    trace = frames(error)
    check_frames(error)
    return (
        "raised",
        type(error).__name__,
        error.args,
        getattr(error, "value", None),
        error is thrown,
        seen(error.__cause__, thrown),
        seen(error.__context__, thrown),
        error.__suppress_context__,
        [frame for frame in trace if not frame[0].startswith(OURS)],
    )


def outcome(call: Callable[..., Any], *args: Any, thrown: BaseException | None = None) -> Any:
    """Give what a call gave or raised, described."""
    try:
        return ("gave", call(*args))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is compared
        return seen(error, thrown)


def gi_state(stream: Any) -> Any:
    return (
        inspect.getgeneratorstate(stream),
        stream.gi_frame is None,
        stream.gi_running,
        stream.gi_yieldfrom is None,
    )


def ag_state(stream: Any) -> Any:
    return (stream.ag_frame is None, stream.ag_running, stream.ag_await is None)


def cr_state(stream: Any) -> Any:
    return (
        inspect.getcoroutinestate(stream),
        stream.cr_frame is None,
        stream.cr_running,
        stream.cr_await is None,
    )


@contextmanager
def interpreters_complaints(log: Log) -> Iterator[None]:
    """Write to the log what the interpreter says of finalisers, and its warnings."""

    def note(unraisable: Any) -> None:
        error = unraisable.exc_value
        log.append(("unraisable", type(error).__name__, error.args if error else None))

    before = sys.unraisablehook
    sys.unraisablehook = note
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
            # What the program dropped goes now, also where a traceback holds it in a cycle.
            gc.collect(1)
        finally:
            sys.unraisablehook = before
    log.extend((one.category.__name__, str(one.message)) for one in caught)


# --- programs ------------------------------------------------------------------------------------

_sync_operations = st.one_of(
    st.just(("next",)),
    st.just(("next",)),
    st.tuples(st.just("send"), st.one_of(st.none(), _numbers)),
    st.tuples(st.just("throw"), st.sampled_from(RAISED)),
    st.just(("close",)),
    st.just(("iter",)),
)
sync_programs = st.lists(_sync_operations, max_size=8)

# How an awaitable goes on each time it suspends. Thrown into by hand before its first step, or
# with GeneratorExit, a coroutine, which ours is, answers by itself.
_resumptions = st.lists(
    st.one_of(
        st.tuples(st.just("send"), _numbers),
        st.tuples(st.just("send"), _numbers),
        st.tuples(st.just("throw"), st.sampled_from([*RAISED[:2], *RAISED[3:]])),
        st.just(("close",)),
    ),
    max_size=3,
)
async_programs = st.lists(
    st.one_of(
        st.tuples(st.just("anext"), _resumptions),
        st.tuples(st.just("anext"), _resumptions),
        st.tuples(st.just("asend"), _resumptions, st.one_of(st.none(), _numbers)),
        # Out of a body that has not started, a StopIteration is a value to whoever awaits.
        st.tuples(
            st.just("athrow"),
            _resumptions,
            st.sampled_from([name for name in RAISED if name != "StopIteration"]),
        ),
        st.tuples(st.just("aclose"), _resumptions),
    ),
    max_size=6,
)
coroutine_programs = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.none()),
        st.tuples(st.just("send"), _numbers),
        st.tuples(st.just("throw"), st.sampled_from(RAISED)),
        st.just(("close",)),
    ),
    max_size=6,
)


def _error(name: str) -> BaseException:
    kinds: dict[str, type[BaseException]] = {
        kind.__name__: kind
        for kind in (ValueError, KeyError, GeneratorExit, StopIteration, StopAsyncIteration)
    }
    return kinds[name]("thrown in")


def _throw(throw: Callable[[BaseException], Any], name: str) -> Any:
    thrown = _error(name)
    try:
        return outcome(throw, thrown, thrown=thrown)
    finally:
        thrown.__traceback__ = None


def _sync_step(stream: Any, operation: Operation) -> Any:
    name, *args = operation
    if name == "next":
        return outcome(next, stream)
    if name == "iter":
        return iter(stream) is stream
    if name == "throw":
        return _throw(stream.throw, args[0])
    return outcome(getattr(stream, name), *args)


def run_sync(
    body: Sequence[Statement], program: Sequence[Operation], decorate: Callable[[Any], Any]
) -> Log:
    """Drive a generator and give the log."""
    made = Body("generator", body)
    with interpreters_complaints(made.log):
        stream = made.make(decorate)
        for operation in program:
            made.log.append((operation, _sync_step(stream, operation)))
            made.log.append(gi_state(stream))
        made.log.append("dropped")
        del stream
    return made.log


def _awaited(awaitable: Any, resumptions: Sequence[Operation], log: Log, thrown: Any) -> None:
    """Drive what ``anext`` and its like give by hand, with ``send``, ``throw`` and ``close``."""
    log.append(outcome(awaitable.send, None, thrown=thrown))
    for name, *args in resumptions:
        if log[-1][0] != "gave":
            return
        if name == "throw":
            log.append(_throw(awaitable.throw, args[0]))
        elif name == "send":
            log.append(outcome(awaitable.send, args[0]))
        else:
            log.append(("closed", outcome(awaitable.close)))
    while log[-1][0] == "gave":
        log.append(outcome(awaitable.send, None))


def _async_step(stream: Any, operation: Operation, log: Log) -> None:
    name, resumptions, *args = operation
    thrown = None
    if name == "anext":
        awaitable = anext(stream)
    elif name == "athrow":
        thrown = _error(args[0])
        awaitable = stream.athrow(thrown)
    else:
        awaitable = getattr(stream, name)(*args)
    log.append(operation)
    _awaited(awaitable, resumptions, log, thrown)
    if thrown is not None:
        thrown.__traceback__ = None


def run_async(
    body: Sequence[Statement], program: Sequence[Operation], decorate: Callable[[Any], Any]
) -> Log:
    """Drive an async generator without a loop and give the log."""
    made = Body("async generator", body)
    with interpreters_complaints(made.log):
        stream = made.make(decorate)
        for operation in program:
            _async_step(stream, operation, made.log)
            made.log.append(ag_state(stream))
        made.log.append("dropped")
        del stream
    return made.log


def run_coroutine(
    body: Sequence[Statement], program: Sequence[Operation], decorate: Callable[[Any], Any]
) -> Log:
    """Drive a coroutine by hand and give the log."""
    made = Body("coroutine", body)
    with interpreters_complaints(made.log):
        stream = made.make(decorate)
        for name, *args in program:
            if name == "throw":
                made.log.append(_throw(stream.throw, args[0]))
            else:
                made.log.append(outcome(getattr(stream, name), *args))
            made.log.append(cr_state(stream))
        made.log.append("dropped")
        del stream
    return made.log
