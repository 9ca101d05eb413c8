"""An exporter is installed once for the whole process, and taken out without losing a result."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from driving import run_python
from tokenclock import MetricsResult, Sink, _hooks, _sinks, measure
from tokenclock._hooks import Call, CallHook, CallScope
from tokenclock.errors import InvalidOptionError
from tokenclock.exporters._installing import Installable


class Scope(CallScope):
    def __init__(self, ended: list[str]) -> None:
        self.ended = ended

    def finished(self, result: MetricsResult[Any]) -> None:
        self.ended.append(result.outcome)


class Exporter(Installable):
    """An exporter of both kinds, that keeps what it is told."""

    def __init__(self) -> None:
        self.results: list[MetricsResult[Any]] = []
        self.begun: list[str] = []
        self.ended: list[str] = []

    def __call__(self, result: MetricsResult[Any]) -> None:
        if result.function == "refused":
            raise ValueError
        self.results.append(result)

    def began(self, call: Call) -> CallScope:
        self.begun.append(call.call_id)
        return Scope(self.ended)

    def _sink(self) -> Sink | None:
        return self

    def _hook(self) -> CallHook | None:
        return self.began


class OnlySink(Exporter):
    def _hook(self) -> CallHook | None:
        return Installable._hook(self)


class OnlyHook(Exporter):
    def _sink(self) -> Sink | None:
        return Installable._sink(self)


@pytest.fixture(autouse=True)
def no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hooks, "call_hooks", ())


def call(name: str = "call") -> None:
    list(measure(iter("ab"), name=name))


def test_an_installed_exporter_hears_of_every_call() -> None:
    """Between install and uninstall the hook hears of calls, and the sink has their results."""
    exporter = Exporter()
    call()
    assert exporter.install() is exporter
    call()
    call()
    assert exporter.flush()
    assert len(exporter.results) == 2
    assert exporter.begun == [one.call_id for one in exporter.results]
    assert exporter.ended == ["completed", "completed"]

    assert exporter.uninstall()
    call()
    assert (len(exporter.results), len(exporter.begun)) == (2, 2)
    assert (_sinks.global_sinks, _hooks.call_hooks) == ((), ())


def test_results_come_on_a_thread_of_their_own() -> None:
    """An exporter never runs on the thread that made the call."""
    threads: list[int] = []

    class Looking(Installable):
        def _sink(self) -> Sink | None:
            return lambda _: threads.append(threading.get_ident())

    with Looking().install():
        call()

    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_installing_twice_is_installing_once() -> None:
    """The second install changes nothing, and one uninstall takes it out; a second does nothing."""
    exporter = Exporter().install().install(max_queue=1)
    call()
    assert exporter.uninstall()
    assert exporter.uninstall()
    call()

    assert (len(exporter.results), len(exporter.begun)) == (1, 1)


def test_threads_that_install_at_once_install_once() -> None:
    """Of 16 threads one installs; each call is exported once."""
    exporter = Exporter()
    begin = threading.Barrier(16)

    def install() -> None:
        begin.wait(20)
        exporter.install()

    threads = [threading.Thread(target=install) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call()

    assert exporter.uninstall()
    assert (len(exporter.results), len(exporter.begun)) == (1, 1)
    assert _sinks.global_sinks == ()


def test_an_exporter_is_installed_for_a_block() -> None:
    """A with block installs on entry; on exit it exports what waits and uninstalls."""
    with Exporter() as exporter:
        call("inside")
    call("outside")

    assert [one.function for one in exporter.results] == ["inside"]


def test_an_exporter_may_be_installed_again() -> None:
    """After uninstall an exporter can be installed, and its counts begin anew."""
    exporter = Exporter()
    for _ in range(2):
        with exporter:
            call()
            assert exporter.flush()
        exporter._background(exporter.results[0])  # type: ignore[misc]  # it is closed

        assert exporter.dropped == 1

    assert len(exporter.results) == 2


def test_an_exporter_may_have_a_sink_only_or_a_hook_only() -> None:
    """What an exporter does not give is not installed, and there is nothing to wait for."""
    with OnlySink() as only_sink:
        assert _hooks.call_hooks == ()
        call()
    with OnlyHook() as only_hook:
        assert _sinks.global_sinks == ()
        call()
        assert only_hook.flush()

    assert (len(only_sink.results), only_sink.begun) == (1, [])
    assert (only_hook.results, only_hook.ended) == ([], ["completed"])
    assert (only_hook.dropped, only_hook.failed) == (0, 0)


@pytest.mark.logs_failures
def test_an_exporter_counts_its_failures() -> None:
    """A result that the exporter raises for is counted; the next one is exported."""
    with Exporter() as exporter:
        call("refused")
        call()

    assert (exporter.failed, exporter.dropped, len(exporter.results)) == (1, 0, 1)


def test_an_exporter_that_was_never_installed_has_nothing_to_do() -> None:
    """Flush and uninstall of what is not installed say that all was exported."""
    exporter = Exporter()

    assert exporter.flush()
    assert exporter.uninstall()
    assert (exporter.dropped, exporter.failed) == (0, 0)


def test_uninstall_gives_up_in_time() -> None:
    """An exporter that hangs is out at once, and uninstall says that results were left."""
    may_go = threading.Event()

    class Hanging(Installable):
        def _sink(self) -> Sink | None:
            return lambda _: may_go.wait(20)

    exporter = Hanging().install()
    call()
    assert not exporter.flush(0.01)
    assert not exporter.uninstall(0.01)
    assert _sinks.global_sinks == ()
    may_go.set()

    assert exporter.flush()


def test_a_wrong_bound_installs_nothing() -> None:
    """An exporter whose max_queue is refused is not installed, and can be afterwards."""
    exporter = Exporter()
    with pytest.raises(InvalidOptionError) as caught:
        exporter.install(max_queue=0)
    assert caught.value.option == "max_queue"
    call()
    with exporter:
        call()

    assert (len(exporter.results), len(exporter.begun)) == (1, 1)


# --- the end of the interpreter, and forks ------------------------------------------------------

PROVIDER = """
import atexit, os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
import tokenclock
from tokenclock._hooks import CallScope
from tokenclock.exporters._installing import Installable

