"""A receiver of telemetry that does as it is told: takes what comes, refuses it, or hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 30.0  # seconds; only a failing test waits as long


class Receiver:
    """
    What it does and has seen.

    Attributes:
        url: Where it listens.
        status: What it answers.
        asked: The paths of the requests that have come, in order.
        answered: How many of them were answered.
        may_answer: Cleared, it answers nobody until it is set.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.asked: list[str] = []
        self.answered = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._counting = threading.Lock()

    def answer(self, path: str) -> int:
        """Wait until it may answer; give the status."""
        self.asked.append(path)
        self.may_answer.wait(PATIENCE)
        with self._counting:
            self.answered += 1
        return self.status


@contextmanager
def received() -> Iterator[Receiver]:
    """Listen on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answer(self.path)
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except ConnectionError:
                pass  # whoever asked has stopped waiting

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver")
    thread.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()
