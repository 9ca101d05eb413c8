"""
A model server on loopback that does what a script says, and notes when it did.

Real HTTP/1.1 with a chunked body, one thread for each connection. Every path is answered alike:
a script decides the bytes, the chunks after it are those of the providers. All stamps are
``time.perf_counter_ns`` of this process, so that they compare with those of whoever reads.

    with ScriptedServer() as server:
        exchange = server.play([Head(), Wait(40), frame(chat({"content": "a"}), mark="a"), *done()])
        ...  # a client reads server.url
        exchange.at("a").before_ns
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Condition, Event, Thread
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")

# How long anything here is waited for that should have happened long ago.
PATIENCE_SECONDS = 30.0

_POLL_SECONDS = 0.002
_RECEIVED = 65_536


# --- the steps of a script ---------------------------------------------------------------------


class Wait(NamedTuple):
    """Let time pass."""

    milliseconds: float


class Hold(NamedTuple):
    """Wait until somebody sets an event."""

    until: Event


class Head(NamedTuple):
    """Send the headers of a streamed answer: a client's call returns."""

    mark: str = "head"


class Send(NamedTuple):
    """Send some bytes of the body, whatever they are."""

    data: bytes
    mark: str = ""


class Reply(NamedTuple):
    """Send a whole answer in JSON."""

    status: int
    body: Mapping[str, Any]
    mark: str = "reply"


class End(NamedTuple):
    """Send the chunk that ends the body; the connection stays for another request."""

    mark: str = "end"


class HangUp(NamedTuple):
    """Close the connection in the middle of the body, orderly or, by a reset, not even that."""

    reset: bool = False


Step: TypeAlias = Wait | Hold | Head | Send | Reply | End | HangUp


def frame(data: Mapping[str, Any] | str, *, event: str | None = None, mark: str = "") -> Send:
    """Make a server-sent event of a text, or of what becomes JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    named = "" if event is None else f"event: {event}\n"
    return Send(f"{named}data: {text}\n\n".encode(), mark)


def comment(text: str) -> Send:
    """Make a comment line, as servers send to keep a connection alive."""
    return Send(f": {text}\n\n".encode())


def together(*frames: Send, mark: str = "") -> Send:
    """Make one send of several."""
    return Send(b"".join(one.data for one in frames), mark)


def done() -> tuple[Send, End]:
    """Make the end of a stream of OpenAI's; its client is content with the first half."""
    return frame("[DONE]", mark="done"), End()


# --- chunks, as providers send them ------------------------------------------------------------


