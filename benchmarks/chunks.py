"""
What reading a chunk costs, beside what an SDK spends to make it.

The real clients read a server's events from memory, one for each read of their transport: decoding
events, parsing JSON and making models is all the work there is. The bare and the observed client
read the same answer in turn, chunk by chunk and in changing order; a line has the medians over all
chunks of text, and what the reader takes by itself, again and again for the same chunk. Between
two chunks of a client the processor has forgotten much of our code, so that "over bare" is more.

The events are llama.cpp's. The providers' own have more fields, which cost the client more and our
reader nothing.

    python benchmarks/chunks.py [--rounds 20] [--tokens 400]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from time import perf_counter_ns, thread_time_ns
from typing import Any, NamedTuple

from tokenclock import observe
from tokenclock._chunks import ChunkReader
from tokenclock._options import Options

READER_BUDGET_PERCENT = 3.0

Method = Callable[..., Iterable[Any]]


class Answer(NamedTuple):
    """One streamed answer: the events around its tokens and that of a token, and how to ask."""

    name: str
    package: str
    opening: tuple[dict[str, Any], ...]
    token: dict[str, Any]
    ending: tuple[dict[str, Any], ...]
    method: Callable[[Any], Method]
    arguments: dict[str, Any]

    def events(self, tokens: int) -> list[bytes]:
        """Give the events of an answer as they come over the wire."""
        events = (*self.opening, *repeat(self.token, tokens), *self.ending)
        return [*map(on_the_wire, events), b"data: [DONE]\n\n"]


class Line(NamedTuple):
    """What an answer came to, in microseconds a chunk."""

    made: float
    over_bare: float
    read: float


def on_the_wire(event: dict[str, Any]) -> bytes:
    """Give an event as a server sends it; one that has a type says it twice."""
    kind = f"event: {event['type']}\n" if "type" in event else ""
    return f"{kind}data: {json.dumps(event)}\n\n".encode()


# --- what was recorded -------------------------------------------------------------------------


def chat(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """Give a chunk of a chat completion."""
    return {
        "choices": [{"finish_reason": finish_reason, "index": 0, "delta": delta}],
        "created": 1795455740, "id": "chatcmpl-TbhfcDcY5mc2ROGJKiB70dHi2lxF8R7r",
        "model": "smollm2", "system_fingerprint": "b0-unknown", "object": "chat.completion.chunk",
    }  # fmt: skip


def response(status: str, **more: Any) -> dict[str, Any]:
    """Give an event that holds a response as far as it is."""
    return {
        "type": f"response.{status}",
        "response": {
            "id": "resp_WJd6ZANXCy8dEBjV3Rqd1qEtMNG8XMQ0", "object": "response", "status": status,
            "model": "smollm2", "output": [], **more,
        },
    }  # fmt: skip


USAGE = {"completion_tokens": 40, "prompt_tokens": 34, "total_tokens": 74}
ITEM = "msg_rWjhkvyqoGY3qF66f01esDdqgDiOTjKY"
QUESTION = [{"role": "user", "content": "Name three colours."}]

ANSWERS = (
    Answer(
        "openai, chat completions",
        "openai",
        (chat({"role": "assistant", "content": None}),),
        chat({"content": " colour"}),
        (chat({}, "length"), {**chat({}), "choices": [], "usage": USAGE}),
        lambda client: client.chat.completions.create,
        {"model": "smollm2", "messages": QUESTION},
    ),
    Answer(
        "openai, responses",
        "openai",
        (response("created"), response("in_progress")),
        {"type": "response.output_text.delta", "item_id": ITEM, "delta": " colour"},
        (response("completed", usage={"input_tokens": 34, "output_tokens": 40}),),
        lambda client: client.responses.create,
        {"model": "smollm2", "input": "Name three colours."},
    ),
    Answer(
        "anthropic, messages",
        "anthropic",
        (
            {"type": "message_start", "message": {
                "id": "chatcmpl-gSnIwdy97rVlSd5sbZBk0mLqnNm4ksgJ", "type": "message",
                "role": "assistant", "content": [], "model": "smollm2", "stop_reason": None,
                "stop_sequence": None, "usage": {"input_tokens": 34, "output_tokens": 0}}},
            {"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}},
        ),
        {"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": " colour"}},
        (
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "usage": {"output_tokens": 40},
                "delta": {"stop_reason": "max_tokens", "stop_sequence": None}},
            {"type": "message_stop"},
        ),
        lambda client: client.messages.create,
        {"model": "smollm2", "messages": QUESTION, "max_tokens": 40},
    ),
)  # fmt: skip


# --- the clients -------------------------------------------------------------------------------


def client_of(package: str, events: list[bytes]) -> Any:
    """Give the real client, whose every request is answered by these events from memory."""
    sdk = importlib.import_module(package)
    http_client: Any = sdk.DefaultHttpxClient
    http = importlib.import_module(http_client.__mro__[1].__module__.partition(".")[0])

    def respond(_: Any) -> Any:
        headers = {"content-type": "text/event-stream"}
        return http.Response(200, headers=headers, content=iter(events))

    client = sdk.OpenAI if package == "openai" else sdk.Anthropic
    return client(
        api_key="none",
        base_url="http://recorded/v1",
        http_client=http_client(transport=http.MockTransport(respond)),
    )


# --- what is measured --------------------------------------------------------------------------


def in_turn(first: Iterator[Any], second: Iterator[Any], chunks: int) -> list[tuple[int, int]]:
    """Read two streams chunk by chunk and give the nanoseconds of each pair."""
    took = []
    for _ in range(chunks):
        started = perf_counter_ns()
        next(first)
        between = perf_counter_ns()
        next(second)
        took.append((between - started, perf_counter_ns() - between))
    return took


def up_to_the_text(answer: Answer, ask: Method) -> Iterator[Any]:
    """Ask, and give a stream whose next chunk is one of text."""
    stream = iter(ask(**answer.arguments, stream=True))
    for _ in answer.opening:
        next(stream)
    return stream


def pairs_of(answer: Answer, ask: Method, rounds: int, tokens: int) -> list[tuple[int, int]]:
    """Give what each chunk of text took bare and observed, in changing order."""
    measured = observe(ask)
    pairs: list[tuple[int, int]] = []
    for number in range(rounds + 1):
        bare, observed = up_to_the_text(answer, ask), up_to_the_text(answer, measured)
        gc.collect()
        if number % 2:
            pairs += in_turn(bare, observed, tokens)
        elif number:  # the first round only warms up
            pairs += [(without, with_us) for with_us, without in in_turn(observed, bare, tokens)]
        for _ in (*bare, *observed):
            pass
    return pairs


def reading_alone(chunk: Any, times: int) -> float:
    """Give the processor's nanoseconds for reading a chunk like the ones that came before."""
    read = ChunkReader(Options(name="benchmark")).read
    read(chunk)
    started = thread_time_ns()
    for one in repeat(chunk, times):
        read(one)
    between = thread_time_ns()
    for _ in repeat(chunk, times):
        pass
    return (2 * between - started - thread_time_ns()) / times