atexit.register(lambda: print("the provider is shut down", flush=True))

class Scope(CallScope):
    def finished(self, result):
        print("hook:", result.function, result.outcome, flush=True)

class Spans(Installable):
    def _hook(self):
        return lambda call: Scope()

class Metrics(Installable):
    def _sink(self):
        return lambda result: print("sink:", result.function, result.outcome, flush=True)
"""


def test_streams_left_open_reach_exporters_before_their_provider_ends() -> None:
    """At exit, hook and sink have the results of open streams before what they write to is shut."""
    for exporter, line in (("Spans", "hook"), ("Metrics", "sink")):
        printed = run_python(
            PROVIDER
            + f"""
{exporter}().install()
left_open = tokenclock.measure(iter("ab"), name="left open")
next(left_open)
"""
        )
        assert printed == f"{line}: left open stopped\nthe provider is shut down\n"


def test_an_exporter_keeps_working_in_a_forked_child() -> None:
    """A child exports its own calls, may install again to no effect, and may uninstall."""
    printed = run_python(
        PROVIDER
        + """
metrics = Metrics().install()
def call(name):
    list(tokenclock.measure(iter("ab"), name=name))
call("parent")
assert metrics.flush(20)
pid = os.fork()
if pid == 0:
    metrics.install()
    call("child")
    assert metrics.uninstall(20)
    call("child")
    metrics.install()
    call("again")
    assert metrics.flush(20)
    os._exit(0)
print(os.waitpid(pid, 0)[1], flush=True)
call("parent")
"""
    )
    assert printed.splitlines() == [
        "sink: parent completed",
        "sink: child completed",
        "sink: again completed",
        "0",
        "sink: parent completed",
        "the provider is shut down",
    ]
