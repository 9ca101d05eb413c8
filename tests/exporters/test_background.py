"""A background hands every result to its sink, or counts it, and nobody ever waits for it."""

from __future__ import annotations

import contextvars
import copy
import gc
import logging
import math
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from driving import SOURCE, run_python, settle
from tokenclock import MetricsResult, add_sink, measure, observe
from tokenclock.errors import InvalidOptionError
from tokenclock.exporters import Background, _worker
from tokenclock.records import JsonLinesSink, read_records
from tokenclock.testing import CollectingSink

CANARY = "canary-3141592653"
DROPPING = r"^Cannot hand results to a sink of type .*\.Hanging as fast as they come: "

# Newer Pythons warn of a fork beside threads, which is what these programs are about.
FORKING = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import tokenclock
from tokenclock.exporters import Background, _worker

def call():
    list(tokenclock.measure(iter("ab"), name="call"))

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def until(condition: Callable[[], object]) -> None:
    """Wait for what a thread is about to do; a condition that never comes fails the test."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Hanging:
    """A sink that hangs until it is let go."""

    def __init__(self) -> None:
        self.results: list[MetricsResult[Any]] = []
        self.is_in = threading.Event()
        self.may_go = threading.Event()

    def __call__(self, result: MetricsResult[Any]) -> None:
        self.is_in.set()
        assert self.may_go.wait(20)
        self.results.append(result)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    sink = Hanging()
    yield sink
    sink.may_go.set()


def result(name: str = "call") -> MetricsResult[Any]:
    stream = measure(iter("ab"), name=name)
    list(stream)
    return stream.metrics


def names(results: list[MetricsResult[Any]]) -> list[str]:
    return [one.function for one in results]


# --- handing over -----------------------------------------------------------------------------


def test_results_arrive_in_their_order_on_another_thread() -> None:
    """The sink has every result, in order, on one thread that is not the caller's."""
    taken: list[tuple[str, int]] = []
    background = Background(lambda one: taken.append((one.function, threading.get_ident())))
    add_sink(background)
    for number in range(50):
        list(measure(iter("a"), name=str(number)))

    assert background.flush()
    assert [name for name, _ in taken] == [str(number) for number in range(50)]
    assert len({thread for _, thread in taken}) == 1
    assert taken[0][1] != threading.get_ident()
    assert (background.dropped, background.failed, background.pending) == (0, 0, 0)


def test_a_decorator_may_have_a_background() -> None:
    """The option sinks= takes a background as any other sink."""
    collecting = CollectingSink()
    with Background(collecting) as background:
        observe(name="mine", sinks=[background])(lambda: 1)()

    assert names(collecting.results) == ["mine"]


def test_the_sink_sees_the_context_of_the_caller() -> None:
    """What a context variable held when the call ended, the sink finds in it."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def looking(_: MetricsResult[Any]) -> None:
        seen.append(variable.get())
        variable.set("by the sink")

    background = Background(looking)
    for value in ("first", "second"):
        token = variable.set(value)
        background(result())
        variable.reset(token)
    background(result())

    assert background.flush()
    assert seen == ["first", "second", "unset"]


def test_a_result_does_not_outlive_its_handing_over() -> None:
    """The thread lets go of a result before it waits for the next."""
    background = Background(lambda _: None)
    one = result()
    known = weakref.ref(one)
    background(one)
    del one
    assert background.flush()

    until(lambda: known() is None)


def test_a_dropped_streams_result_goes_through_the_background() -> None:
    """What the collector finishes reaches the sink, too."""
    collecting = CollectingSink()
    background = Background(collecting)
    add_sink(background)
    next(measure(iter("ab"), name="dropped"))
    settle()

    assert background.flush()
    assert [one.outcome for one in collecting.results] == ["stopped"]


def test_many_threads_lose_no_result_uncounted() -> None:
    """Of 8 threads' 8000 results each is handed over or counted as dropped, exactly."""
    taken: list[object] = []
    background = Background(taken.append, max_queue=16)
    background._worker._may_warn.acquire()  # the warning is another test's
    one = result()
    begin = threading.Barrier(8)

    def put() -> None:
        begin.wait(20)
        for _ in range(1000):
            background(one)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert background.flush(20)
    assert len(taken) + background.dropped == 8000
    assert background.pending == 0


