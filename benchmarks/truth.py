"""
Whether our times are true: those of a script against those we measure, read by real clients.

A server on loopback follows a script and stamps each send right before it. The script's time of a
token is from the stamp right before the client's method is called to that send; ours is what the
result says. What lies between is the way through loopback, the client's own decoding and us. Where
the caller is slow, a token that waits in the socket is there when the caller asks. One round more
than is shown comes first: clients build some of their classes at the first chunk of each kind.

    python benchmarks/truth.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import starmap
from time import perf_counter_ns
from typing import Any, NamedTuple

import anthropic
import openai

from scripted_server import (
    End,
    Exchange,
    Head,
    ScriptedServer,
    Send,
    Step,
    Wait,
    block_delta,
    block_start,
    chat,
    chat_of,
    done,
    frame,
    message,
    message_end,
    message_start,
    together,
)
from tokenclock import MetricsResult, metrics_of, observe

BOUND_MS = 15.0
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Why is the sky blue?"}]
ROLE = frame(chat({"role": "assistant", "content": None}))


class Method(NamedTuple):
    """A method that streams, of a client that can be sync or async."""

    clients: tuple[Callable[..., Any], Callable[..., Any]]
    base: str
    of: Callable[[Any], Callable[..., Any]]
    asked: Mapping[str, Any]


class Case(NamedTuple):
    """
    A script, and which of its sends are the first token, the last token and the end.

    ``pauses_ms`` is how long the caller keeps each chunk, by its number.
    """

    name: str
    steps: tuple[Step, ...]
    first: str = "first"
    last: str = "last"
    end: str = "done"
    method: str = "chat"
    pauses_ms: Mapping[int, float] = {}


class Times(NamedTuple):
    """The three times of one run, in milliseconds."""

    first_token: float
    last_token: float
    latency: float


class Run(NamedTuple):
    """The stamps of a reading loop, and what we made of the same run."""

    call_ns: int
    asked_ns: list[int]
    result: MetricsResult[Any]


OPENAI = (openai.OpenAI, openai.AsyncOpenAI)
METHODS = {
    "chat": Method(
        OPENAI, "/v1", lambda client: client.chat.completions.create,
        {"model": "m", "messages": ASKED, "stream": True},
    ),
    "completions": Method(
        OPENAI, "/v1", lambda client: client.completions.create,
        {"model": "m", "prompt": "The sky", "stream": True},
    ),
    "responses": Method(
        OPENAI, "/v1", lambda client: client.responses.create,
        {"model": "m", "input": "Why is the sky blue?", "stream": True},
    ),
    "messages": Method(
        (anthropic.Anthropic, anthropic.AsyncAnthropic), "", lambda client: client.messages.create,
        {"model": "m", "messages": ASKED, "max_tokens": 9, "stream": True},
    ),
}  # fmt: skip


# --- the scripts -------------------------------------------------------------------------------


def text(content: str, mark: str = "") -> Send:
    """Make a chunk of text."""
    return frame(chat({"content": content}), mark=mark)


def tool(mark: str = "", **said: Any) -> Send:
    """Make a chunk of a tool call."""
    return frame(chat({"tool_calls": [{"index": 0, **said}]}), mark=mark)


def usage_of(tokens: int) -> Send:
    """Make the chunk that only holds usage."""
    counts = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    return frame(chat_of([], usage=counts), mark="usage")


TAIL = (Wait(20), text(" is", ""), Wait(20), text(" blue.", "last"))


def chat_cases() -> Iterator[Case]:
    """Give what a server of chat completions may do."""
    yield Case(
        "headers late, role frame",
        (Wait(500), Head(), ROLE, Wait(300), text("The sky", "first"), *TAIL, *done()),
    )
    yield Case(
        "role frame at once", (Head(), ROLE, Wait(300), text("The", "first"), *TAIL, *done())
    )
    yield Case("content first", (Head(), Wait(200), text("The sky", "first"), *TAIL, *done()))
    yield Case(
        "no choices first",
        (
            Head(), frame(chat_of(None)), frame(chat_of([])), Wait(200), text("The", "first"),
            *TAIL, *done(),
        ),
    )  # fmt: skip
    thought = frame(chat({"reasoning_content": "Hm"}), mark="first")
    yield Case("reasoning first", (Head(), ROLE, Wait(200), thought, Wait(200), *TAIL, *done()))
    named = tool("first", id="c1", type="function", function={"name": "look", "arguments": ""})
    argument = tool("last", function={"arguments": "{}"})
    yield Case("tool call", (Head(), ROLE, Wait(300), named, Wait(50), argument, *done()))
    yield Case(
        "usage tail",
        (Head(), Wait(100), text("The", "first"), *TAIL, Wait(300), usage_of(3), *done()),
    )
    yield Case(
        "stall",
        (Head(), Wait(100), text("The", "first"), text(" sky"), Wait(500), *TAIL, *done()),
    )
    yield Case(
        "several tokens a frame",
        (
            Head(), Wait(100), text("The sky of", "first"), Wait(50), text(" day is blue", "last"),
            usage_of(7), *done(),
        ),
    )  # fmt: skip
    pieces = together(ROLE, text("The"), text(" sky"), mark="first")
    yield Case("frames in one packet", (Head(), Wait(100), pieces, *TAIL, *done()))
    whole = text("The sky").data
    halves = (Send(whole[:60]), Wait(200), Send(whole[60:], "first"))
    yield Case("a frame in two packets", (Head(), *halves, *TAIL, *done()))
    yield Case(
        "slow consumer",
        (Head(), Wait(100), text("The", "first"), Wait(20), text(" sky", "last"), *done()),
        pauses_ms={0: 300, 1: 100},
    )


def other_cases() -> Iterator[Case]:
    """Give the other ways to ask."""
    said = [
        frame(chat_of([{"index": 0, "text": text, "finish_reason": None}]), mark=mark)
        for text, mark in (("The", "first"), (" sky", "last"))
    ]
    completion = (Wait(200), Head(), Wait(100), said[0], Wait(50), said[1], *done())
    yield Case("completions", completion, method="completions")
    response = {"id": "r", "object": "response", "model": "m", "output": []}
    item = {"item_id": "i", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [
        message("response.output_text.delta", mark=mark, **{**item, "delta": text})
        for text, mark in (("The", "first"), (" sky", "last"))
    ]
    responses = (
        Head(), message("response.created", response=response), Wait(300), deltas[0], Wait(50),
        deltas[1], Wait(100), message("response.completed", mark="done", response=response), End(),
    )  # fmt: skip
    yield Case("responses", responses, method="responses")


def message_cases() -> Iterator[Case]:
    """Give what a server of Anthropic's messages may do."""
    opening = (message_start({"input_tokens": 9, "output_tokens": 1}), message("ping"))
    block = block_start({"type": "text", "text": ""})
    said = [
        block_delta({"type": "text_delta", "text": text}, mark=mark)
        for text, mark in (("The", "first"), (" sky", "last"))
    ]
    close = (message("content_block_stop", index=0), *message_end({"output_tokens": 9}), End())
    yield Case(
        "anthropic, headers late",
        (Wait(500), Head(), *opening, block, Wait(300), said[0], Wait(50), said[1], *close),
        end="end", method="messages",
    )  # fmt: skip
    thought = (
        block_start({"type": "thinking", "thinking": "", "signature": ""}),
        Wait(200), block_delta({"type": "thinking_delta", "thinking": "Hm"}, mark="first"),
        block_delta({"type": "signature_delta", "signature": "c2ln"}),
        message("content_block_stop", index=0), Wait(200),
    )  # fmt: skip
    yield Case(
        "anthropic, thinking first",
        (Head(), *opening, *thought, block, said[1], *close), end="end", method="messages",
    )  # fmt: skip
    call = block_start({"type": "tool_use", "id": "t1", "name": "look", "input": {}}, mark="first")
    argument = block_delta({"type": "input_json_delta", "partial_json": "{}"}, mark="last")
    yield Case(
        "anthropic, tool call, tail",
        (Head(), *opening, Wait(200), call, Wait(50), argument, Wait(200), *close),
        end="end", method="messages",
    )  # fmt: skip


