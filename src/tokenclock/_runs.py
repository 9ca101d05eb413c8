"""One run: whose call it is, that it finishes exactly once, and where its result goes."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import atexit
import builtins
import contextvars
import itertools
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenclock import _hooks, _log, _sinks
from tokenclock._attributes import Attributes
from tokenclock._chunks import SILENT, UNREAD, read_value
from tokenclock._driver import speed
from tokenclock._reading import bounded_text
from tokenclock._recorder import Books, Recorder
from tokenclock._result import MetricsResult, result_of

if TYPE_CHECKING:
    from types import CodeType

    from tokenclock._attributes import AttributeValue
    from tokenclock._options import Options
    from tokenclock._result import Outcome

# Every run that is not over, by its number: whoever takes a run out of here finishes it.
live_runs: dict[int, Run] = {}

# The measured call whose code runs now, where the context can tell: ordinary functions and
# coroutines, and the tasks they start. A stream sets nothing: its steps are found on the stack.
current_call: contextvars.ContextVar[int | None] = contextvars.ContextVar(
    "tokenclock_current_call", default=None
)

# The code of everything that drives a measured body: of streams, and of calls and coroutines.
stream_steps: set[CodeType] = set()
# The open runs of streams that Python's driver reads: the steps of the compiled one have no code.
steps_on_stack: dict[int, Run] = {}
call_steps: set[CodeType] = set()

# How a run ends that the caller stopped.
_BY_THE_CALLER = ("stopped", "unconsumed")

_process = os.urandom(6).hex()
_numbers = itertools.count(1)


class Run(Recorder):
    """
    One call: its stamps, its identity, its one finished result.

    It never refers to the measured stream, so that dropping the stream can be noticed.
    """

    __slots__ = (
        "asked_to_stream", "captures", "error", "finished", "labels", "number",
        "outcome", "parent_id", "process", "request_model", "scopes",
    )  # fmt: skip

    def __init__(
        self, options: Options, arguments: Mapping[str, object], call_ns: int | None = None
    ) -> None:
        Recorder.__init__(self, options, call_ns)  # super() would cost as much as half of it
        self.process = _process
        self.number = number = next(_numbers)
        self.parent_id = enclosing_call() if live_runs else None
        self.captures = _sinks.captures.get()
        self.labels = _sinks.call_labels.get()
        self.request_model = options.model
        self.asked_to_stream = False
        if arguments:
            self._note(arguments)
        self.outcome: Outcome = "running"
        self.error: str | None = None
        self.finished: MetricsResult[None] | None = None
        self.scopes: _hooks.Scopes | None = None
        live_runs[number] = self
        if _hooks.call_hooks:
            self.scopes = _hooks.scopes_of(self)

    def _note(self, arguments: Mapping[str, object]) -> None:
        """Note what the call was asked for."""
        asked = arguments.get("model")
        if asked is None:
            asked = arguments.get("modelId")  # as Bedrock calls it
        self.request_model = self.request_model or bounded_text(asked)
        self.asked_to_stream = arguments.get("stream") is True

    @property
    def call_id(self) -> str:
        """This call's id, unique across processes."""
        return f"{self.process}-{self.number:x}"

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """The labels of this call: the decorator's and those of the blocks around it."""
        return _merged(self.options.attributes, self.labels)

    @property
    def lends_context(self) -> bool:
        """Whether a hook gives a context in which every step of the body runs."""
        return self.scopes is not None and bool(self.scopes.with_context)

    def put_off(self) -> None:
        """Take the start back: the call has only prepared what is to run."""
        super().put_off()
        if self.scopes is not None:
            self.scopes.put_off()

    # --- the ways a run ends ----------------------------------------------------------------

    def returned(
        self,
        value: object,
        end_ns: int,
        *,
        works_later: bool = False,
        in_finaliser: bool = False,
    ) -> None:
        """End with a value."""
        self.works_later = works_later
        if self.start_ns is None:
            self.start_ns = self.call_ns
        says_nothing = type(value) in SILENT and self.options.count_tokens is None
        unread = works_later or says_nothing
        self.value_reading = UNREAD if unread else read_value(value, self.options)
        self.finish("completed", end_ns, in_finaliser=in_finaliser)

    def raised(
        self,
        error: BaseException,
        requested: int | None,
        stop: type | None = None,
        *,
        thrown: bool = False,
        end_ns: int | None = None,
    ) -> None:
        """
        End with an exception, now or at *end_ns*.

        *requested* is when the caller asked for what did not come. *stop* is the type that says
        that there is nothing more. *thrown* says that the caller threw into the body: into one
        that has not started, it does not start it.
        """
        if end_ns is None:
            end_ns = self.clock()
        if thrown and self.start_ns is None:
            requested = requested if self.saw_chunk() else None
        outcome = outcome_of(error, stop)
        if outcome in {"failed", "cancelled"}:
            self.error = bounded_text(_log.type_name(type(error)))
        self.finish(outcome, end_ns, requested)

    def stopped(self, *, in_finaliser: bool = False) -> None:
        """End because the caller stopped: it closed, broke out, dropped it or never asked."""
        asked = self.request_under_way() is not None
        if self.streamed:
            asked = self.saw_chunk() or asked
        outcome: Outcome = "stopped" if asked else "unconsumed"
        self.finish(outcome, self.call_ns, in_finaliser=in_finaliser)

    def finish(
        self,
        outcome: Outcome,
        end_ns: int,
        requested: int | None = None,
        *,
        in_finaliser: bool = False,
    ) -> None:
        """Finish exactly once. A failure of ours is logged; only ``KeyboardInterrupt`` passes."""
        is_ours = live_runs.pop(self.number, None) is not None
        if not is_ours and (self.end_ns is not None or self.process == _process):
            return  # over, or about to be; a run of the process we were forked from ends unheard
        try:
            self.close_stamps(end_ns, requested, stopped=outcome in _BY_THE_CALLER)
            self.requested_ns = None
            self.outcome = outcome  # last: from here on the result is the finished one
            if steps_on_stack:
                steps_on_stack.pop(self.number, None)
            is_awaited = self.captures or self.options.sinks or _sinks.global_sinks or self.scopes
            if is_awaited and is_ours:
                if self.is_half_done:
                    self.open_books().owed = in_finaliser
                else:
                    self._deliver(in_finaliser=in_finaliser)
        except Exception as error:  # noqa: BLE001 - our own failure never reaches the program
            _log.failure(f"Finishing the measurement of {self.options.name!r} failed", error)

    def pay(self, books: Books) -> None:
        """Hand on the result that could not be handed on while stamps were taken."""
        in_finaliser, books.owed = bool(books.owed), None
        self._deliver(in_finaliser=in_finaliser)

    def _deliver(self, *, in_finaliser: bool) -> None:
        sinks = _sinks.sinks_for(self.options.sinks)
        result = self.result()
        for results in self.captures:
            results.append(result)
        if in_finaliser and (sinks or self.scopes is not None):
            _sinks.later.put(lambda: self._hand_on(result, sinks))
            return
        self._hand_on(result, sinks)

    def _hand_on(self, result: MetricsResult[Any], sinks: tuple[_sinks.SinkEntry, ...]) -> None:
        """Give the result to the hooks, then to the sinks in the call's own context."""
        if self.scopes is None:
            _sinks.hand_on(result, sinks)
            return
        self.scopes.finished(result)
        _hooks.stepped(self.scopes, _sinks.hand_on)(result, sinks)

    # --- what hooks ask -----------------------------------------------------------------------

    @property
    def called_wall_ns(self) -> int:
        """When it was called, in nanoseconds since the epoch."""
        return self.wall_call_ns

    @property
    def started_wall_ns(self) -> int | None:
        """When it started, the same; ``None`` if it has not."""
        start = self.request_under_way() if self.start_ns is None else self.start_ns
        return None if start is None else self.wall_call_ns + start - self.call_ns

    # --- the result -------------------------------------------------------------------------

    def result(self) -> MetricsResult[None]:
        """Give what was observed: the finished result, or a snapshot of a run that goes on."""
        if self.finished is not None:
            return self.finished
        is_finished = self.outcome != "running"  # asked first: it may change while we look
        result: MetricsResult[None] = result_of(self._fields())
        if is_finished and not self.is_half_done:
            self.finished = result
        return result

    def result_with(self, value: Any) -> MetricsResult[Any]:
        """Give the caller's own copy, the only one that carries a value."""
        fields = self._fields() if self.finished is None else dict(self.finished.__dict__)
        fields["value"] = value
        return result_of(fields)

    def _fields(self) -> dict[str, Any]:
        fields = self.numbers(self.outcome)
        fields["function"] = self.options.name
        fields["call_id"] = self.call_id
        fields["parent_id"] = self.parent_id
        fields["error"] = self.error
        fields["request_model"] = self.request_model
        fields["attributes"] = self.attributes
        fields["value"] = None
        return fields