# --- sinks that hang or raise -----------------------------------------------------------------


def test_a_hanging_sink_holds_up_no_stream(hanging: Hanging) -> None:
    """While the sink hangs, 1000 streams complete; what no longer fits is dropped and counted."""
    background = Background(hanging, max_queue=100)
    add_sink(background)
    list(measure(iter("a"), name="0"))
    assert hanging.is_in.wait(20)

    with pytest.warns(match=DROPPING) as warned:
        completed = [list(measure(iter("ab"), name=str(one))) for one in range(1, 1000)]

    assert completed == [["a", "b"]] * 999
    assert (background.dropped, background.pending) == (899, 101)
    assert len(warned) == 1
    hanging.may_go.set()
    assert background.flush(20)
    assert names(hanging.results) == [str(one) for one in range(101)]  # the newest were dropped
    assert (background.dropped, background.pending) == (899, 0)


def test_the_warning_says_what_to_do(hanging: Hanging) -> None:
    """The one warning of a full queue names the sink's type, the reason and the remedies."""
    background = Background(hanging, max_queue=1)
    background(result())
    assert hanging.is_in.wait(20)
    background(result())

    with pytest.warns() as warned:
        background(result())
    background(result())

    (warning,) = warned
    assert str(warning.message) == (
        "Cannot hand results to a sink of type test_background.Hanging as fast as they come: "
        "1 wait already, and newer ones are dropped, which its `dropped` counts. See "
        "whether what the sink writes to still answers, or pass a larger max_queue=."
    )
    assert warning.filename == __file__
    assert background.dropped == 2


