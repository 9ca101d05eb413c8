"""Finished results reach the sinks, captures and logs they should; what was generated does not."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from driving import run_python, settle
from stepping import collect, every_shape, read, step, stream_of
from tokenclock import (
    LoggingSink,
    MetricsResult,
    TokenclockError,
    _sinks,
    add_sink,
    capture,
    labels,
    measure,
    metrics_decorator,
    observe,
    remove_sink,
)
from tokenclock.errors import InvalidOptionError
from tokenclock.testing import CollectingSink, FakeClock, Script

CANARY = "canary-3141592653"


@observe(name="answer")
def answer() -> list[str]:
    return ["a", "b"]


# --- which sinks, in which order --------------------------------------------------------------


def test_sinks_are_called_in_the_order_they_were_added() -> None:
    """A decorator's own sinks come first, then the global ones, each in order of addition."""
    calls: list[str] = []
    add_sink(lambda _: calls.append("first global"))
    add_sink(lambda _: calls.append("second global"))
    own = [lambda _: calls.append("first own"), lambda _: calls.append("second own")]
    observe(sinks=own)(lambda: 1)()

    assert calls == ["first own", "second own", "first global", "second global"]


def test_adding_a_sink_twice_is_adding_it_once() -> None:
    """A sink gets each result once, however often it was added."""
    collecting = CollectingSink()
    add_sink(collecting)
    add_sink(collecting)
    answer()

    assert len(collecting.results) == 1


def test_a_bound_method_added_twice_is_added_once() -> None:
    """Two bound methods of one object are one sink, although they are two objects."""
    results: list[Any] = []
    add_sink(results.append)
    add_sink(results.append)
    answer()
    remove_sink(results.append)
    answer()

    assert len(results) == 1


def test_a_sink_that_is_own_and_global_gets_a_result_once(sink: CollectingSink) -> None:
    """A sink that a decorator names and the whole process has gets each result once."""
    observe(sinks=[sink])(lambda: 1)()

    assert len(sink.results) == 1


def test_a_decorators_sinks_get_its_results_only(sink: CollectingSink) -> None:
    """The option sinks= sees the calls of its own function; a global sink sees all."""
    own = CollectingSink()
    observe(name="mine", sinks=[own])(lambda: 1)()
    answer()

    assert [one.function for one in own.results] == ["mine"]
    assert [one.function for one in sink.results] == ["mine", "answer"]


def test_a_sink_added_while_a_stream_runs_gets_its_result() -> None:
    """Who listens is asked when a call finishes, not when it starts."""
    stream = measure(iter("ab"), name="stream")
    next(stream)
    collecting = CollectingSink()
    add_sink(collecting)
    list(stream)

    assert [one.function for one in collecting.results] == ["stream"]


def test_a_removed_sink_gets_nothing_more(sink: CollectingSink) -> None:
    """After remove_sink() a sink gets no result, and removing it again does nothing."""
    answer()
    remove_sink(sink)
    remove_sink(sink)
    answer()

    assert len(sink.results) == 1


def test_a_sink_may_remove_itself() -> None:
    """A sink may change the sinks while it is called: the others still get the result."""
    calls: list[str] = []

    def once(_: object) -> None:
        calls.append("once")
        remove_sink(once)

    add_sink(once)
    add_sink(lambda _: calls.append("always"))
    answer()
    answer()

    assert calls == ["once", "always", "always"]


def test_a_sink_that_calls_measured_code_does_not_starve() -> None:
    """A sink may call a measured function once: that call's result reaches it, too."""
    names: list[str] = []

    def sink_of_sinks(result: MetricsResult[Any]) -> None:
        names.append(result.function)
        if result.function == "answer":
            observe(name="inside the sink")(lambda: 1)()

    add_sink(sink_of_sinks)
    answer()

    assert names == ["answer", "inside the sink"]