def outcome_of(error: BaseException, stop: type | None) -> Outcome:
    """Say how a run ended that ended with *error*."""
    if stop is not None and isinstance(error, stop):
        return "completed"
    if isinstance(error, GeneratorExit):
        return "stopped"
    return "cancelled" if _is_cancellation(error) else "failed"


def _is_cancellation(error: BaseException) -> bool:
    """Tell a cancellation by asyncio or trio, also a group of nothing else, importing neither."""
    group = getattr(builtins, "BaseExceptionGroup", None) or getattr(
        sys.modules.get("exceptiongroup"), "BaseExceptionGroup", None
    )
    if group is not None and isinstance(error, group):
        members: Any = error
        return all(map(_is_cancellation, members.exceptions))
    for module, name in (("asyncio.exceptions", "CancelledError"), ("trio", "Cancelled")):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return True
    return False


def enclosing_call() -> str | None:
    """
    Give the id of the innermost measured call that runs around the caller, if there is one.

    The stack knows the streams: whose step is on it, their body runs now. The context knows
    ordinary calls and coroutines, also in tasks that they started.
    """
    driven = None if speed is None else speed.steps_under_way()
    if driven or steps_on_stack:
        run = _on_the_stack(driven or {})
        if run is not None:
            return run.call_id
    number = current_call.get()
    run = None if number is None else live_runs.get(number)
    return None if run is None else run.call_id