@pytest.mark.logs_failures
def test_a_failing_sink_is_counted_and_logged_once_for_each_type(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the sink raises is counted, logged once a type without content, and work goes on."""
    errors: list[type[BaseException]] = [
        ValueError, SystemExit, KeyboardInterrupt, ValueError, GeneratorExit, SystemExit,
    ]  # fmt: skip

    def failing(_: MetricsResult[Any]) -> None:
        if errors:
            raise errors.pop(0)(CANARY)

    background = Background(failing)
    for _ in range(8):
        background(result())

    assert background.flush()
    assert (background.failed, background.dropped, background.pending) == (6, 0, 0)
    assert [record.getMessage().partition(".<locals>.")[2] for record in caplog.records] == [
        "failing failed: ValueError",
        "failing failed: SystemExit",
        "failing failed: KeyboardInterrupt",
        "failing failed: GeneratorExit",
    ]
    said = caplog.records[0].getMessage()
    assert said.startswith("Handing a result to the sink test_background.test_a_failing_sink_is_")
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "in failing" in caplog.text
    assert CANARY not in caplog.text


# --- waiting ----------------------------------------------------------------------------------


def test_nothing_to_wait_for_starts_no_thread() -> None:
    """A background without results is flushed and closed at once, and never had a thread."""
    background = Background(lambda _: None)

    assert background.flush(0)
    assert background.close(0)
    assert not background._worker._is_running


def test_flush_gives_up_in_time(hanging: Hanging) -> None:
    """A flush that the sink holds up gives False, and True when the sink goes on."""
    background = Background(hanging)
    background(result())

    assert not background.flush(0.01)
    assert not background.flush(0)
    hanging.may_go.set()
    assert background.flush(math.inf)
    assert background.flush(0)


def test_flushes_that_gave_up_do_not_fill_the_queue(hanging: Hanging) -> None:
    """Whoever flushes a hanging sink again and again displaces no result."""
    background = Background(hanging, max_queue=100)
    background(result())
    assert hanging.is_in.wait(20)
    for _ in range(200):
        assert not background.flush(0)
    for _ in range(90):
        background(result())

    assert (background.dropped, background.pending) == (0, 91)


def test_threads_may_flush_together(hanging: Hanging) -> None:
    """Several threads wait for one sink, and all of them hear when it is done."""
    background = Background(hanging)
    background(result())
    assert not background.flush(0.01)
    heard: list[bool] = []
    threads = [
        threading.Thread(target=lambda: heard.append(background.flush(20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    hanging.may_go.set()
    for thread in threads:
        thread.join()

    assert heard == [True] * 4


def test_a_sink_that_waits_for_itself_does_not_hang() -> None:
    """Within the sink, flush and close give False at once, and the queue is still worked off."""
    said: list[bool] = []

    def waiting(_: MetricsResult[Any]) -> None:
        said.append(background.flush(20))
        if len(said) == 3:
            said.append(background.close(20))

    background = Background(waiting)
    for _ in range(3):
        background(result())
    until(lambda: background.pending == 0)

    assert said == [False] * 4
    until(lambda: not background._worker._is_running)


def test_close_ends_the_thread_and_takes_nothing_more() -> None:
    """After close, results are counted as dropped, without a warning, and no thread runs."""
    collecting = CollectingSink()
    background = Background(collecting)
    background(result("in time"))

    assert background.close()
    until(lambda: not background._worker._is_running)
    background(result("late"))
    assert background.close()
    assert names(collecting.results) == ["in time"]
    assert (background.dropped, background.pending) == (1, 0)
    assert not background._worker._is_running


def test_close_of_a_hanging_sink_leaves_the_rest_to_the_thread(hanging: Hanging) -> None:
    """A close that gives up says so; what waited is handed over later, and the thread ends."""
    background = Background(hanging)
    for number in range(3):
        background(result(str(number)))

    assert not background.close(0.01)
    hanging.may_go.set()
    until(lambda: not background._worker._is_running)
    assert names(hanging.results) == ["0", "1", "2"]
    assert background.dropped == 0


def test_a_result_put_while_another_thread_closes_is_not_lost() -> None:
    """What was under way when close began is handed over, and the thread ends all the same."""
    taken: list[object] = []
    background = Background(taken.append)
    worker = background._worker
    background(result())
    assert background.close()
    until(lambda: not worker._is_running)

    worker._taken.add()
    # By one that had found the queue open:
    worker._enqueue((contextvars.copy_context(), taken.append, result()))
    assert background.flush()
    assert len(taken) == 2
    until(lambda: not worker._is_running)
    until(worker._queue.empty)


def test_a_result_put_as_the_thread_ends_starts_it_again() -> None:
    """What comes between the thread's last look at the queue and its end is handed over."""
    taken: list[object] = []
    background = Background(taken.append)
    worker = background._worker
    release = worker._release

    def put_and_release() -> None:
        worker._release = release  # type: ignore[method-assign]
        worker._queue.put((contextvars.copy_context(), taken.append, result()))
        release()

    worker._release = put_and_release  # type: ignore[method-assign]
    background(result())
    assert background.close()

    until(lambda: len(taken) == 2)


def test_a_background_that_is_dropped_ends_its_thread() -> None:
    """Nothing keeps a background alive; what waits is handed over, then the thread ends."""
    sink = Hanging()
    background = Background(sink)
    for number in range(3):
        background(result(str(number)))
    known, worker = weakref.ref(background), weakref.ref(background._worker)
    del background
    gc.collect()

    assert known() is None
    sink.may_go.set()
    until(lambda: len(sink.results) == 3)
    until(lambda: worker() is None)


def test_where_no_thread_can_start_the_flush_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results wait where no thread can be started; whoever flushes does its work."""

    def no_thread(*_: object) -> None:
        raise RuntimeError(CANARY)

    taken: list[int] = []
    background = Background(lambda _: taken.append(threading.get_ident()))
    with monkeypatch.context() as patched:
        patched.setattr(_worker, "start_new_thread", no_thread)
        background(result())
        background(result())
        assert background.pending == 2
        assert background.flush()
    background(result())

    assert background.flush()
    assert [one == threading.get_ident() for one in taken] == [True, True, False]


@pytest.mark.logs_failures
def test_without_a_thread_failures_and_flushes_of_the_sink_are_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On the thread that flushes, too, failures are logged once; no sink waits for itself."""

    def no_thread(*_: object) -> None:
        raise RuntimeError(CANARY)

    said: list[bool] = []

    def failing(_: MetricsResult[Any]) -> None:
        said.append(background.flush(20))
        raise KeyboardInterrupt(CANARY)

    monkeypatch.setattr(_worker, "start_new_thread", no_thread)
    background = Background(failing)
    background(result())
    background(result())

    assert background.close()
    assert said == [False, False]
    assert (background.failed, background.pending) == (2, 0)
    assert [record.getMessage().partition(".<locals>.")[2] for record in caplog.records] == [
        "failing failed: KeyboardInterrupt"
    ]


def test_two_that_flush_without_a_thread_do_the_work_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where another thread is about to do the work, the one that flushes waits for it."""
    taken: list[object] = []
    background = Background(taken.append)
    worker = background._worker
    assert worker._may_run.acquire(blocking=False)  # another's, who is about to begin
    background(result())

    assert not background.flush(0.01)
    worker._may_run.release()
    assert background.flush()
    assert len(taken) == 1


# --- what it refuses, and what it is ------------------------------------------------------------


@pytest.mark.parametrize("max_queue", [0, -1, 1.5, True, "10", None])
def test_a_queue_has_room_for_one_at_least(max_queue: Any) -> None:
    """A max_queue that is no positive whole number is refused when the background is made."""
    with pytest.raises(InvalidOptionError) as caught:
        Background(CollectingSink(), max_queue=max_queue)
    assert caught.value.option == "max_queue"
    assert str(caught.value) == (
        f"Cannot queue results with max_queue={max_queue!r}: it is no positive whole number. "
        "Pass how many results may wait, such as 10_000."
    )


@pytest.mark.parametrize("timeout", [-1, math.nan, True, "5", None])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    """A timeout that is no number of 0 or more is refused, and nothing is closed."""
    background = Background(CollectingSink())
    message = (
        f"Cannot wait for timeout={timeout!r}: it is no number of seconds of 0 or more. "
        "Pass how long to wait at most, such as 5.0."
    )
    for wait in (background.flush, background.close):
        with pytest.raises(InvalidOptionError) as caught:
            wait(timeout)
        assert (str(caught.value), caught.value.option) == (message, "timeout")
    background(result())

    assert background.dropped == 0


def test_what_cannot_be_called_is_no_sink() -> None:
    """A background around something that takes no results is refused as add_sink refuses it."""
    wrong: Any = "sink"
    with pytest.raises(InvalidOptionError, match="it is not callable") as caught:
        Background(wrong)
    assert caught.value.option == "sinks"


def test_it_says_whose_background_it_is(hanging: Hanging) -> None:
    """The repr names the sink and how many results wait."""
    background = Background(hanging)
    background(result())

    assert repr(background) == f"<Background of {hanging!r}: 1 pending>"


def pickled(background: Background) -> Background:
    again: Background = pickle.loads(pickle.dumps(background))  # noqa: S301 - our own
    return again


@pytest.mark.parametrize("again", [copy.copy, pickled])
def test_a_copy_is_a_background_of_its_own(
    again: Callable[[Background], Background], tmp_path: Path
) -> None:
    """A copy has the sink and the bound, and nothing that waits or was counted."""
    with JsonLinesSink(tmp_path / "runs.jsonl") as sink:
        background = Background(sink, max_queue=7)
        background.close()
        background(result("dropped"))
        with again(background) as other:
            other(result("of the copy"))

        assert (background.dropped, other.dropped) == (1, 0)
        assert other._worker.max_queue == 7
    assert names(list(read_records(tmp_path / "runs.jsonl"))) == ["of the copy"]


# --- the garbage collector ----------------------------------------------------------------------


def test_a_finaliser_may_put_while_a_put_is_under_way() -> None:
    """A finaliser that strikes inside put, and puts: no deadlock, and every result counted."""
    printed = run_python(
        """
        import gc, sys
        import tokenclock
        from tokenclock.exporters import Background

        taken, inside = [], []
        background = Background(taken.append, max_queue=20)
        background._worker._may_warn.acquire()
        stream = tokenclock.measure(iter("ab"))
        list(stream)
        result = stream.metrics
        puts = 0

        def put():
            global puts
            puts += 1
            background(result)

        class Dying:
            def __init__(self):
                self.me = self

            def __del__(self):
                frame = sys._getframe(1)
                while frame is not None:
                    if frame.f_code.co_name == "put" and "_worker" in frame.f_code.co_filename:
                        inside.append(1)
                        break
                    frame = frame.f_back
                put()

        class Bound(int):
            # Looked at in the middle of each put: there the collector strikes.
            def __le__(self, waiting):
                if not strikes:
                    strikes.append(1)
                    Dying()
                    gc.collect(0)
                    strikes.clear()
                return int(self) <= waiting

        strikes = []
        background._worker.max_queue = Bound(20)
        for _ in range(1000):
            put()
        print(background.flush(20), len(taken) + background.dropped == puts, len(inside))
        """
    )
    assert printed == "True True 1000\n"


# --- forks --------------------------------------------------------------------------------------


def test_a_forked_child_begins_anew() -> None:
    """What waits and what was counted stays the parent's; the child has a thread of its own."""
    printed = run_python(
        FORKING
        + """
may_go, taken = threading.Event(), []

def sink(result):
    if os.getpid() == parent:
        may_go.wait(20)
    taken.append(result.function)

parent = os.getpid()
background = Background(sink, max_queue=2)
closed = Background(sink)
closed.close()
background._worker._may_warn.acquire()
tokenclock.add_sink(background)
call()
until(lambda: background._worker._queue.empty())
for _ in range(5):
    call()

def child():
    print("child", background.pending, background.dropped, background.flush(0), taken)
    call()
    call()
    print("child", background.flush(20), taken, background.dropped)
    closed(None)
    print("child", closed.dropped)

print("parent", background.pending, background.dropped, flush=True)
in_child(child)
may_go.set()
print("parent", background.flush(20), taken, background.pending, background.dropped, closed.dropped)
"""
    )
    assert printed.splitlines() == [
        "parent 3 3",
        "child 0 0 True []",
        "child True ['call', 'call'] 0",
        "child 1",
        "parent True ['call', 'call', 'call'] 0 3 0",
    ]


@pytest.mark.heavy  # without coverage, whose own lock a child may inherit locked
def test_forks_amid_puts_and_sinks_with_locks_hang_no_child() -> None:
    """While 4 threads put and the sink takes a lock, 30 children export and end."""
    printed = run_python(
        FORKING
        + """
lock, taken = threading.Lock(), []

def sink(result):
    with lock:
        sum(range(2000))
        taken.append(result.function)

_worker.FORK_SECONDS = 20  # a busy machine is no failure
background = Background(sink, max_queue=100)
background._worker._may_warn.acquire()
tokenclock.add_sink(background)
is_over = threading.Event()

def work():
    while not is_over.is_set():
        call()

def child():
    taken.clear()
    call()
    assert background.flush(20)
    assert taken == ["call"], taken

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(30):
    in_child(child)
is_over.set()
for thread in threads:
    thread.join()
print(background.flush(20), background._worker._at_work.locked())
"""
    )
    assert printed == "True False\n"


def test_a_hanging_sink_hardly_delays_a_fork() -> None:
    """A fork waits for a hanging sink for a tenth of a second, and a sink may fork."""
    printed = run_python(
        FORKING
        + """
may_go = threading.Event()

def sink(result):
    if not may_go.wait(20):
        raise AssertionError
    in_child(lambda: print("child of the sink", flush=True))

background = Background(sink)
background(None)
until(lambda: background._worker._queue.empty())
began = time.monotonic()
in_child(lambda: None)
print(time.monotonic() - began < 2)
sys.stdout.flush()
may_go.set()
print(background.flush(20), background.failed)
"""
    )
    assert printed == "True\nchild of the sink\nTrue 0\n"


# --- the end of the interpreter -----------------------------------------------------------------

EXITING = """
import atexit, threading, time
import tokenclock
from tokenclock.exporters import Background, _worker

def sink(result):
    time.sleep(0.01)  # slower than the program
    print(result.function, result.outcome, flush=True)
"""


def test_what_waits_is_handed_over_at_exit() -> None:
    """A program that ends without a flush loses nothing, and nothing of a stream left open."""
    printed = run_python(
        EXITING
        + """
tokenclock.add_sink(Background(sink))
for number in range(10):
    list(tokenclock.measure(iter("ab"), name=str(number)))
left_open = tokenclock.measure(iter("ab"), name="left open")
next(left_open)
"""
    )
    assert printed.splitlines() == [
        *(f"{number} completed" for number in range(10)),
        "left open stopped",
    ]


def test_the_first_result_of_all_may_come_at_exit() -> None:
    """Where only the end of the interpreter finishes a stream, its result is handed over."""
    printed = run_python(
        EXITING
        + """
tokenclock.add_sink(Background(sink))
left_open = tokenclock.measure(iter("ab"), name="left open")
next(left_open)
"""
    )
    assert printed == "left open stopped\n"


def test_a_dropped_backgrounds_results_are_handed_over_at_exit() -> None:
    """A background that nobody holds any more is still flushed at exit."""
    printed = run_python(
        EXITING
        + """
background = Background(sink)
observed = tokenclock.observe(name="call", sinks=[background])(lambda: 1)
for _ in range(5):
    observed()
del background, observed
"""
    )
    assert printed == "call completed\n" * 5


def test_the_sink_still_finds_what_was_set_up_before_the_first_result() -> None:
    """What registered an exit handler before the first result is shut down after the flush."""
    printed = run_python(
        EXITING
        + """
background = Background(sink)
atexit.register(print, "the provider is shut down")
tokenclock.observe(name="call", sinks=[background])(lambda: 1)()
"""
    )
    assert printed == "call completed\nthe provider is shut down\n"


# Python 3.12.0 to 3.12.2 start no thread at exit: there the first result of all is not so safe.
STARTS_AT_EXIT = not (3, 12) <= sys.version_info < (3, 12, 3)
FIRST = ['list(tokenclock.measure(iter("ab")))\n', *([""] if STARTS_AT_EXIT else [])]


@pytest.mark.parametrize("first", FIRST, ids=["before exit", "at exit"][: len(FIRST)])
def test_hanging_sinks_delay_the_exit_by_one_timeout(first: str) -> None:
    """Sinks that hang, also at the first result of all, delay the exit by one timeout together."""
    began = time.monotonic()
    printed = run_python(
        EXITING
        + """
def hang(result):
    threading.Event().wait()

_worker.EXIT_SECONDS = 0.25
atexit.register(print, "over")
hanging = [Background(hang), Background(lambda _: hang(_))]
for one in [*hanging, Background(sink)]:
    tokenclock.add_sink(one)
"""
        + first
        + """
left_open = tokenclock.measure(iter("ab"), name="left open")
next(left_open)
"""
    )
    assert printed.splitlines()[-2:] == ["left open stopped", "over"]
    assert time.monotonic() - began < 20


def test_imported_at_exit_it_works_all_the_same() -> None:
    """A background made while the interpreter ends is flushed by whoever asks."""
    printed = run_python(
        """
        import atexit

        @atexit.register
        def late():
            import tokenclock
            from tokenclock.exporters import Background

            with Background(lambda result: print(result.function)) as background:
                tokenclock.observe(name="late", sinks=[background])(lambda: 1)()
        """
    )
    assert printed == "late\n"


WORKERS = """
import multiprocessing
import sys
from tokenclock import observe
from tokenclock.exporters import Background
from tokenclock.records import JsonLinesSink

@observe(name="call", sinks=[Background(JsonLinesSink("runs.jsonl"))])
def call():
    return ["a", "b"]

def work(count):
    for _ in range(count):
        call()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    call()
    workers = [context.Process(target=work, args=(50,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(any(worker.exitcode for worker in workers))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_hand_over_what_waits(method: str, tmp_path: Path) -> None:
    """Worker processes, which have no exit handlers, lose no result when they end."""
    (tmp_path / "workers.py").write_text(WORKERS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "workers.py", method]
    done = subprocess.run(  # noqa: S603 - our own words
        command,
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": SOURCE},
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert names(list(read_records(tmp_path / "runs.jsonl"))) == ["call"] * 101
