"""A real Prometheus scrapes a service, and PromQL gives the numbers of its results."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import accumulate
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from backends.queries import PATIENCE, eventually, get, number, vector
from backends.servers import free_port, prometheus
from local_model import LocalModel
from tokenclock import MetricsResult, observe
from tokenclock.exporters._buckets import GENERATION_LATENCY, INTER_TOKEN, TIME_TO_FIRST_TOKEN
from tokenclock.summary import ResultLog, summarize

if TYPE_CHECKING:
    import httpx

    from tokenclock.exporters.prometheus import PrometheusMetrics

pytestmark = [pytest.mark.extras, pytest.mark.backends("prometheus")]

Result = MetricsResult[Any]

# Of 20 * n + 1 values the ranks of the quantiles asked for are whole numbers, so that no rule of
# interpolation comes between; 21 calls with 22 tokens each have 441 gaps.
CALLS = 21
TOKENS = 22

# Sums are those of the same numbers, added in another order.
ORDER = 1e-12

Numbers = Callable[[Result], Iterable[float | None]]
HISTOGRAMS: dict[str, tuple[tuple[float, ...], Numbers]] = {
    "time_to_first_token": (TIME_TO_FIRST_TOKEN, lambda one: [one.time_to_first_token]),
    "time_per_output_token": (INTER_TOKEN, lambda one: [one.time_per_output_token]),
    "inter_token_latency": (INTER_TOKEN, lambda one: one.inter_token_latencies),
    "generation_latency": (GENERATION_LATENCY, lambda one: [one.generation_latency]),
}


class Scraped(NamedTuple):
    """
    A service that has answered, and the Prometheus that scrapes it.

    Attributes:
        database: The URL of Prometheus.
        results: Of the calls of the service.
        traces: The trace of each span of a call, as hexadecimal text.
        exporter: What exports the service's calls; not installed any more.
    """

    database: str
    results: list[Result]
    traces: set[str]
    exporter: PrometheusMetrics


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    import httpx  # noqa: PLC0415 - an extra
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra

    from backends.service import make_app  # noqa: PLC0415 - needs extras
    from tokenclock.exporters.prometheus import PrometheusMetrics  # noqa: PLC0415 - an extra
    from web_app import served  # noqa: PLC0415 - needs extras

    registry = CollectorRegistry()
    exporter = PrometheusMetrics(registry, exemplars=True)
    with (
        closing(LocalModel()) as model,
        served(make_app(model, registry)) as url,
        prometheus(urlsplit(url).netloc, tmp_path_factory.mktemp("prometheus")) as database,
    ):
        with (
            spans_of_calls() as spans,
            exporter,
            logged() as log,
            httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ):
            for _ in range(CALLS):
                ask(client, TOKENS)
        wait_for_calls(database, CALLS)
        traces = {f"{span.context.trace_id:032x}" for span in spans.get_finished_spans()}
        yield Scraped(database, log.results, traces, exporter)


@contextmanager
def spans_of_calls() -> Iterator[Any]:
    """Give every call a span of a real SDK; give the exporter that keeps them."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415 - an extra
        InMemorySpanExporter,
    )

    from tokenclock.exporters.opentelemetry import OpenTelemetrySpans  # noqa: PLC0415 - an extra

    kept = InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(kept))
    with OpenTelemetrySpans(tracers):
        yield kept


@contextmanager
def logged() -> Iterator[ResultLog]:
    """Keep the results of every call."""
    from tokenclock import add_sink, remove_sink  # noqa: PLC0415 - used here only

    log = ResultLog()
    add_sink(log)
    try:
        yield log
    finally:
        remove_sink(log)


def ask(client: httpx.Client, tokens: int) -> str:
    """Read an answer to its end; give the process that gave it."""
    response = client.get("/answer", params={"tokens": tokens})
    response.raise_for_status()
    process: str = response.headers["process"]
    return process


def wait_for_calls(database: str, calls: int) -> None:
    """Wait until the database has scraped so many completed calls."""
    completed = 'sum(tokenclock_calls_total{function="answer",outcome="completed"})'
    assert eventually(lambda: number(database, completed), lambda it: it == calls) == calls


def numbers_of(results: Iterable[Result], numbers: Numbers) -> list[float]:
    return [value for one in results for value in numbers(one) if value is not None]


def assert_histograms(database: str, results: Iterable[Result]) -> None:
    """Hold every count, sum and bucket in the database against the results."""
    for name, (bounds, numbers) in HISTOGRAMS.items():
        values = numbers_of(results, numbers)
        metric = f"tokenclock_{name}_seconds"
        answers = '{function="answer"}'
        assert number(database, f"sum({metric}_count{answers})") == len(values), name
        total = number(database, f"sum({metric}_sum{answers})")
        assert math.isclose(total, math.fsum(values), rel_tol=ORDER), name
        assert cumulative(database, f"{metric}_bucket{answers}") == counted_up_to(values, bounds)


def cumulative(database: str, buckets: str) -> dict[float, float]:
    samples = vector(database, f"sum by (le) ({buckets})")
    return {float(sample.labels["le"]): sample.value for sample in samples}


def counted_up_to(values: Iterable[float], bounds: tuple[float, ...]) -> dict[float, float]:
    """Count the values up to each bound, that included."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return dict(zip((*bounds, math.inf), accumulate(counts), strict=True))


@pytest.mark.model
def test_counts_sums_and_buckets_are_those_of_the_results(scraped: Scraped) -> None:
    """What was scraped is what the results of the service's calls add up to."""
    assert len(scraped.results) == CALLS
    assert_histograms(scraped.database, scraped.results)

    tokens = {
        sample.labels["direction"]: sample.value
        for sample in vector(scraped.database, "sum by (direction) (tokenclock_tokens_total)")
    }
    read = sum(result.input_token_count or 0 for result in scraped.results)
    assert tokens == {"input": read, "output": CALLS * TOKENS}
    assert read > 0


