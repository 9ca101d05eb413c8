"""Every example runs from main() and prints what it says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"\d+(\.\d+)?"
THREE_LINES = (
    rf"Time to First Token: {NUMBER}\nGeneration Latency: {NUMBER}\nThroughput: {NUMBER}\n"
)


def printed_by(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    importlib.import_module(name).main()
    return capsys.readouterr().out


def test_no_example_is_left_out() -> None:
    """Each script in examples/ has its test here."""
    tested = {"async_streaming", "demo", "inspect_results", "sdk_method", "sync_method"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"local_model"} == tested


def test_inspect_results_prints_exactly_what_its_docstring_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The clock is fake, so every number is known."""
    printed = printed_by("inspect_results", capsys)
    docstring = importlib.import_module("inspect_results").__doc__ or ""
    promised = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    assert printed.splitlines() == promised


@pytest.mark.model
def test_the_demo_streams_twice_and_reports_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A generator and an async generator of the real model, with both texts for each."""
    printed = printed_by("demo", capsys)
    assert "Model: SmolLM2-135M-Instruct, in this process" in printed
    assert len(re.findall(THREE_LINES, printed)) == 2
    assert len(re.findall(r"Assistant\.a?answer: completed\n  time to first token ", printed)) == 2


@pytest.mark.model
def test_the_sync_method_gives_the_same_text_as_list_and_as_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A list says that it was not streamed; the stream has the same tokens."""
    printed = printed_by("sync_method", capsys)
    assert "16 tokens, streamed: False" in printed
    assert len(re.findall(THREE_LINES, printed)) == 2
    assert "same text: True" in printed


@pytest.mark.model
def test_the_async_method_measures_calls_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Four calls complete; of the three made at once each has its own first token."""
    printed = printed_by("async_streaming", capsys)
    assert len(re.findall(THREE_LINES, printed)) == 1
    first = re.findall(r"first token after (\d+\.\d+) s: completed", printed)
    assert first == sorted(first, key=float)
    assert len(first) == 3


@pytest.mark.model
@pytest.mark.extras
def test_the_sdk_method_is_measured_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The stream stays OpenAI's; frames without text are chunks, and no tokens."""
    printed = printed_by("sdk_method", capsys)
    assert "still OpenAI's own stream: openai.Stream" in printed
    assert re.search(r"tokens +24 \(counted by your function\) in 26 chunks", printed)
