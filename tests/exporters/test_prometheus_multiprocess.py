"""Several processes, one scrape: the multiprocess mode of the client, under real forking."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.extras

PATIENCE = 60.0  # seconds; only a failing test waits as long
CALL = {"function": "chat", "model": "llama", "provider": "local"}
TIMED = {**CALL, "consumer_limited": "false"}

# A call takes 1.75 s of its clock: tokens at 0.5, 0.75, 1.0 and 1.5 s.
CHAT = """
import tokenclock
from tokenclock.exporters.prometheus import PrometheusMetrics
from tokenclock.testing import FakeClock, Script

exporter = PrometheusMetrics(labels=["tenant"], exemplars=True).install()

def chat(tenant="acme"):
    clock = FakeClock()
    steps = [(0.5, "a"), (0.25, "b"), (0.25, "c"), (0.5, "d")]
    script = Script(steps, clock=clock, end=0.25)
    measured = tokenclock.observe(
        script.generator, name="chat", model="llama", provider="local", clock=clock
    )
    with tokenclock.labels(tenant=tenant):
        return measured()
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The folder that the processes share."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def environment(shared: Path, *, forks: bool = True) -> dict[str, str]:
    # Coverage has a lock that a thread may hold when another forks; its child would hang.
    left_out = "COVERAGE_" if forks else "no name"
    plain = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
    return {**plain, "PROMETHEUS_MULTIPROC_DIR": str(shared)}


def run_python(code: str, shared: Path, *, forks: bool = True) -> str:
    ran = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CHAT + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(shared, forks=forks),
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    return ran.stdout


def collected(shared: Path) -> CollectorRegistry:
    """Give what a scrape would see."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - an extra

    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(shared))  # type: ignore[no-untyped-call]  # it has no types
    return registry


def totals(value: Callable[[str, dict[str, str]], float | None], tenant: str) -> dict[str, Any]:
    """Give the totals of one tenant; *value* looks up a sample."""
    call, timed = {**CALL, "tenant": tenant}, {**TIMED, "tenant": tenant}
    gaps = "tokenclock_inter_token_latency_seconds"
    return {
        "calls": value("tokenclock_calls_total", {**call, "outcome": "completed"}),
        "tokens": value("tokenclock_tokens_total", {**call, "direction": "output"}),
        "gaps": value(f"{gaps}_count", timed),
        "short gaps": value(f"{gaps}_bucket", {**timed, "le": "0.3"}),
        "sum of gaps": value(f"{gaps}_sum", timed),
        "first tokens": value("tokenclock_time_to_first_token_seconds_count", timed),
        "sum of latencies": value("tokenclock_generation_latency_seconds_sum", timed),
        "in flight": value("tokenclock_calls_in_flight", call),
    }


def of_calls(count: int, *, in_flight: int = 0) -> dict[str, Any]:
    """Give the totals of so many calls."""
    return {
        "calls": count,
        "tokens": 4 * count,
        "gaps": 3 * count,
        "short gaps": 2 * count,
        "sum of gaps": 1.0 * count,
        "first tokens": count,
        "sum of latencies": 1.75 * count,
        "in flight": in_flight,
    }


# --- forks ----------------------------------------------------------------------------------------


def test_totals_of_forked_processes_are_exact(shared: Path) -> None:
    """A parent that has recorded already and four children, four threads each, lose nothing."""
    run_python(
        """
import os
import threading

def work():
    for _ in range(25):
        list(chat())

def child():
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return exporter.flush(30)

list(chat())
exporter.flush()
children = []
for _ in range(4):
    pid = os.fork()
    if not pid:
        os._exit(0 if child() else 1)
    children.append(pid)
list(chat())
assert exporter.flush()
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0, 0]
""",
        shared,
    )

    assert len(list(shared.glob("histogram_*.db"))) == 5
    assert totals(collected(shared).get_sample_value, "acme") == of_calls(402)


def test_a_call_in_flight_at_a_fork_is_counted_once(shared: Path) -> None:
    """The child of a process with a call in flight begins at 0, without a file for nothing."""
    printed = run_python(
        """
import os
from pathlib import Path

stream = chat()
next(stream)
folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
pid = os.fork()
if not pid:
    print(len(list(folder.glob(f"*_{os.getpid()}.db"))), flush=True)
    list(stream)  # the parent's: it ends unheard in here
    list(chat("child's"))
    os._exit(0 if exporter.flush() else 1)
