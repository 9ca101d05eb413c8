"""
Start all of it on the loopback, ask for answers, and print what the dashboard would show.

    python start.py [PATH OF PROMETHEUS]        by default the one in PATH

Grafana is not started: import `dashboard.json` there, and choose a Prometheus as data source.
Times are seconds. It printed:

    Calls                            cancelled 0, completed 0.398, failed 0, stopped 0, unconsumed 0
    Calls in flight                  in flight 0
    Tokens                           input 12.5, output 8.61
    Time to first token              p50 0.0204
    Time to first token              p95 0.119
    Time to first token              p99 0.224
    Time per output token            p50 0.0175
    Time per output token            p95 0.0243
    Time per output token            p99 0.0249
    Generation latency               p50 0.406
    Generation latency               p95 0.529
    Generation latency               p99 0.745
    Gaps between chunks              8.76 in 23 buckets
    Calls limited by their consumer  share 0
    Calls since the service started  completed 12
    Tokens since the service started input 420, output 288
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

try:
    import httpx
except ImportError:
    sys.exit("This example needs an HTTP client: pip install httpx")

FOLDER = Path(__file__).parent
PROMPTS = ("Why is the sky blue?", "What do bees make?", "Name three colours.")
CALLS = 12
PATIENCE = 60.0  # seconds
# What Grafana puts in place of these; an interval holds some scrapes.
VARIABLES = {
    "$__rate_interval": "30s", "$function": ".+", "$model": ".*", "$consumer_limited": "false",
}  # fmt: skip
MANY = 10  # series

Answer = dict[str, float]


class Query(NamedTuple):
    """One query of the dashboard, with what Grafana would fill in."""

    panel: str
    expression: str
    legend: str


def queries() -> Iterator[Query]:
    """Give the queries of every panel."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield Query(panel["title"], expression, target["legendFormat"])


class Prometheus:
    """What a running Prometheus knows."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        response = httpx.get(f"{self.url}{path}", params=parameters, timeout=PATIENCE)
        return response.raise_for_status()

    def answer(self, query: Query) -> Answer:
        """Give the value of each series now, by its legend."""
        found = self.get("/api/v1/query", query=query.expression).json()["data"]["result"]
        return {legend(query.legend, one["metric"]): float(one["value"][1]) for one in found}

    def is_ready(self) -> bool:
        try:
            return bool(self.get("/-/ready").is_success)
        except httpx.HTTPError:
            return False

    def sees(self, expression: str) -> bool:
        return bool(self.answer(Query("", expression, "")))


def legend(template: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template


def wait_until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ends:
            sys.exit(f"Gave up waiting until {what}.")
        time.sleep(0.1)


@contextmanager
def running(command: Sequence[str | Path]) -> Generator[subprocess.Popen[str], None, None]:
    """Run a program until the block is left."""
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as program:  # noqa: S603
        try:
            yield program
        finally:
            program.terminate()


@contextmanager
def service() -> Generator[str, None, None]:
    """Run the service in a process of its own, on a free port; give its URL, which it prints."""
    with running([sys.executable, FOLDER / "service.py", "--port", "0"]) as program:
        line = program.stdout.readline() if program.stdout else ""
        if not line:
            sys.exit("The service did not start; it said why.")
        yield line.strip()


@contextmanager
def prometheus(program: str | Path, scraped: str) -> Generator[Prometheus, None, None]:
    """Run a Prometheus that scrapes the service at the URL *scraped*."""
    with TemporaryDirectory() as folder:
        example = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
        config = Path(folder, "prometheus.yml")
        target = scraped.removeprefix("http://")
        config.write_text(example.replace("127.0.0.1:8000", target), encoding="utf-8")
        address = f"127.0.0.1:{free_port()}"
        command = [
            program, f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}", "--enable-feature=exemplar-storage",
            "--log.level=error",
        ]  # fmt: skip
        with running(command):
            database = Prometheus(f"http://{address}")
            wait_until(database.is_ready, "Prometheus is ready")
            wait_until(lambda: database.sees("up == 1"), "Prometheus has scraped the service")
            yield database


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def ask(url: str, *, calls: int) -> None:
    """Ask for answers, one after the other, and read each to its end."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for number in range(calls):
            question = {"question": PROMPTS[number % len(PROMPTS)], "tenant": f"t{number % 2}"}
            with client.stream("GET", "/answer", params=question) as response:
                response.read()


def wait_until_scraped(database: Prometheus, *, calls: int) -> None:
    # Of what the dashboard shows as a count, this is the last that the exporter records.
    total = Query("", "sum(tokenclock_generation_latency_seconds_count)", "")
    wait_until(lambda: database.answer(total) == {"": calls}, "all calls were scraped")


def in_short(answer: Answer) -> str:
    if len(answer) > MANY:  # the buckets of a heatmap, each of which includes those below
        return f"{max(answer.values()):.3g} in {len(answer)} buckets"
    return ", ".join(f"{name} {value:.3g}" for name, value in sorted(answer.items()))


def show(database: Prometheus) -> None:
    """Print what every query of the dashboard gives now."""
    for query in queries():
        print(f"{query.panel:<32} {in_short(database.answer(query))}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what the dashboard shows.")
    parser.add_argument("prometheus", nargs="?", default=shutil.which("prometheus"))
    program = parser.parse_args().prometheus
    if program is None:
        sys.exit("Install Prometheus (https://prometheus.io/download), or give its path.")
    with service() as url, prometheus(program, url) as database:
        ask(url, calls=CALLS)
        wait_until_scraped(database, calls=CALLS)
        show(database)


if __name__ == "__main__":
    main()
