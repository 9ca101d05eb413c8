"""
Users for Locust who read streamed answers; `locust_workers.py` starts a master and two workers.

Locust's own response time of a streamed request is that of its headers, which come long before a
token. So the requests are measured here, and Locust is told the time to the first token. Each
worker sends every result to the master as a message, and keeps a file of its own besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped] # it ships no types
import requests
from locust import User, events, task
from locust.exception import StopUser

from tokenclock import MetricsResult, capture, observe
from tokenclock.readers import openai_sse
from tokenclock.records import JsonLinesSink

PROMPTS = ("Why is the sky blue?", "What do bees make?", "Name three colours.", "Who are you?")
TOKENS = 8
PATIENCE = 30.0  # seconds
RESULT = "tokenclock-result"  # the kind of message


def on_init(environment: Any, **_: Any) -> None:
    """Have each worker send its results, and the master keep them."""
    folder, runner = Path(os.environ["RESULTS"]), environment.runner

    def send(result: MetricsResult[Any]) -> None:
        runner.send_message(RESULT, result.to_dict())

    def receive(msg: Any, **_: Any) -> None:
        everything(MetricsResult.from_dict(msg.data))

    if environment.parsed_options.worker:
        Reader.sinks += [send, JsonLinesSink(folder / f"worker-{os.getpid()}.jsonl")]
    else:
        everything = JsonLinesSink(folder / "master.jsonl")
        runner.register_message(RESULT, receive)


def on_start(environment: Any, **_: Any) -> None:
    if environment.parsed_options.master:
        gevent.spawn(quit_when_all_is_reported, environment.runner)


def quit_when_all_is_reported(master: Any) -> None:
    """
    End the run when Locust has counted every request.

    A worker sends a result before Locust counts its request, so all results are here, too. With
    --run-time, the master would wait half a second for what its workers have not sent yet.
    """
    users = master.environment.parsed_options.num_users
    while master.stats.num_requests < users * len(PROMPTS):
        gevent.sleep(0.1)
    master.quit()


class Reader(User):
    """Asks one question after the other, reads each answer to its end, and leaves."""

    sinks: list[Any] = []  # noqa: RUF012 - of the whole process; on_init fills it

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.report = environment.events.request.fire
        self.answer = observe(self.lines, name="answer", read_chunk=openai_sse, sinks=self.sinks)

    def lines(self, prompt: str) -> Iterator[bytes]:
        """Make the request and give the lines of its server-sent events as they arrive."""
        request = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": TOKENS,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        with requests.post(
            f"{self.host}/chat/completions",
            json=request,
            # llama.cpp promises to keep a connection alive, and closes it behind a stream.
            headers={"Connection": "close"},
            stream=True,
            timeout=PATIENCE,
        ) as response:
            response.raise_for_status()
            yield from response.iter_lines()

    @task
    def ask(self) -> None:
        for prompt in PROMPTS:
            self.read(prompt)
        raise StopUser

    def read(self, prompt: str) -> None:
        """Read one answer, and report it to Locust with the time to its first token."""
        failure = None
        with capture() as results:
            try:
                for _line in self.answer(prompt):
                    pass
            except requests.RequestException as error:
                failure = error
        first_token = results[0].time_to_first_token
        self.report(
            request_type="stream",
            name="time to first token",
            response_time=None if first_token is None else first_token * 1000,  # milliseconds
            response_length=results[0].token_count or 0,
            exception=failure,
            context={},
        )


_events: Any = events  # it has types, but not of what it takes
_events.init.add_listener(on_init)
_events.test_start.add_listener(on_start)