def compare(answer: Answer, rounds: int, tokens: int) -> Line:
    """Read an answer with the bare and the observed client, and give the medians."""
    client = client_of(answer.package, answer.events(tokens))
    ask = answer.method(client)
    pairs = pairs_of(answer, ask, rounds, tokens)
    chunk = list(ask(**answer.arguments, stream=True))[len(answer.opening)]
    return Line(
        made=statistics.median(bare for bare, _ in pairs) / 1e3,
        over_bare=statistics.median(with_us - bare for bare, with_us in pairs) / 1e3,
        read=statistics.median(reading_alone(chunk, 10 * tokens) for _ in range(rounds)) / 1e3,
    )


# --- the table ----------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=400)
    options = parser.parse_args(arguments)
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print(
        f"{'us a chunk':<26}{'SDK, bare':>10}{'over bare':>11}{'of SDK':>8}"
        f"{'reader alone':>14}{'of SDK':>8}{'budget':>8}"
    )
    for answer in ANSWERS:
        line = compare(answer, options.rounds, options.tokens)
        print(
            f"{answer.name:<26}{line.made:>10.1f}{line.over_bare:>11.2f}"
            f"{line.over_bare / line.made:>8.1%}{line.read:>14.2f}{line.read / line.made:>8.1%}"
            f"{READER_BUDGET_PERCENT:>7.0f}%"
        )


if __name__ == "__main__":
    main()