def test_threads_that_add_sinks_lose_none() -> None:
    """Sinks added by many threads at once are all there."""
    sinks = [CollectingSink() for _ in range(64)]
    threads = [threading.Thread(target=add_sink, args=(one,)) for one in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer()

    assert [len(one.results) for one in sinks] == [1] * 64


@pytest.mark.parametrize("refused", [None, 3, "sink"])
def test_what_cannot_be_called_is_no_sink(refused: Any) -> None:
    """A sink that is not callable is refused, with what to pass instead."""
    message = r"it is not callable. Pass a function that takes one MetricsResult.$"
    with pytest.raises(InvalidOptionError, match=message):
        add_sink(refused)
    with pytest.raises(InvalidOptionError, match=message):
        observe(sinks=[refused])


class AsyncSink:
    async def __call__(self, result: MetricsResult[Any]) -> None:
        """Never runs."""


async def async_sink(result: MetricsResult[Any]) -> None:
    """Never runs."""


@pytest.mark.parametrize("refused", [async_sink, AsyncSink(), AsyncSink().__call__])
def test_a_coroutine_function_is_no_sink(refused: Any) -> None:
    """A sink that somebody would have to await is refused."""
    message = r"it is a coroutine function, and nobody would await it. Pass a plain function"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        add_sink(refused)
    assert caught.value.option == "sinks"
    with pytest.raises(InvalidOptionError, match=message):
        observe(sinks=[refused])


# --- sinks that fail --------------------------------------------------------------------------


class Failing:
    """A sink that raises what it was made with."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def __call__(self, result: MetricsResult[Any]) -> None:
        raise self.errors[0] if len(self.errors) == 1 else self.errors.pop(0)


@pytest.mark.logs_failures
@every_shape
@pytest.mark.parametrize(
    "error",
    [ValueError(CANARY), SystemExit(CANARY), GeneratorExit(CANARY), asyncio.CancelledError(CANARY)],
    ids=lambda error: type(error).__name__,
)
def test_a_failing_sink_never_reaches_the_caller(
    shape: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """What a sink raises is logged once with its traceback and its type's name, no content."""
    after = CollectingSink()
    script = Script([(0.5, CANARY)], clock=FakeClock())
    for _ in range(3):
        add_sink(after)
    failing = Failing(error)
    add_sink(failing)
    add_sink(after)

    for _ in range(3):
        assert read(stream_of(shape, script)) == [CANARY]

    assert len(after.results) == 3
    (record,) = caplog.records
    assert record.name == "tokenclock"
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("A sink of type test_sinks.Failing failed: ")
    assert "in __call__" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.logs_failures
def test_each_type_of_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A sink's second failure of one type is silent, its first of another type is not."""
    add_sink(Failing(ValueError(), ValueError(), KeyError(), ValueError(), KeyError(), OSError()))
    for _ in range(6):
        answer()

    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == [
        "ValueError", "KeyError", "OSError",
    ]  # fmt: skip


@pytest.mark.logs_failures
def test_two_sinks_that_fail_alike_are_both_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Failures are counted for each sink by itself."""
    add_sink(Failing(ValueError()))
    add_sink(Failing(ValueError()))
    answer()

    assert len(caplog.records) == 2


@pytest.mark.logs_failures
@every_shape
def test_a_sinks_failure_after_the_streams_own_error_keeps_that_error(shape: str) -> None:
    """The caller of a stream that failed sees the stream's exception, not a sink's."""
    add_sink(Failing(ValueError(CANARY)))
    error = RuntimeError("mine")
    stream = stream_of(shape, Script([(0.5, "a")], clock=FakeClock(), error=error))

    with pytest.raises(RuntimeError, match="mine") as caught:
        read(stream)
    assert caught.value is error
    assert caught.value.__context__ is None


@every_shape
def test_a_keyboard_interrupt_of_a_sink_passes_on(shape: str) -> None:
    """A KeyboardInterrupt in a sink reaches the program after every sink had the result."""
    before, after = CollectingSink(), CollectingSink()
    for one in (before, Failing(KeyboardInterrupt()), after):
        add_sink(one)
    stream = stream_of(shape, Script([(0.5, "a")], clock=FakeClock()))

    with capture() as captured, pytest.raises(KeyboardInterrupt):
        read(stream)

    assert [one.outcome for one in before.results] == ["completed"]
    assert after.results == before.results == [stream.metrics]
    assert captured == []  # the stream was opened before the block


def test_a_keyboard_interrupt_of_a_sink_passes_on_from_a_value() -> None:
    """A KeyboardInterrupt in a sink of a function's call reaches its caller."""
    after = CollectingSink()
    add_sink(Failing(KeyboardInterrupt()))
    add_sink(after)

    with pytest.raises(KeyboardInterrupt):
        answer()
    assert [one.outcome for one in after.results] == ["completed"]


@pytest.mark.logs_failures
def test_a_sink_that_interrupts_for_a_dropped_stream_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where no caller is left to pass a KeyboardInterrupt to, it is logged, and work goes on."""
    after = CollectingSink()
    add_sink(Failing(KeyboardInterrupt()))
    add_sink(after)
    for _ in range(2):
        next(measure(iter("ab")))
    settle()

    assert [one.outcome for one in after.results] == ["stopped", "stopped"]
    assert {record.getMessage() for record in caplog.records} == {
        "Delivering the result of a dropped stream failed: KeyboardInterrupt"
    }


@pytest.mark.logs_failures
def test_a_log_handler_that_raises_reaches_nobody() -> None:
    """Where even logging a sink's failure fails, the measured program goes on."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(CANARY)

    broken = Broken()
    logging.getLogger("tokenclock").addHandler(broken)
    try:
        add_sink(Failing(ValueError()))
        assert answer() == ["a", "b"]
    finally:
        logging.getLogger("tokenclock").removeHandler(broken)


# --- locks and the garbage collector ----------------------------------------------------------

DROP_IN_CYCLES = """
import gc
import threading
import tokenclock

def drop_in_a_cycle():
    stream = tokenclock.measure(iter("abc"))
    next(stream)
    cycle = [stream]
    cycle.append(cycle)
"""


def test_a_sink_with_a_lock_does_not_deadlock_with_the_collector() -> None:
    """A sink holds its plain lock while the collector finishes streams; all results arrive."""
    printed = run_python(
        DROP_IN_CYCLES
        + """
lock = threading.Lock()
taken = []

def sink(result):
    with lock:
        gc.collect()  # strikes while the lock is held
        taken.append(result.outcome)

gc.disable()
tokenclock.add_sink(sink)
for _ in range(20):
    drop_in_a_cycle()
    list(tokenclock.measure(iter("a")))
gc.collect()
tokenclock._sinks.later.flush()
print(taken.count("completed"), taken.count("stopped"))
"""
    )
    assert printed == "20 20\n"


def test_a_collector_that_strikes_at_any_allocation_does_not_deadlock() -> None:
    """With the collector at work at every allocation, in four threads, no result is lost."""
    printed = run_python(
        DROP_IN_CYCLES
        + """
lock = threading.Lock()
taken = []

def sink(result):
    with lock:
        taken.append([{}, result.outcome][1])

def work():
    for _ in range(50):
        drop_in_a_cycle()
        list(tokenclock.measure(iter("a")))

tokenclock.add_sink(sink)
gc.set_threshold(1, 1, 1)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.set_threshold(700)
gc.collect()
tokenclock._sinks.later.flush()
print(taken.count("completed"), taken.count("stopped"))
"""
    )
    assert printed == "200 200\n"


@pytest.mark.extras
def test_prometheus_does_not_deadlock_with_the_collector() -> None:
    """The real prometheus client, whose metrics hold locks, takes results during collections."""
    printed = run_python(
        DROP_IN_CYCLES
        + """
import prometheus_client

calls = prometheus_client.Counter("calls", "Calls.", ["outcome", "call"])
latency = prometheus_client.Histogram("latency", "Seconds.", ["outcome"])

def sink(result):
    calls.labels(result.outcome, result.call_id).inc()
    latency.labels(result.outcome).observe(result.generation_latency)

gc.set_threshold(1, 1, 1)
tokenclock.add_sink(sink)
for _ in range(100):
    drop_in_a_cycle()
    list(tokenclock.measure(iter("a")))
gc.set_threshold(700)
gc.collect()
tokenclock._sinks.later.flush()
count = prometheus_client.REGISTRY.get_sample_value
print(*(count("latency_count", {"outcome": one}) for one in ("completed", "stopped")))
"""
    )
    assert printed == "100.0 100.0\n"


def test_results_of_dropped_streams_come_from_a_thread_of_their_own() -> None:
    """A sink is never called inside a finaliser, on the thread that dropped the stream."""
    threads: list[int] = []
    add_sink(lambda _: threads.append(threading.get_ident()))
    list(measure(iter("a")))
    next(measure(iter("ab")))
    settle()

    assert threads[0] == threading.get_ident() != threads[1]


def test_dropped_streams_are_delivered_in_the_order_of_dropping(sink: CollectingSink) -> None:
    """Results of dropped streams keep their order on the way to the sinks."""
    for number in range(50):
        next(measure(iter("ab"), name=str(number)))
    settle()

    assert [one.function for one in sink.results] == [str(number) for number in range(50)]


def test_one_delivering_thread_is_started_however_many_drop(sink: CollectingSink) -> None:
    """Streams dropped by many threads at once are handed on by one thread."""
    names: set[int] = set()
    add_sink(lambda _: names.add(threading.get_ident()))

    def drop() -> None:
        for _ in range(20):
            next(measure(iter("ab")))

    threads = [threading.Thread(target=drop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle()

    assert len(sink.results) == 160
    assert len(names) == 1


# --- capture ----------------------------------------------------------------------------------


def test_capture_collects_what_is_called_inside() -> None:
    """A capture block has the results of the calls made inside it, and no others."""
    answer()
    with capture() as results:
        answer()
        observe(name="other")(lambda: 1)()
    answer()

    assert [one.function for one in results] == ["answer", "other"]


def test_nested_captures_both_collect() -> None:
    """An inner block's calls are the outer block's, too."""
    with capture() as outer:
        with capture() as inner:
            answer()
        answer()

    assert len(inner) == 1
    assert len(outer) == 2
    assert outer[0] is inner[0]


def test_a_capture_used_again_gives_a_fresh_list() -> None:
    """One capture object serves several blocks, also one inside the other."""
    block = capture()
    with block as outer:
        answer()
        with block as inner:
            answer()
    with block as later:
        pass

    assert (len(outer), len(inner), len(later)) == (2, 1, 0)


@every_shape
def test_capture_has_streams_that_end_after_the_block(shape: str) -> None:
    """A stream opened inside the block belongs to it, also when it ends later."""
    with capture() as results:
        stream = stream_of(shape, Script([(0.5, "a")], clock=FakeClock()))
        assert results == []
    read(stream)

    assert results == [stream.metrics]


def test_a_stream_opened_before_the_block_is_not_in_it() -> None:
    """A stream opened outside is not captured by the block in which it is read."""
    stream = measure(iter("a"))
    with capture() as results:
        list(stream)

    assert results == []


@pytest.mark.asyncio
async def test_capture_reaches_into_tasks_started_inside() -> None:
    """Tasks started inside the block belong to it, and others that run meanwhile do not."""

    async def work(*, goes_on: asyncio.Event | None = None) -> None:
        if goes_on is not None:
            await goes_on.wait()
        answer()

    goes_on = asyncio.Event()
    outside = asyncio.create_task(work(goes_on=goes_on))
    with capture() as results:
        await asyncio.gather(work(), work())
        goes_on.set()
        await outside

    assert len(results) == 2


@pytest.mark.asyncio
async def test_captures_of_two_tasks_do_not_mix() -> None:
    """Two tasks that capture at the same time have their own results only."""

    async def work(name: str) -> list[str]:
        with capture() as results:
            for _ in range(3):
                await asyncio.sleep(0)
                observe(name=name)(lambda: 1)()
        return [one.function for one in results]

    first, second = await asyncio.gather(work("a"), work("b"))
    assert (first, second) == (["a"] * 3, ["b"] * 3)


def test_capture_reaches_threads_that_run_in_its_context() -> None:
    """A plain thread does not inherit the block; one that runs in a copy of its context does."""
    with capture() as results:
        plain = threading.Thread(target=answer)
        inherits = threading.Thread(target=contextvars.copy_context().run, args=(answer,))
        for thread in (plain, inherits):
            thread.start()
            thread.join()

    assert len(results) == 1


# --- blocks held by generators ----------------------------------------------------------------


@pytest.mark.parametrize(
    "block", [capture, lambda: labels(tenant="acme")], ids=["capture", "labels"]
)
def test_a_block_left_in_another_context_does_not_raise(block: Any) -> None:
    """A generator that holds a block may be closed anywhere: leaving the block never raises."""

    def holds() -> Iterator[int]:
        with block():
            yield 1

    here, there = contextvars.copy_context(), contextvars.copy_context()
    generator: Any = holds()
    here.run(next, generator)
    there.run(generator.close)

    assert there.run(labels_now) == {}


@pytest.mark.asyncio
async def test_a_block_in_an_async_generator_closed_by_another_task_does_not_raise() -> None:
    """An async generator inside a block, closed by another task, leaves the block in peace."""

    async def holds() -> AsyncIterator[int]:
        with labels(tenant="acme"), capture():
            yield 1

    generator: Any = holds()
    await asyncio.create_task(generator.__anext__())
    await asyncio.create_task(generator.aclose())

    with capture() as results:
        answer()
    assert results[0].attributes == {}


@pytest.mark.asyncio
async def test_one_block_object_serves_two_tasks_at_once() -> None:
    """Tasks that share a labels object each leave their own block, in whatever order."""
    shared = labels(tenant="acme")
    entered = asyncio.Event()

    async def first() -> dict[str, Any]:
        with shared:
            entered.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return labels_now()

    async def second() -> dict[str, Any]:
        await entered.wait()
        with shared:
            assert labels_now() == {"tenant": "acme"}
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return labels_now()

    after_first, after_second = await asyncio.gather(first(), second())
    assert (after_first, after_second) == ({}, {})


# --- labels -----------------------------------------------------------------------------------


def labels_now() -> dict[str, Any]:
    """Give the labels that a call made here carries."""
    with capture() as results:
        answer()
    return dict(results[0].attributes)


def test_inner_labels_win_over_outer_ones() -> None:
    """Labels of blocks add up; an inner one of the same name wins, until its block is left."""
    with labels(tenant="acme", tier=1):
        with labels(tier=2, beta=True):
            assert labels_now() == {"tenant": "acme", "tier": 2, "beta": True}
        assert labels_now() == {"tenant": "acme", "tier": 1}
    assert labels_now() == {}


def test_labels_win_over_attributes() -> None:
    """Labels of a block win over the option attributes."""
    with labels(tenant="acme"), capture() as results:
        observe(attributes={"tenant": "none", "team": "a"})(lambda: 1)()

    assert results[0].attributes == {"tenant": "acme", "team": "a"}


@every_shape
def test_labels_are_those_of_the_call(shape: str) -> None:
    """A stream carries the labels of its call, not of where it is read."""
    with labels(place="call"):
        stream = stream_of(shape, Script([(0.5, "a")], clock=FakeClock()))
    with labels(place="read", more=1):
        read(stream)

    assert stream.metrics.attributes == {"place": "call"}


@pytest.mark.asyncio
async def test_labels_of_two_tasks_do_not_mix() -> None:
    """Two tasks with labels of their own do not see each other's."""

    async def work(tenant: str) -> dict[str, Any]:
        with labels(tenant=tenant):
            await asyncio.sleep(0)
            return labels_now()

    first, second = await asyncio.gather(work("a"), work("b"))
    assert (first, second) == ({"tenant": "a"}, {"tenant": "b"})


@pytest.mark.parametrize("value", [None, ["a"], object(), b"a"])
def test_labels_of_other_types_are_refused(value: Any) -> None:
    """A label that is no str, bool, int or float is refused where it is written."""
    with pytest.raises(InvalidOptionError, match=r"^Cannot label calls with 'tenant': a \w+ is no"):
        labels(tenant=value)


def test_a_label_may_have_any_name() -> None:
    """Every keyword is a label's name: none is taken by the block itself."""
    with labels(self=1, values="a", name="b"):
        assert labels_now() == {"self": 1, "values": "a", "name": "b"}


# --- LoggingSink ------------------------------------------------------------------------------


def test_a_logging_sink_writes_one_record_for_a_call(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A finished call is one record: a line for people, the fields under one key."""
    add_sink(LoggingSink())
    caplog.set_level("INFO")
    script = Script([(0.25, "a"), (0.5, "b")], clock=clock, end=0.25)
    with labels(tenant="acme"):
        list(stream_of("generator", script, name="answer", model="m-1"))

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tokenclock.calls", "INFO")
    assert record.getMessage() == (
        "answer completed: first token 250 ms, latency 1 s, throughput 2 tokens/s"
    )
    fields: dict[str, Any] = record.tokenclock  # type: ignore[attr-defined]  # what we add
    assert fields["function"] == "answer"
    assert fields["outcome"] == "completed"
    assert fields["time_to_first_token"] == 0.25
    assert fields["generation_latency"] == 1.0
    assert fields["throughput"] == 2.0
    assert fields["token_count"] == 2
    assert fields["model"] == "m-1"
    assert fields["attributes"] == {"tenant": "acme"}
    assert {"value", "timeline", "inter_token_latencies"}.isdisjoint(fields)


def test_a_logging_sink_goes_to_the_logger_and_level_it_was_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logger (or its name) and level (a number or its name) are the user's choice."""
    caplog.set_level("DEBUG")
    add_sink(LoggingSink("mine", level="WARNING"))
    add_sink(LoggingSink(logging.getLogger("yours"), level=logging.DEBUG))
    answer()

    assert [(one.name, one.levelname) for one in caplog.records] == [
        ("mine", "WARNING"),
        ("yours", "DEBUG"),
    ]


def test_a_logging_sink_is_silent_below_its_loggers_level(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A record that the logger would not take is not made."""
    caplog.set_level("WARNING", logger="tokenclock.calls")
    add_sink(LoggingSink(level="INFO"))
    answer()

    assert caplog.records == []


@pytest.mark.parametrize("level", ["LOUD", None, True, 1.5])
def test_a_level_that_is_none_is_refused(level: Any) -> None:
    """A level that logging does not know is refused when the sink is made."""
    message = r"^Cannot log at level=.*: there is no such level. Pass a number or a name"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        LoggingSink(level=level)
    assert caught.value.option == "level"


def test_a_logging_sink_names_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The record of a failed call names the exception's type, not what it said."""
    caplog.set_level("INFO")
    add_sink(LoggingSink())

    @observe(name="answer")
    def fails() -> None:
        raise ValueError(CANARY)

    with pytest.raises(ValueError, match=CANARY):
        fails()

    assert caplog.records[0].getMessage().startswith("answer failed (ValueError): ")
    assert CANARY not in caplog.text


# --- what was generated stays inside ----------------------------------------------------------


@every_shape
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_content_never_leaves(shape: str, fails: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001 - one of the parameters
    """What a model generated is in no result of a sink or capture, in no form, and in no log."""
    caplog.set_level("DEBUG")
    collecting = CollectingSink()
    add_sink(collecting)
    add_sink(LoggingSink())
    error = RuntimeError(CANARY) if fails else None
    script = Script([(0.5, CANARY), (0.25, CANARY)], clock=FakeClock(), error=error)

    with capture() as captured:
        stream = stream_of(shape, script)
        if fails:
            with pytest.raises(RuntimeError):
                read(stream)
        else:
            read(stream)

    (result,) = collecting.results
    assert captured == [result]
    assert result.value is None
    assert result.timeline is not None
    forms: list[Any] = [repr(result), str(result), result.report(), pickle.dumps(result)]
    forms += [result.to_dict(include_value=True, include_timeline=True), list(result.timeline)]
    forms += [vars(record) | {"exc_info": None} for record in caplog.records]
    assert CANARY not in caplog.text
    assert all(CANARY not in str(form) for form in forms)


def test_a_value_never_leaves(sink: CollectingSink) -> None:
    """A returned value is on the caller's own copy; sinks and capture get None."""
    with capture() as captured:
        result = metrics_decorator(lambda: [CANARY])()

    assert result.value == [CANARY]
    assert sink.results[0].value is None
    assert captured[0].value is None
    assert CANARY not in repr(result)
    assert CANARY not in str(pickle.dumps(sink.results[0]))


@every_shape
def test_collecting_a_stream_gives_the_chunks_to_the_caller_alone(
    shape: str, sink: CollectingSink
) -> None:
    """collect() puts the chunks on the caller's copy; the sinks' has none."""
    stream = stream_of(shape, Script([(0.5, CANARY)], clock=FakeClock()))

    assert collect(stream).value == [CANARY]
    assert sink.results[0].value is None
    assert stream.metrics.value is None


@pytest.mark.logs_failures
@pytest.mark.parametrize("option", ["count_tokens", "read_chunk"])
def test_a_readers_failure_does_not_tell_the_content(
    option: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader whose exception quotes the chunk is logged without the quotation."""

    def quotes(chunk: Any) -> Any:
        msg = f"cannot read {chunk}"
        raise ValueError(msg)

    stream = stream_of("generator", Script([(0.5, CANARY)], clock=FakeClock()), **{option: quotes})
    assert step(stream) == CANARY

    (record,) = caplog.records
    assert record.getMessage().startswith(f"{option} of 'tokens' failed; ")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TokenclockError)
    assert "in quotes" in caplog.text
    assert CANARY not in caplog.text


def test_a_sink_that_hung_is_waited_for_once_and_again_when_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it hangs later flushes give up at once; when it has gone on they wait as ever."""
    later = _sinks._Later()
    release = threading.Event()
    handed_on: list[str] = []
    monkeypatch.setattr(_sinks, "FLUSH_SECONDS", 0.01)

    def hang() -> None:
        release.wait(60)

    later.put(hang)
    later.flush()
    later.put(lambda: handed_on.append("waits behind it"))
    monkeypatch.setattr(_sinks, "FLUSH_SECONDS", 60.0)
    later.flush()
    assert handed_on == []

    release.set()
    while not handed_on:
        later.flush()
    later.put(lambda: handed_on.append("comes later"))
    later.flush()
    assert handed_on == ["waits behind it", "comes later"]