def _on_the_stack(driven: Mapping[int, Run]) -> Run | None:
    """
    Give the run of the innermost stream one of whose steps is on the stack.

    *driven* tells for the frames that drive the compiled driver, by their id, which run that is.
    """
    # Our caller is enclosing_call, whose caller Run.__init__ is, whose caller the new call itself,
    # inside which it is not.
    frame = sys._getframe(3).f_back  # noqa: SLF001 - the documented way to look up the stack
    while frame is not None:
        run = driven.get(id(frame))
        code = frame.f_code
        if run is None and code in stream_steps:
            run = frame.f_locals["self"]._tc_run  # noqa: SLF001 - our own
        if run is not None and run.number in live_runs:  # else it is over, and a sink of it runs
            return run
        if code in call_steps:
            return None
        frame = frame.f_back
    return None


def _merged(
    attributes: Mapping[str, AttributeValue], labels: Mapping[str, AttributeValue]
) -> Mapping[str, AttributeValue]:
    if not labels:
        return attributes
    return Attributes({**attributes, **labels})


def _finish_all() -> None:
    """Finish what is still open when the interpreter exits, and deliver what waits."""
    for run in list(live_runs.values()):
        run.stopped()
    _sinks.later.flush()


def _after_fork() -> None:
    """Leave to the parent the runs that are the parent's, and give out ids of our own."""
    global _process  # noqa: PLW0603 - two processes must not give the same id
    live_runs.clear()
    steps_on_stack.clear()
    _process = os.urandom(6).hex()


_sinks.before_exit.append(_finish_all)
atexit.register(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