assert os.waitpid(pid, 0)[1] == 0
print(len(list(folder.glob("gauge_livesum_*.db"))))
list(stream)
assert exporter.flush()
""",
        shared,
    )

    assert printed == "0\n2\n"
    assert totals(collected(shared).get_sample_value, "acme") == of_calls(1)
    assert totals(collected(shared).get_sample_value, "child's") == of_calls(1)


def test_the_fast_way_is_taken_in_this_mode_too(shared: Path) -> None:
    """Gaps are binned in bulk in multiprocess mode, and exemplars are dropped by the client."""
    printed = run_python(
        """
from opentelemetry import trace

context = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))
with trace.use_span(trace.NonRecordingSpan(context)):
    list(chat())
assert exporter.flush()
(gaps,) = exporter._gaps
print(gaps.takes_many)
""",
        shared,
        forks=False,
    )

    assert printed == "True\n"
    assert totals(collected(shared).get_sample_value, "acme") == of_calls(1)
    assert [
        one.exemplar
        for metric in collected(shared).collect()
        for one in metric.samples
        if one.exemplar
    ] == []


# --- gunicorn -------------------------------------------------------------------------------------

APP = """
import os
import signal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        body = generate_latest(registry)
    elif path == "/hold":
        stream = chat("held")
        next(stream)
        signal.pause()  # until it is killed
    else:
        assert len(list(chat())) == 4
        assert exporter.flush(30)
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

SETTINGS = """
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""


@contextmanager
def gunicorn(folder: Path, shared: Path) -> Iterator[str]:
    """Serve the app from four processes, forked after it was loaded; give its address."""
    (folder / "service.py").write_text(CHAT + APP)
    (folder / "settings.py").write_text(SETTINGS)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        (folder / "log").open("w") as log,
    ):
        port = listening.getsockname()[1]
        command = [
            sys.executable, "-m", "gunicorn", "service:app", "--pythonpath", str(folder),
            "--config", str(folder / "settings.py"), "--preload", "--workers", "4",
            "--timeout", "0", "--bind", f"fd://{listening.fileno()}",
            "--worker-tmp-dir", str(folder), "--no-control-socket",
        ]  # fmt: skip
        server = subprocess.Popen(  # noqa: S603 - our own
            command,
            env=environment(shared),
            pass_fds=[listening.fileno()],
            stderr=log,
            start_new_session=True,
        )
    # From here on the server alone has the socket: if it dies, requests are refused.
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - on loopback
        return str(answer.read().decode())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Scrape:
    """The samples of one scrape."""

    def __init__(self, address: str) -> None:
        from prometheus_client import parser  # noqa: PLC0415 - an extra

        self._samples = {
            (one.name, json.dumps(one.labels, sort_keys=True)): one.value
            for metric in parser.text_string_to_metric_families(get(f"{address}/metrics"))
            for one in metric.samples
        }

    def value(self, name: str, labels: dict[str, str]) -> float | None:
        return self._samples.get((name, json.dumps(labels, sort_keys=True)))


def test_four_workers_of_gunicorn_are_one_service(tmp_path: Path, shared: Path) -> None:
    """Totals over four workers are exact, and a worker that is killed and replaced takes none."""
    with gunicorn(tmp_path, shared) as address, ThreadPoolExecutor(8) as clients:
        answered: list[str] = []

        def ask() -> None:
            answered.extend(clients.map(get, [f"{address}/chat"] * 40))

        def four_have_answered() -> bool:
            ask()
            return len(set(answered)) == 4

        until(four_have_answered)
        assert totals(Scrape(address).value, "acme") == of_calls(len(answered))

        held = clients.submit(get, f"{address}/hold")
        in_flight = "tokenclock_calls_in_flight"
        until(lambda: Scrape(address).value(in_flight, {**CALL, "tenant": "held"}) == 1)
        killed = worker_that_holds(shared)
        os.kill(killed, signal.SIGKILL)
        assert held.exception(PATIENCE) is not None
        until(lambda: not (shared / f"gauge_livesum_{killed}.db").exists())

        def a_fifth_has_answered() -> bool:
            ask()
            return len(set(answered)) == 5

        until(a_fifth_has_answered)
        scrape = Scrape(address)

    assert totals(scrape.value, "acme") == of_calls(len(answered))
    assert scrape.value(in_flight, {**CALL, "tenant": "held"}) is None


def worker_that_holds(shared: Path) -> int:
    """Give the process that has a call in flight: the values of its gauges say so."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415 - an extra

    read: Callable[[str], Any] = MmapedDict.read_all_values_from_file
    (found,) = [
        int(path.stem.rpartition("_")[2])
        for path in shared.glob("gauge_livesum_*.db")
        for key, value, *_ in read(str(path))
        if value == 1 and "held" in key
    ]
    return found
