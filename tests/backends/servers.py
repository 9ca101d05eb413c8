"""Prometheus and VictoriaMetrics on the loopback, in processes of their own."""

from __future__ import annotations

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import backends
from backends.queries import DIRECT

PATIENCE = 30.0  # seconds; only a failing test waits as long
PAUSE = 0.05

PROMETHEUS_CONFIG = """\
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
scrape_configs:
  - job_name: tests
    static_configs:
      - targets: ["{target}"]
"""


def free_port() -> int:
    """Give a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[str]:
    """Let a Prometheus scrape *target* (host:port) four times a second; give its URL."""
    config = folder / "prometheus.yml"
    config.write_text(PROMETHEUS_CONFIG.format(target=target))
    address = f"127.0.0.1:{free_port()}"
    command = (
        str(backends.program("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    )
    with _running(command, f"http://{address}", "/-/ready", folder / "prometheus.log"):
        yield f"http://{address}"


@contextmanager
def victoria_metrics(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """Start a VictoriaMetrics that keeps its data in *folder*; give its URL."""
    address = f"127.0.0.1:{port or free_port()}"
    command = (
        str(backends.program("victoria-metrics")),
        f"-storageDataPath={folder / 'victoria-data'}",
        f"-httpListenAddr={address}",
        "-retentionPeriod=1d",
        "-search.latencyOffset=0s",  # an answer is of now, not of half a minute ago
        "-memory.allowedBytes=64MB",
        "-loggerLevel=WARN",
    )
    with _running(command, f"http://{address}", "/health", folder / "victoria.log"):
        yield f"http://{address}"


@contextmanager
def _running(command: Sequence[str], url: str, ready: str, log: Path) -> Iterator[None]:
    with (
        log.open("ab") as written,
        subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT) as process,  # noqa: S603 - the commands are ours
    ):
        try:
            _wait_until_ready(process, url + ready, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    patience_ends = monotonic() + PATIENCE
    while not _answers(url):
        has_ended = process.poll() is not None
        if has_ended or monotonic() > patience_ends:
            what = "ended at once" if has_ended else "does not answer"
            raise RuntimeError(f"{process.args!r} {what}; it wrote:\n{log.read_text()}")
        sleep(PAUSE)


def _answers(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=PATIENCE):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