# --- reading -----------------------------------------------------------------------------------


def read(create: Callable[..., Any], case: Case) -> Run:
    """Read a stream to its end, as slowly as the case says."""
    asked_ns: list[int] = []
    observed = observe(create)
    gc.collect()
    call_ns = perf_counter_ns()
    stream = observed(**METHODS[case.method].asked)
    while True:
        asked_ns.append(perf_counter_ns())
        try:
            next(stream)
        except StopIteration:
            return Run(call_ns, asked_ns, result_of(stream))
        time.sleep(case.pauses_ms.get(len(asked_ns) - 1, 0) / 1000)


async def aread(create: Callable[..., Any], case: Case) -> Run:
    """Do the same with an async one."""
    asked_ns: list[int] = []
    observed = observe(create)
    gc.collect()
    call_ns = perf_counter_ns()
    stream = await observed(**METHODS[case.method].asked)
    while True:
        asked_ns.append(perf_counter_ns())
        try:
            await anext(stream)
        except StopAsyncIteration:
            return Run(call_ns, asked_ns, result_of(stream))
        await asyncio.sleep(case.pauses_ms.get(len(asked_ns) - 1, 0) / 1000)


def result_of(stream: Any) -> MetricsResult[Any]:
    """Give the result of a stream that has ended well and had tokens."""
    result: MetricsResult[Any] | None = metrics_of(stream)
    if result is None or result.outcome != "completed" or not result.token_count:
        msg = f"the stream did not end well, or had no token: {result!r}"
        raise AssertionError(msg)
    return result


