"""The benchmarks of scale and of chunks run, and print what their tables promise."""

from __future__ import annotations

from typing import Any

import pytest

import chunks
import scale
from tokenclock import observe


def rows_of(text: str) -> list[list[str]]:
    """Give the words of each line that has any."""
    return [line.split() for line in text.splitlines() if line]


def test_every_table_of_scale_has_a_row_for_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    """Streams, threads, calls and memory each get a line for every number that is asked for."""
    scale.main(["--rounds", "1", "--tokens", "100"], streams=(1, 2), threads=(2,))

    first_words = [row[0] for row in rows_of(capsys.readouterr().out)[1:]]
    assert first_words == [
        "streams", "1", "2", "the", "1", "2", "streams", "1", "2", "threads,", "2", "threads,", "2",
        "a", "1", "2", "open", "1", "2",
    ]  # fmt: skip


def test_a_call_inside_a_stream_finds_it_among_others() -> None:
    """What the benchmark of nested calls looks up is there: their parent."""
    scale.check_parents(3)


@pytest.mark.extras
def test_each_client_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """The real clients read what was recorded, and each is a line of the table."""
    chunks.main(["--rounds", "1", "--tokens", "3"])

    rows = rows_of(capsys.readouterr().out)[2:]
    assert [" ".join(row[:-6]) for row in rows] == [answer.name for answer in chunks.ANSWERS]


@pytest.mark.extras
@pytest.mark.parametrize("answer", chunks.ANSWERS, ids=lambda answer: answer.name)
def test_what_is_timed_are_tokens(answer: chunks.Answer) -> None:
    """Between the events around them, the recorded answers have one token in each chunk."""
    client = chunks.client_of(answer.package, answer.events(3))
    ask: Any = observe(answer.method(client))
    stream = ask(**answer.arguments, stream=True)
    read = list(stream)

    result = stream.metrics
    assert result.chunk_count == len(answer.opening) + 3 + len(answer.ending) == len(read)
    assert result.token_chunk_count == 3
    assert result.token_count == 40  # what the server says
    assert [entry.tokens for entry in result.timeline][len(answer.opening) :][:3] == [1, 1, 1]
