"""
The edge of the network: a server on loopback, in a process of its own, that says yes to everything.

Everything before it is the contender's own code and runs as it does in earnest: the batching, the
encoding, the HTTP client and its socket.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

if __package__:
    from peers.contender import Request

CONTROL = "/tokenclock-edge/"
HOST = "127.0.0.1"


class Edge:
    """The server seen from the worker: what it shall answer and what it has got."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, __file__], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for above
        self._port = int(self._process.stdout.readline())
        self.address = f"http://{HOST}:{self._port}"
        self._ask("answers", dict(answers))

    def keep(self, *, on: bool) -> None:
        """Keep the requests that come from now on, or count them only."""
        self._ask("keep", on)

    def taken(self) -> list[Request]:
        """Give the kept requests and forget them."""
        return [
            Request(one["method"], one["path"], one["headers"], base64.b64decode(one["body"]))
            for one in self._ask("taken")
        ]

    def count(self) -> int:
        """Give how many requests came in all."""
        count: int = self._ask("count")
        return count

    def close(self) -> None:
        """End the server: its input ends, so it does."""
        self._process.communicate(timeout=30)

    def _ask(self, what: str, value: Any = None) -> Any:
        connection = HTTPConnection(HOST, self._port, timeout=30)
        connection.request("POST", CONTROL + what, json.dumps(value))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


class Server(ThreadingHTTPServer):
    """The server in its own process."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((HOST, 0), Handler)
        self.lock = threading.Lock()
        self.answers: dict[str, Any] = {}
        self.keeping = False
        self.kept: list[dict[str, Any]] = []
        self.count = 0

    def control(self, what: str, value: Any) -> Any:
        """Do what the worker asks."""
        if what == "taken":
            kept, self.kept = self.kept, []
            return kept
        if what == "count":
            return self.count
        if what == "keep":
            self.keeping = value
        else:
            self.answers = value
        return None

    def answer(self, path: str) -> Any:
        """Give what the contender expects from a path, or an empty object."""
        return next((answer for part, answer in self.answers.items() if part in path), {})


class Handler(BaseHTTPRequestHandler):
    """One connection of a contender."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body of an answer leave in one piece

    def respond(self) -> None:
        """Read a request, remember it if asked, say 200."""
        body = self.chunks() if self.headers.get("Transfer-Encoding") else self.sized()
        with self.server.lock:
            if self.path.startswith(CONTROL):
                what = self.path.removeprefix(CONTROL)
                answer = self.server.control(what, json.loads(body))
            else:
                answer = self.server.answer(self.path)
                self.remember(body)
        self.say(json.dumps(answer).encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = respond  # noqa: N815 - its names

    def sized(self) -> bytes:
        """Read a body of known length."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def chunks(self) -> bytes:
        """Read a body that comes in chunks."""
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def remember(self, body: bytes) -> None:
        """Count a request, and keep it if that was asked for."""
        self.server.count += 1
        if self.server.keeping:
            self.server.kept.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": base64.b64encode(body).decode(),
                }
            )

    def say(self, body: bytes) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the worker closes our input."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