def chat(
    delta: Mapping[str, Any], *, finish: str | None = None, usage: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make a chunk of OpenAI's chat completions."""
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
    return chat_of([choice], usage=usage)


def chat_of(choices: object, *, usage: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make one with these choices, which may be none."""
    chunk = {
        "id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
        "choices": choices,
    }  # fmt: skip
    return chunk if usage is None else {**chunk, "usage": dict(usage)}


def message(event: str, *, mark: str = "", **fields: Any) -> Send:
    """Make an event of Anthropic's messages, or of OpenAI's responses: both say its type twice."""
    return frame({"type": event, **fields}, event=event, mark=mark)


def message_start(usage: Mapping[str, Any]) -> Send:
    """Make the event that opens a message of Anthropic's."""
    opened: dict[str, Any] = {
        "id": "msg-1", "type": "message", "role": "assistant", "model": "scripted", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": dict(usage),
    }  # fmt: skip
    return message("message_start", message=opened)


def block_start(block: Mapping[str, Any], *, mark: str = "") -> Send:
    """Make the event that opens a block of a message."""
    return message("content_block_start", mark=mark, index=0, content_block=dict(block))


def block_delta(delta: Mapping[str, Any], *, mark: str = "") -> Send:
    """Make the event that adds to a block of a message."""
    return message("content_block_delta", mark=mark, index=0, delta=dict(delta))


def message_end(usage: Mapping[str, Any], *, stop_reason: str = "end_turn") -> tuple[Send, Send]:
    """Make the events that close a message."""
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return (
        message("message_delta", mark="usage", delta=delta, usage=dict(usage)),
        message("message_stop", mark="done"),
    )


# --- what the server noted ---------------------------------------------------------------------


class Request(NamedTuple):
    """What a client asked for."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class Sent(NamedTuple):
    """One send: the stamps right before it and right after."""

    mark: str
    before_ns: int
    after_ns: int


class Exchange:
    """
    One request and its scripted answer, as the server saw them.

    What has not happened yet is waited for.
    """

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = tuple(steps)
        self.sent: list[Sent] = []
        self._request: tuple[Request, int] | None = None
        self._closed_ns: int | None = None
        self._changed = Condition()

    @property
    def request(self) -> Request:
        """What was asked."""
        return self._await(lambda: self._request, "request")[0]

    @property
    def received_ns(self) -> int:
        """When the first bytes of the request were there."""
        return self._await(lambda: self._request, "request")[1]

    @property
    def closed_ns(self) -> int:
        """When it showed that the client had closed the connection."""
        return self._await(lambda: self._closed_ns, "close by the client")

    def at(self, mark: str) -> Sent:
        """Give the stamps of the send of that name."""

        def found() -> Sent | None:
            return next((sent for sent in self.sent if sent.mark == mark), None)

        return self._await(found, f"send of {mark!r}")

    def _await(self, look: Callable[[], T | None], what: str) -> T:
        with self._changed:
            self._changed.wait_for(lambda: look() is not None, PATIENCE_SECONDS)
            found = look()
        if found is None:
            msg = f"there was no {what}"
            raise TimeoutError(msg)
        return found

    # What follows is for the server.

    def note_request(self, request: Request, received_ns: int) -> None:
        """Note what was asked."""
        with self._changed:
            self._request = request, received_ns
            self._changed.notify_all()

    def note_sent(self, sent: Sent) -> None:
        """Note what was sent."""
        with self._changed:
            self.sent.append(sent)
            self._changed.notify_all()

    def note_closed(self, now_ns: int) -> None:
        """Note that the client is gone; the first time counts."""
        with self._changed:
            if self._closed_ns is None:
                self._closed_ns = now_ns
            self._changed.notify_all()


# --- the server --------------------------------------------------------------------------------


class ScriptedServer:
    """
    Answers each request by the next script that was given to ``play``.

    Attributes:
        url: Where it listens, without a path.
        unexpected: Requests for which there was no script; they were answered with status 500.
    """

    def __init__(self) -> None:
        self.unexpected: list[Request] = []
        self._planned: deque[Exchange] = deque()
        self._connections: list[tuple[socket.socket, Thread]] = []
        self._is_closing = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"
        self._acceptor = Thread(target=self._accept, name="scripted-server", daemon=True)

    def play(self, steps: Iterable[Step]) -> Exchange:
        """Answer one request more, after those that wait already, by this script."""
        exchange = Exchange(steps)
        self._planned.append(exchange)
        return exchange

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closing = True
        socket.create_connection(self._address).close()  # wakes the acceptor
        self._acceptor.join()
        self._listener.close()
        for connection, _ in self._connections:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in self._connections:
            thread.join()

    def _accept(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            if self._is_closing:
                accepted.close()
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = Thread(target=self._serve, args=(accepted,), daemon=True)
            self._connections.append((accepted, thread))
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        """Answer what comes over one connection, until one side closes it."""
        exchange = None
        with accepted:
            try:
                while True:
                    request, received_ns = _read_request(accepted)
                    exchange = self._next_for(request)
                    exchange.note_request(request, received_ns)
                    for step in exchange.steps:
                        _take(accepted, exchange, step)
            except _HungUpError:
                return
            except OSError:  # the client is gone, or the server is being closed
                now_ns = perf_counter_ns()
                if exchange is not None and not self._is_closing:
                    exchange.note_closed(now_ns)

    def _next_for(self, request: Request) -> Exchange:
        try:
            return self._planned.popleft()
        except IndexError:
            self.unexpected.append(request)
            return Exchange([Reply(500, {"error": {"message": "nothing was scripted"}})])


class _HungUpError(Exception):
    """The script closed the connection."""


def _read_request(accepted: socket.socket) -> tuple[Request, int]:
    data = _receive(accepted)
    received_ns = perf_counter_ns()
    while b"\r\n\r\n" not in data:
        data += _receive(accepted)
    head, _, body = data.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    headers = dict(http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n")))
    headers = {name.lower(): text for name, text in headers.items()}
    while len(body) < int(headers.get("content-length", 0)):
        body += _receive(accepted)
    method, path, _ = line.decode("latin-1").split(" ", 2)
    return Request(method, path, headers, json.loads(body) if body else None), received_ns


def _receive(accepted: socket.socket) -> bytes:
    data = accepted.recv(_RECEIVED)
    if not data:
        raise ConnectionResetError
    return data


def _take(accepted: socket.socket, exchange: Exchange, step: Step) -> None:
    """Do what one step says."""
    if isinstance(step, Wait):
        _pass_time(accepted, step.milliseconds / 1000)
    elif isinstance(step, Hold):
        while not step.until.is_set():
            _pass_time(accepted, _POLL_SECONDS)
    elif isinstance(step, HangUp):
        if step.reset:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _HungUpError
    else:
        data = _bytes_of(step)
        before_ns = perf_counter_ns()
        accepted.sendall(data)
        exchange.note_sent(Sent(step.mark, before_ns, perf_counter_ns()))


def _pass_time(accepted: socket.socket, seconds: float) -> None:
    """Wait, and notice meanwhile if the client closes; nothing else is to be expected of it."""
    deadline_ns = perf_counter_ns() + round(seconds * 1e9)
    try:
        while (left_ns := deadline_ns - perf_counter_ns()) > 0:
            accepted.settimeout(left_ns / 1e9)
            with suppress(TimeoutError):
                _receive(accepted)
    finally:
        accepted.settimeout(None)


def _bytes_of(step: Head | Send | Reply | End) -> bytes:
    if isinstance(step, Head):
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
    if isinstance(step, End):
        return b"0\r\n\r\n"
    if isinstance(step, Send):
        return b"%x\r\n%s\r\n" % (len(step.data), step.data)
    body = json.dumps(dict(step.body)).encode()
    return (
        f"HTTP/1.1 {step.status} Scripted\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