def play(server: ScriptedServer, case: Case, rounds: int) -> list[tuple[Times, Times]]:
    """Run a case with a sync client; give the script's times and ours."""
    method = METHODS[case.method]
    with method.clients[0](base_url=server.url + method.base, api_key="none") as client:
        runs = [(server.play(case.steps), read(method.of(client), case)) for _ in range(rounds)]
    return list(starmap(partial(times, case), runs))


def aplay(server: ScriptedServer, case: Case, rounds: int) -> list[tuple[Times, Times]]:
    """Run a case with an async client; give the same."""
    method = METHODS[case.method]

    async def run() -> list[tuple[Exchange, Run]]:
        client_of = method.clients[1]
        async with client_of(base_url=server.url + method.base, api_key="none") as client:
            return [
                (server.play(case.steps), await aread(method.of(client), case))
                for _ in range(rounds)
            ]

    return list(starmap(partial(times, case), asyncio.run(run())))


def times(case: Case, exchange: Exchange, run: Run) -> tuple[Times, Times]:
    """Give the times of the script, and ours."""
    result = run.result
    first, last = result.time_to_first_token, result.time_to_last_token
    if first is None or last is None:
        msg = f"a stream with tokens must have the times of them: {result!r}"
        raise AssertionError(msg)
    there = [exchange.at(mark).before_ns for mark in (case.first, case.last, case.end)]
    if case.pauses_ms:  # one token a chunk: the first, the last and the end were asked for last
        there = list(map(max, there, run.asked_ns[-3:]))
    return (
        Times(*((stamp - run.call_ns) / 1e6 for stamp in there)),
        Times(first * 1e3, last * 1e3, result.generation_latency * 1e3),
    )


# --- the table ---------------------------------------------------------------------------------


def columns(pairs: list[tuple[Times, Times]]) -> tuple[str, float]:
    """Give the columns of one line, and its largest error."""
    texts: list[str] = []
    largest = 0.0
    for number in range(len(Times._fields)):
        script = [one[number] for one, _ in pairs]
        ours = [other[number] for _, other in pairs]
        errors = [other - one for one, other in zip(script, ours, strict=True)]
        worst = max(errors, key=abs)
        largest = max(largest, abs(worst))
        texts.append(
            f"{statistics.median(script):>9.1f}{statistics.median(ours):>8.1f}"
            f"{statistics.median(errors):>7.2f}{worst:>7.2f}"
        )
    return "".join(texts), largest


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, "
        f"openai {openai.__version__}, anthropic {anthropic.__version__}; "
        f"milliseconds, medians of {rounds} rounds and the worst error"
    )
    print(f"{'':<33}" + "".join(f"{name:>31}" for name in ("first token", "last token", "latency")))
    print(f"{'':<33}" + f"{'script':>9}{'ours':>8}{'error':>7}{'worst':>7}" * 3)
    largest = 0.0
    with ScriptedServer() as server:
        for case in (*chat_cases(), *other_cases(), *message_cases()):
            for how, played in (("sync", play), ("async", aplay)):
                line, error = columns(played(server, case, rounds + 1)[1:])
                print(f"{case.name:<27}{how:<6}{line}", flush=True)
                largest = max(largest, error)
    verdict = "every one" if largest < BOUND_MS else "NOT every one"
    print(f"largest error {largest:.2f} ms: {verdict} is below {BOUND_MS:.0f} ms")


if __name__ == "__main__":
    main()