@pytest.mark.model
def test_quantiles_lie_in_the_bucket_of_the_summarys(scraped: Scraped) -> None:
    """The quantile that a dashboard shows lies in the bucket in which the exact one is."""
    summary = summarize(scraped.results)
    for name, (bounds, _) in HISTOGRAMS.items():
        exact = getattr(summary, name)
        assert exact.count == (441 if name == "inter_token_latency" else 21)
        for quantile, value in ((0.5, exact.p50), (0.9, exact.p90), (0.95, exact.p95)):
            buckets = f'sum by (le) (tokenclock_{name}_seconds_bucket{{function="answer"}})'
            shown = number(scraped.database, f"histogram_quantile({quantile}, {buckets})")
            place = bisect_left(bounds, value)
            assert (0.0, *bounds)[place] <= shown <= bounds[place], (name, quantile)


@pytest.mark.model
def test_labels_say_whose_calls_they_were(scraped: Scraped) -> None:
    """Function, model and provider of the calls are labels in the database."""
    samples = vector(scraped.database, "sum by (function,model,provider) (tokenclock_calls_total)")
    assert dict(samples[0].labels) == {
        "function": "answer",
        "model": "SmolLM2-135M-Instruct",
        "provider": "llama.cpp",
    }


@pytest.mark.model
def test_an_exemplar_leads_to_the_trace_of_its_call(scraped: Scraped) -> None:
    """The trace that a bucket names is one of the service's, of a call that took just as long."""
    latencies = {result.generation_latency for result in scraped.results}
    answer = get(
        f"{scraped.database}/api/v1/query_exemplars",
        query="tokenclock_generation_latency_seconds_bucket",
        start=str(time() - 600),
        end=str(time() + 600),
    )
    exemplars = [exemplar for series in answer["data"] for exemplar in series["exemplars"]]
    assert len(scraped.traces) == CALLS
    assert {float(one["value"]) for one in exemplars} <= latencies
    assert {one["labels"]["trace_id"] for one in exemplars} <= scraped.traces
    assert exemplars


@pytest.mark.model
def test_the_gauge_shows_the_calls_in_flight(scraped: Scraped) -> None:
    """A call that goes on is seen by the database, and gone when it is over."""
    may_end = threading.Event()

    @observe(name="held")
    def held() -> Iterator[str]:
        yield "word"
        may_end.wait(PATIENCE)

    in_flight = 'sum(tokenclock_calls_in_flight{function="held"})'
    with scraped.exporter:
        stream = held()
        next(stream)
        during = eventually(lambda: number(scraped.database, in_flight), lambda it: it == 1)
        may_end.set()
        assert list(stream) == []
        after = eventually(lambda: number(scraped.database, in_flight), lambda it: it == 0)
    assert (during, after) == (1, 0)
    all_in_flight = "sum(tokenclock_calls_in_flight)"
    assert number(scraped.database, all_in_flight) == 0


# --- several processes --------------------------------------------------------------------------


@contextmanager
def four_workers(folder: Path, results: Path) -> Iterator[str]:
    """Serve the app from four processes that gunicorn forks; give its URL."""
    shared = folder / "metrics"
    shared.mkdir()
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = (
        sys.executable, "-m", "gunicorn", "--worker-class", "asgi", "--workers", "4", "--preload",
        "--bind", f"127.0.0.1:{port}", "--worker-tmp-dir", str(folder), "--no-control-socket",
        "backends.service:app",
    )  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PROMETHEUS_MULTIPROC_DIR": str(shared),
        "RESULTS": str(results),
    }
    log = folder / "workers.log"
    with (
        log.open("wb") as written,
        subprocess.Popen(command, env=environment, stdout=written, stderr=written) as process,  # noqa: S603 - the commands are ours
    ):
        try:
            yield url
        except BaseException:
            print(log.read_text())  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            process.terminate()


def test_totals_over_four_worker_processes_are_exact(tmp_path: Path) -> None:
    """What four forked workers counted together is what their results add up to."""
    import httpx  # noqa: PLC0415 - an extra

    results = tmp_path / "results"
    results.mkdir()
    with (
        four_workers(tmp_path, results) as url,
        prometheus(urlsplit(url).netloc, tmp_path) as database,
    ):
        calls, processes = ask_every_worker(url, httpx)
        wait_for_calls(database, calls)
        kept = [
            MetricsResult.from_dict(json.loads(line))
            for file in results.iterdir()
            for line in file.read_text().splitlines()
        ]
        assert (len(kept), len(processes)) == (calls, 4)
        assert_histograms(database, kept)
        tokens = number(database, 'sum(tokenclock_tokens_total{direction="output"})')
        assert tokens == 10 * calls
        idle = eventually(
            lambda: number(database, "sum(tokenclock_calls_in_flight)"), lambda it: it == 0
        )
        assert idle == 0


def ask_every_worker(url: str, httpx: Any) -> tuple[int, set[str]]:
    """Ask, each time anew, until every worker has answered, and forty times at least."""
    processes: set[str] = set()
    calls = 0

    def answers() -> bool:
        try:
            return bool(httpx.get(f"{url}/metrics/").is_success)
        except httpx.TransportError:
            return False

    assert eventually(answers, bool)
    while calls < 40 or (len(processes) < 4 and calls < 400):
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            processes.add(ask(client, 10))
        calls += 1
    return calls, processes
