"""A receiver of OTLP over HTTP in this process, which keeps what it is sent: oteltap."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from backends.queries import PATIENCE, eventually
from backends.servers import free_port


class Tap:
    """
    What arrived.

    Attributes:
        url: Where OTLP is taken, without the path of the signal.
        metrics: Each export of each metric, in order, as protobuf messages.
        spans: Each span, in order, as protobuf messages.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.metrics: list[Any] = []
        self.spans: list[Any] = []

    def latest(self) -> dict[str, Any]:
        """Give the last export of each metric, by name."""
        return {metric.name: metric for metric in self.metrics}

    def wait_for(self, is_complete: Callable[[Tap], bool]) -> None:
        """Wait until what must arrive has arrived."""
        eventually(lambda: self, is_complete)
        assert is_complete(self), (sorted(self.latest()), [span.name for span in self.spans])


@contextmanager
def tapped(port: int | None = None) -> Iterator[Tap]:
    """Receive, on a thread with an event loop of its own."""
    port = port or free_port()
    tap = Tap(port)
    has_started, may_end = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_receive(port, tap, has_started, may_end))
        except BaseException as error:  # noqa: BLE001 - raised again where the block begins
            failures.append(error)
            has_started.set()

    thread = threading.Thread(target=run, name="tap")
    thread.start()
    try:
        assert has_started.wait(PATIENCE)
        assert not failures, failures
        yield tap
    finally:
        may_end.set()
        thread.join()


async def _receive(
    port: int, tap: Tap, has_started: threading.Event, may_end: threading.Event
) -> None:
    from oteltap import (  # noqa: PLC0415 - an extra
        OtelTapHttpProtobufReceiver,
        OtelTapHttpProtobufReceiverSettings,
    )

    settings = OtelTapHttpProtobufReceiverSettings(http_port=port)
    async with OtelTapHttpProtobufReceiver(settings) as receiver:
        tasks = [
            asyncio.create_task(_keep(receiver.stream_metrics(), tap.metrics)),
            asyncio.create_task(_keep(receiver.stream_traces(), tap.spans)),
        ]
        await asyncio.sleep(0)  # both are listening now
        has_started.set()
        await asyncio.to_thread(may_end.wait)
    await asyncio.gather(*tasks)  # their streams end with the receiver


async def _keep(stream: AsyncIterator[Any], kept: list[Any]) -> None:
    async for message in stream:
        kept.append(message)  # noqa: PERF401 - at once, since others look while it goes on
