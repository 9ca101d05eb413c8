"""What a checker makes of records: the sink, the reader and its errors. Never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from tokenclock import MetricsResult, Sink, add_sink
from tokenclock.errors import ClosedSinkError, InvalidRecordError, NoRecordFileError
from tokenclock.records import JsonLinesSink, RecordReader, SkippedLine, read_records


def writing(result: MetricsResult[list[str]]) -> None:
    with JsonLinesSink("runs.jsonl", timeline=True, max_bytes=1_000_000) as sink:
        assert_type(sink, JsonLinesSink)
        a_sink: Sink = sink
        add_sink(a_sink)
        sink(result)
    assert_type(sink.path, Path)
    JsonLinesSink(Path("runs.jsonl")).close()
    JsonLinesSink(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    JsonLinesSink("runs.jsonl", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # noqa: FBT003
    JsonLinesSink("runs.jsonl", max_bytes="1 MB")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def reading(paths: list[Path]) -> None:
    reader = read_records("runs.jsonl")
    assert_type(reader, RecordReader)
    assert_type(next(reader), MetricsResult[Any])
    assert_type(reader.skipped, list[SkippedLine])
    assert_type(reader.skipped[0].line_number, int)
    for result in read_records(paths):
        assert_type(result.token_count, int | None)
    read_records(Path().glob("*.jsonl"))
    read_records(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def errors(error: NoRecordFileError) -> None:
    _wider: InvalidRecordError = error
    _builtin: type[ValueError] = ClosedSinkError
    assert_type(error.path, str)
    assert_type(error.line_number, int | None)
