"""What real servers sent, and what it comes to; see the README in ``data/recordings``."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from tokenclock import MetricsResult, Usage

FOLDER = Path(__file__).parent / "data" / "recordings"
SOURCES = ("openai", "lcp_openai")


class Recording(NamedTuple):
    """One answer: who was asked for what, and the text of every flush of the server."""

    name: str
    path: str
    body: dict[str, Any]
    headers: list[tuple[str, str]]
    headers_ns: int
    flushes: list[str]
    arrivals_ns: list[int]

    @property
    def text(self) -> str:
        return "".join(self.flushes)

    @property
    def is_openai(self) -> bool:
        return self.name.startswith(SOURCES)

    @property
    def lines(self) -> list[str]:
        """The lines without their ends, blank ones too."""
        return self.text.removesuffix("\n").split("\n")

    @property
    def events(self) -> list[dict[str, Any]]:
        """What each data line says, as a client without an SDK parses it."""
        return events_in(self.text)


class Streamed(NamedTuple):
    """
    What a streamed recording comes to.

    Attributes:
        tokens: The count to be reported.
        runs: How the chunks of an SDK follow each other: ``"-"`` carries nothing, ``"t"`` text,
            ``"r"`` reasoning, ``"c"`` the call of a tool; each with how many there are in a row.
        usage: What the server said, its own sum of the output aside.
        finish_reason: The last that was given.
        counted_by: What that count is: the server's usage, or the chunks that bear a token.
    """

    tokens: int
    runs: str
    usage: Usage
    finish_reason: str
    counted_by: str = "usage"


class Whole(NamedTuple):
    """What an answer that was not streamed comes to."""

    tokens: int
    input_tokens: int
    finish_reason: str


MODEL = "smollm2"

# A test holds this against the files. Of what llama.cpp read for Anthropic's messages, it reports
# the part that its cache had apart: 34 = 33 + 1.
STREAMED = {
    "anthropic_messages": Streamed(40, "2- 40t 3-", Usage(34, 40, None, 33), "max_tokens"),
    "anthropic_messages_thinking": Streamed(
        13, "2- 7r 1- 1t 5-", Usage(126, 13, None, 0), "end_turn"
    ),
    "anthropic_messages_tool_use": Streamed(37, "1- 15c 3-", Usage(434, 37, None, 433), "tool_use"),
    "lcp_openai_chat_short": Streamed(40, "1- 40t 1-", Usage(), "length", counted_by="chunks"),
    "openai_chat_multibyte": Streamed(23, "15t 2-", Usage(34, 23, None, 0), "stop"),
    "openai_chat_no_usage": Streamed(7, "1- 7t 1-", Usage(), "stop", counted_by="chunks"),
    "openai_chat_reasoning": Streamed(13, "1- 7r 1t 2-", Usage(126, 13, None, 0), "stop"),
    "openai_chat_short": Streamed(40, "1- 40t 2-", Usage(34, 40, None, 0), "length"),
    "openai_chat_tool_call": Streamed(37, "1- 14c 2-", Usage(434, 37, None, 0), "tool_calls"),
    # Two answers of 12 tokens each; the server's usage counts one of them.
    "openai_chat_two_choices": Streamed(
        24, "1- 1t 1- 22t 2- 1t 2-", Usage(34, 12, None, 0), "length", counted_by="chunks"
    ),
    "openai_completions_legacy": Streamed(24, "24t 1-", Usage(3, 24, None, 0), "length"),
    "openai_completions_usage": Streamed(12, "12t 1-", Usage(6, 12, None, 0), "length"),
    "openai_responses": Streamed(12, "4- 12t 4-", Usage(34, 12, None, 0), "completed"),
}
WHOLE = {
    "anthropic_messages_whole": Whole(12, 34, "max_tokens"),
    "openai_chat_whole": Whole(12, 34, "length"),
    "openai_responses_whole": Whole(12, 34, "completed"),
}
OPENAI = [name for name in STREAMED if name.startswith(SOURCES)]
LETTERS = {"text": "t", "reasoning": "r", "tool": "c", None: "-"}


def load(name: str) -> Recording:
    """Read a recording."""
    kept = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    request, response = kept["request"], kept["response"]
    return Recording(
        name=kept["name"],
        path=request["path"],
        body=request["body"],
        headers=[(name, value) for name, value in response["headers"]],
        headers_ns=kept["t_headers_ns"],
        flushes=[text for _, text in kept["chunks"]],
        arrivals_ns=[arrived for arrived, _ in kept["chunks"]],
    )


def events_in(text: str) -> list[dict[str, Any]]:
    """Give what each data line of a text says."""
    said = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(data) for data in said if data != "[DONE]"]


def channel_of(event: dict[str, Any]) -> str | None:
    """Say what a recorded event carries, by the few shapes that the recordings have."""
    if event.get("choices"):
        [choice] = event["choices"]
        said = choice.get("delta", choice)
        names = {"text": "text", "content": "text", "reasoning_content": "reasoning"}
        found = [channel for name, channel in names.items() if said.get(name)]
        return "tool" if said.get("tool_calls") else next(iter(found), None)
    kind = event.get("type")
    if kind == "response.output_text.delta":
        return "text"
    if kind == "content_block_start":
        return "tool" if event["content_block"]["type"] == "tool_use" else None
    if kind == "content_block_delta":
        deltas = {"text_delta": "text", "thinking_delta": "reasoning", "input_json_delta": "tool"}
        return deltas.get(event["delta"]["type"])
    return None


def runs_of(channels: Sequence[str | None]) -> str:
    """Say how channels follow each other, as the table does."""
    return " ".join(f"{len(list(row))}{LETTERS[channel]}" for channel, row in groupby(channels))


def channels_in(result: MetricsResult[Any]) -> list[str | None]:
    """Give the channel of every chunk that bears a token; a token of none is a mistake."""
    timeline = result.timeline
    assert timeline is not None
    assert all(entry.tokens == (entry.channel is not None) for entry in timeline)
    return [entry.channel for entry in timeline]


def check_words(result: MetricsResult[Any], expected: Streamed) -> None:
    """Check all of a result that does not depend on how the answer was cut into chunks."""
    assert result.token_count == expected.tokens
    assert (result.token_source == "usage") == (expected.counted_by == "usage")
    assert result.input_token_count == expected.usage.input_tokens
    assert result.cached_token_count == expected.usage.cached_tokens
    assert result.reasoning_token_count is None
    assert result.model == MODEL
    assert result.finish_reason == expected.finish_reason
    assert result.outcome == "completed"
    assert result.streamed
