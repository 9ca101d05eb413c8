"""Records: what a file of results keeps, survives and refuses."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import multiprocessing
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock import (
    MetricsResult,
    Timeline,
    TokenclockWarning,
    add_sink,
    observe,
)
from tokenclock._records import files as record_files
from tokenclock._records import reader as record_reader
from tokenclock._statistics import quantile
from tokenclock._timeline import TokenGaps
from tokenclock.errors import (
    ClosedSinkError,
    EmptyInputError,
    InvalidOptionError,
    InvalidRecordError,
    NoRecordFileError,
)
from tokenclock.records import JsonLinesSink, RecordReader, SkippedLine, read_records

CUT = "it is cut, or no JSON"
OPTIONAL = [
    "parent_id", "error", "time_to_first_chunk", "time_to_first_token",
    "time_to_first_output_token", "time_to_last_token", "throughput", "token_count",
    "token_source", "time_per_output_token", "consumer_time_before_first_token",
    "idle_before_start", "input_token_count", "reasoning_token_count", "cached_token_count",
    "model", "request_model", "provider", "operation", "finish_reason",
]  # fmt: skip
ALL_PARTS = dict.fromkeys(OPTIONAL)


def a_record(**changes: Any) -> dict[str, Any]:
    """Give a record as an older version wrote it, with what is required and no more."""
    return {
        "tokenclock_record": 1,
        "function": "demo.stream",
        "call_id": "c-1",
        "started_at": "2026-01-02T03:04:05+00:00",
        "streamed": True,
        "outcome": "completed",
        "generation_latency": 1.25,
        **changes,
    }


def a_result(**changes: Any) -> MetricsResult[Any]:
    """Give a result with something in most fields."""
    record = a_record()
    del record["tokenclock_record"]
    more = {
        "time_to_first_token": 0.5,
        "token_count": 3,
        "token_source": "chunks",
        "inter_token_latencies": [0.25, 0.125],
        "attributes": {"tenant": "acme", "retry": 2, "beta": True, "share": 0.5},
    }
    return dataclasses.replace(MetricsResult.from_dict({**record, **more}), **changes)


def write(path: Path, *records: dict[str, Any] | str | bytes) -> Path:
    """Write lines as another program might."""
    path.write_bytes(b"".join(_bytes_of(record) + b"\n" for record in records))
    return path


def _bytes_of(record: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(record, bytes):
        return record
    text = record if isinstance(record, str) else json.dumps(record, separators=(",", ":"))
    return text.encode()


def ids(paths: Any) -> list[str]:
    return [result.call_id for result in read_records(paths)]


def assert_same(one: MetricsResult[Any], other: MetricsResult[Any]) -> None:
    for field in dataclasses.fields(MetricsResult):
        assert getattr(one, field.name) == getattr(other, field.name), field.name
    assert hash(one) == hash(other)
    assert type(one.attributes) is type(other.attributes)
    assert vars(one).keys() == vars(other).keys()


# --- writing -------------------------------------------------------------------------------------


def test_a_finished_call_becomes_one_line(tmp_path: Path) -> None:
    """A line is flat JSON that opens with the version of the schema, without what was said."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path) as sink:
        add_sink(sink)

        @observe(name="chat", attributes={"tenant": "acme"})
        def chat() -> list[str]:
            return ["secret", "words"]

        chat()
        lines = path.read_bytes().splitlines(keepends=True)

    assert len(lines) == 1
    assert lines[0].startswith(b'{"tokenclock_record":1,"function":"chat",')
    assert lines[0].endswith(b"}\n")
    record = json.loads(lines[0])
    assert record["token_count"] == 2
    assert record["attributes"] == {"tenant": "acme"}
    assert record["inter_token_latencies"] == []
    names = {field.name for field in dataclasses.fields(MetricsResult)}
    assert set(record) == names - {"value", "timeline"} | {"tokenclock_record"}
    assert b"secret" not in lines[0]


def test_a_result_with_its_value_is_written_without_it(tmp_path: Path) -> None:
    """What a model generated is never written, even of a caller's own copy, and never read."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path) as sink:
        sink(a_result(value=["secret"]))
    assert b"secret" not in path.read_bytes()

    write(path, a_record(value=["secret"]))
    assert [result.value for result in read_records(path)] == [None]


def test_the_timeline_is_there_when_asked(tmp_path: Path) -> None:
    """With timeline=True the chunks come back one by one; without it there is no such key."""
    columns: dict[str, list[Any]] = {
        "requested": [0.0],
        "arrived": [0.25],
        "tokens": [1],
        "channel": ["text"],
    }
    result = a_result(timeline=Timeline.from_dict(columns))
    with JsonLinesSink(tmp_path / "with.jsonl", timeline=True) as sink:
        sink(result)
        sink(a_result())
    with JsonLinesSink(tmp_path / "without.jsonl") as sink:
        sink(result)

    first, second = (tmp_path / "with.jsonl").read_text().splitlines()
    assert json.loads(first)["timeline"] == columns
    assert json.loads(second)["timeline"] is None
    assert "timeline" not in json.loads((tmp_path / "without.jsonl").read_text())
    again = list(read_records([tmp_path / "with.jsonl", tmp_path / "without.jsonl"]))
    assert [one.timeline for one in again] == [result.timeline, None, None]


times = st.floats(min_value=0, max_value=1e12)
counts = st.integers(min_value=0, max_value=2**63 - 1)
readable = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
labels = (
    readable
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)


changes = st.fixed_dictionaries(
    {
        "function": readable,
        "generation_latency": times,
        "time_to_first_token": st.none() | times,
        "token_count": st.none() | counts,
        "inter_token_latencies": st.lists(times, max_size=5).map(TokenGaps.of),
        "attributes": st.dictionaries(readable, labels, max_size=3),
    }
)


@given(changes)
def test_any_result_survives_a_file(changes: dict[str, Any]) -> None:
    """Every field comes back as it was."""
    result = a_result(**changes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.jsonl"
        with JsonLinesSink(path) as sink:
            sink(result)
        (again,) = read_records(path)

    assert_same(again, result)


@pytest.mark.parametrize(
    ("label", "written"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (2**63, "0x8000000000000000"),
        (-(10**5000), hex(-(10**5000))),
        ("half \ud83d", "half ?"),
        ("line\nline\u2028\x00", "line\nline\u2028\x00"),
    ],
    ids=["nan", "inf", "-inf", "beyond 64 bits", "enormous", "half a pair", "controls"],
)
def test_a_label_that_json_cannot_hold_becomes_text(
    label: Any, written: str, tmp_path: Path
) -> None:
    """No label loses the result or makes a line that other readers refuse."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path) as sink:
        sink(a_result(attributes={"odd": label}))

    (line,) = path.read_bytes().split(b"\n")[:-1]
    assert json.loads(line, parse_constant=pytest.fail)["attributes"] == {"odd": written}
    assert [result.attributes for result in read_records(path)] == [{"odd": written}]


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("generation_latency", math.nan, "Out of range float values are not JSON compliant.*"),
        ("model", object(), "Object of type object is not JSON serializable"),
    ],
)
def test_a_result_of_impossible_fields_is_refused(
    field: str, value: Any, why: str, tmp_path: Path
) -> None:
    """A result made by hand with the wrong types is said, and writes nothing."""
    path = tmp_path / "runs.jsonl"
    with (
        JsonLinesSink(path) as sink,
        pytest.raises(
            InvalidRecordError,
            match=rf"^Cannot write the result of 'demo\.stream' as a record: {why}\. "
            r"Make results with the types that MetricsResult names, and finite numbers\.$",
        ),
    ):
        sink(a_result(**{field: value}))
    assert path.read_bytes() == b""


def test_the_path_is_fixed_when_the_sink_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of directory sends no record elsewhere."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with JsonLinesSink("runs.jsonl") as sink:
        monkeypatch.chdir("other")
        sink(a_result())
        again = pickle.loads(pickle.dumps(sink))  # noqa: S301 - made here
        with again:
            again(a_result(call_id="c-2"))

    assert sink.path == tmp_path / "runs.jsonl"
    assert repr(sink) == f"<JsonLinesSink '{tmp_path}/runs.jsonl'>"
    assert ids(tmp_path / "runs.jsonl") == ["c-1", "c-2"]
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o277])
@pytest.mark.parametrize("max_bytes", [None, 10])
def test_a_new_file_is_for_its_owner_alone(
    umask: int, max_bytes: int | None, tmp_path: Path
) -> None:
    """The mode is 0600 whatever the umask; a file that was there keeps its own."""
    before = os.umask(umask)
    try:
        JsonLinesSink(tmp_path / "runs.jsonl", max_bytes=max_bytes).close()
    finally:
        os.umask(before)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.chmod(0o640)
    JsonLinesSink(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line goes to the system whole, so that no other process gets between."""
    writes: list[bytes] = []

    def counting(descriptor: int, data: memoryview) -> int:
        writes.append(bytes(data))
        return len(data)

    with JsonLinesSink(tmp_path / "runs.jsonl") as sink:
        monkeypatch.setattr(os, "write", counting)
        sink(a_result())
        sink(a_result())
        monkeypatch.undo()

    assert [(data[:1], data.count(b"\n"), data[-1:]) for data in writes] == [(b"{", 1, b"\n")] * 2


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system takes a part of a line, the rest follows."""
    real = os.write
    with JsonLinesSink(tmp_path / "runs.jsonl") as sink:
        monkeypatch.setattr(os, "write", lambda to, data: real(to, data[:100]))
        sink(a_result())
        monkeypatch.undo()

    assert ids(tmp_path / "runs.jsonl") == ["c-1"]


def test_a_full_disk_costs_the_line_it_struck_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error reaches the guard around sinks; the next line is not glued to the cut one."""
    path = tmp_path / "runs.jsonl"
    real = os.write
    room = [100]

    def filling(descriptor: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    with JsonLinesSink(path) as sink:
        monkeypatch.setattr(os, "write", filling)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left on device"):
                sink(a_result())
        monkeypatch.undo()
        sink(a_result(call_id="c-2"))
        sink(a_result(call_id="c-3"))

    reader = read_records(path)
    with pytest.warns(TokenclockWarning, match=r"^1 line, number 1, is left out"):
        assert [result.call_id for result in reader] == ["c-2", "c-3"]
    assert path.read_bytes().count(b"\n") == 3


def test_a_file_that_ends_within_a_line_is_gone_on_with_behind_it(tmp_path: Path) -> None:
    """What a killed process left is ended before the first line of the next."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b'{"tokenclock_record":1,"func')
    with JsonLinesSink(path) as sink:
        sink(a_result())
    with JsonLinesSink(path) as sink:
        sink(a_result(call_id="c-2"))

    assert [line[:22] for line in path.read_text().splitlines()] == ['{"tokenclock_record":1'] * 3


def test_a_closed_sink_says_so(tmp_path: Path) -> None:
    """Closing twice is closing once, and a result that comes later is refused."""
    path = tmp_path / "runs.jsonl"
    for max_bytes in (None, 10**6):
        sink = JsonLinesSink(path, max_bytes=max_bytes)
        sink.close()
        sink.close()
        with pytest.raises(
            ClosedSinkError,
            match=rf"^Cannot write a result to '{path}': the sink is closed\. "
            r"Call remove_sink\(\) before close\(\), or make a new JsonLinesSink\.$",
        ):
            sink(a_result())


def test_a_dropped_sink_leaves_no_open_file(tmp_path: Path) -> None:
    """Who forgets to close a sink leaks nothing."""
    sink = JsonLinesSink(tmp_path / "runs.jsonl")
    descriptor = sink._file._descriptor
    os.fstat(descriptor)
    del sink
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    """A path that cannot work fails when the sink is built."""
    for max_bytes in (None, 100):
        with pytest.raises(
            FileNotFoundError,
            match=r"Cannot write records: their folder does not exist\. Create it first: '.*/runs",
        ) as caught:
            JsonLinesSink(tmp_path / "no" / "runs.jsonl", max_bytes=max_bytes)
        assert caught.value.errno == errno.ENOENT
    with pytest.raises(IsADirectoryError):
        JsonLinesSink(tmp_path)


@pytest.mark.parametrize("max_bytes", [0, -1, 0.5, True, "10"])
def test_max_bytes_is_a_positive_whole_number(max_bytes: Any, tmp_path: Path) -> None:
    """Anything else is refused, naming it."""
    with pytest.raises(
        InvalidOptionError,
        match=rf"^Cannot begin a new file after max_bytes={max_bytes!r}: it is no positive whole "
        r"number\. Pass one, such as 100_000_000, or None for a single file\.$",
    ) as caught:
        JsonLinesSink(tmp_path / "runs.jsonl", max_bytes=max_bytes)
    assert caught.value.option == "max_bytes"


@pytest.mark.parametrize("path", [3, None, b"runs.jsonl"])
def test_a_path_is_a_path(path: Any) -> None:
    """A number is no file, neither to write nor to read."""
    for use in (JsonLinesSink, lambda path: read_records([path])):
        with pytest.raises(
            InvalidOptionError,
            match=r"^Cannot use .* as the path of a record file: it is a \w+\. "
            r"Pass a str or a pathlib\.Path\.$",
        ) as caught:
            use(path)
        assert caught.value.option == "path"


# --- rotation ------------------------------------------------------------------------------------


def numbered(path: Path, pid: int) -> list[int]:
    return sorted(int(one.name.split(".")[2]) for one in path.parent.glob(f"runs.{pid}.*.jsonl"))


def test_a_file_that_would_grow_too_large_gives_way_to_the_next(tmp_path: Path) -> None:
    """No file is larger than max_bytes, unless one line is; no line is divided."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path, max_bytes=2_000) as sink:
        for number in range(10):
            sink(a_result(call_id=f"c-{number}"))
    files = [tmp_path / f"runs.{os.getpid()}.{n}.jsonl" for n in numbered(path, os.getpid())]

    assert not path.exists()
    assert len(files) == 5
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert ids(files) == [f"c-{number}" for number in range(10)]


def test_a_line_larger_than_a_file_gets_one_of_its_own(tmp_path: Path) -> None:
    """max_bytes smaller than a line still writes every line, each in a file."""
    path = tmp_path / "runs"
    with JsonLinesSink(path, max_bytes=1) as sink:
        sink(a_result())
        sink(a_result())
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        f"runs.{os.getpid()}.1.jsonl",
        f"runs.{os.getpid()}.2.jsonl",
    ]


def test_numbers_go_on_past_what_exists(tmp_path: Path) -> None:
    """A new sink of the same process overwrites and extends no earlier file."""
    path = tmp_path / "runs.jsonl"
    for _ in range(2):
        with JsonLinesSink(path, max_bytes=1_000_000) as sink:
            sink(a_result())
    assert numbered(path, os.getpid()) == [1, 2]
    assert ids(sorted(tmp_path.iterdir())) == ["c-1", "c-1"]


# --- several writers -----------------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, {tests!r})
import test_records
from tokenclock.records import JsonLinesSink
sink = JsonLinesSink({path!r})
for number in range(200):
    sink(test_records.a_result(call_id=f"{{sys.argv[1]}}-{{number}}"))
"""


def test_several_programs_write_one_file(tmp_path: Path) -> None:
    """Programs that write to one file at the same time lose and mix nothing."""
    path = tmp_path / "runs.jsonl"
    program = WRITER.format(tests=str(Path(__file__).parent), path=str(path))
    running = [
        subprocess.Popen([sys.executable, "-c", program, name])  # noqa: S603 - our own program
        for name in "abc"
    ]
    assert [one.wait(timeout=60) for one in running] == [0, 0, 0]

    assert sorted(ids(path)) == sorted(f"{name}-{n}" for name in "abc" for n in range(200))


def test_several_threads_write_one_sink(tmp_path: Path) -> None:
    """Threads that share a sink lose nothing, also while files change."""
    with JsonLinesSink(tmp_path / "runs.jsonl", max_bytes=5_000) as sink:

        def work(name: str) -> None:
            for number in range(100):
                sink(a_result(call_id=f"{name}-{number}"))

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(ids(tmp_path.iterdir())) == sorted(f"{t}-{n}" for t in "abcd" for n in range(100))


def write_some(sink: JsonLinesSink, name: str) -> None:
    for number in range(3):
        sink(a_result(call_id=f"{name}-{number}"))


def in_forked_child(work: Any) -> None:
    """Run work in a child of os.fork, which may find its parent's locks taken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads may be running
        child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.parametrize("max_bytes", [None, 100_000])
def test_a_forked_child_writes_with_its_copy(max_bytes: int | None, tmp_path: Path) -> None:
    """A child shares one file, has rotating files of its own, and waits for no parent's lock."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path, max_bytes=max_bytes) as sink:
        write_some(sink, "before")
        taken, done = threading.Event(), threading.Event()

        def hold() -> None:
            with sink._file.lock:
                taken.set()
                done.wait(timeout=60)

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait(timeout=60)
        in_forked_child(lambda: write_some(sink, "child"))
        done.set()
        holder.join()
        write_some(sink, "after")

    files = sorted(tmp_path.iterdir())
    assert len(files) == (1 if max_bytes is None else 2)
    found = sorted(ids(files))
    assert found == sorted(f"{w}-{n}" for w in ("before", "child", "after") for n in range(3))


@pytest.mark.parametrize("max_bytes", [None, 100_000])
def test_a_forked_child_that_writes_nothing_leaves_no_file(
    max_bytes: int | None, tmp_path: Path
) -> None:
    """A child opens a rotating file when it has a line for it."""
    with JsonLinesSink(tmp_path / "runs.jsonl", max_bytes=max_bytes):
        in_forked_child(lambda: None)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_fork_leaves_to_the_parent(tmp_path: Path) -> None:
    """A rotating file is the parent's, a shared one goes on; neither lock is waited for."""
    shared = JsonLinesSink(tmp_path / "shared.jsonl")
    rotating = JsonLinesSink(tmp_path / "runs.jsonl", max_bytes=100_000)
    closed = JsonLinesSink(tmp_path / "runs.jsonl", max_bytes=100_000)
    closed.close()
    locks = [sink._file.lock for sink in (shared, rotating)]
    record_files._after_fork()  # as the child of a fork does

    with shared, rotating:
        shared(a_result())
        rotating(a_result())
        assert shared._file.lock is not locks[0]
        assert rotating._file.lock is not locks[1]
    assert numbered(tmp_path / "runs.jsonl", os.getpid()) == [1, 2, 3]
    assert ids(sorted(tmp_path.iterdir())) == ["c-1", "c-1"]


def test_a_spawned_process_gets_a_sink_of_its_own(tmp_path: Path) -> None:
    """A sink that is sent to another process opens its file there."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path) as sink:
        process = multiprocessing.get_context("spawn").Process(
            target=write_some, args=(sink, "spawned")
        )
        process.start()
        process.join(timeout=60)
        write_some(sink, "own")

    assert ids(path) == [f"{name}-{n}" for name in ("spawned", "own") for n in range(3)]


# --- reading -------------------------------------------------------------------------------------


def test_files_are_read_in_order(tmp_path: Path) -> None:
    """Several files come one after the other, each line by line; an empty one gives nothing."""
    one = write(tmp_path / "one.jsonl", a_record(call_id="a"), "", a_record(call_id="b"), "  \r")
    two = write(tmp_path / "two.jsonl", a_record(call_id="c"))
    empty = write(tmp_path / "empty.jsonl")
    reader = read_records(path for path in (two, empty, str(one)))

    assert isinstance(reader, RecordReader)
    assert iter(reader) is reader
    assert [result.call_id for result in reader] == ["c", "a", "b"]
    assert reader.skipped == []
    assert ids(empty) == []


def test_reading_is_lazy_and_can_be_given_up(tmp_path: Path) -> None:
    """A reader reads as far as it is asked, and closes its file when told."""
    path = write(tmp_path / "runs.jsonl", a_record(call_id="a"), "broken", a_record(call_id="b"))
    reader = read_records(path)

    assert next(reader).call_id == "a"
    assert reader.skipped == []
    reader.close()
    assert list(reader) == []


def test_a_short_record_gets_the_defaults(tmp_path: Path) -> None:
    """Fields that are missing are unknown, fields that are unknown are passed over."""
    path = write(tmp_path / "runs.jsonl", a_record(of_a_later_version={"a": [1]}))
    (result,) = read_records(path)

    record = a_record()
    assert_same(result, MetricsResult.from_dict(record))
    assert dict(result.attributes) == {}


def test_other_writers_are_read_too(tmp_path: Path) -> None:
    """Windows line ends, a byte order mark, other spaces and another order make no difference."""
    turned = json.dumps(dict(reversed(a_record(call_id="b").items())))
    path = tmp_path / "runs.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps(a_record(call_id="a")).encode() + b"\r\n\r\n" + turned.encode()
    )
    reader = read_records(path)

    assert [result.call_id for result in reader] == ["a", "b"]
    assert reader.skipped == []


@pytest.mark.parametrize(
    "text",
    ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00", "2026-01-02T03:04:05.000000+00:00"],
)
def test_a_start_is_read_as_utc(text: str, tmp_path: Path) -> None:
    """Whatever zone a start was written in, it comes back in UTC."""
    (result,) = read_records(write(tmp_path / "runs.jsonl", a_record(started_at=text)))

    assert result.started_at.isoformat() == "2026-01-02T03:04:05+00:00"


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"function": 3}, "function is no text"),
    ({"call_id": None}, "call_id is no text"),
    ({"outcome": ["failed"]}, "outcome is no text"),
    ({"model": 7}, "model is no text"),
    ({"token_source": {}}, "token_source is no text"),
    ({"streamed": 1}, "streamed is neither true nor false"),
    ({"generation_latency": "fast"}, "generation_latency is no number that it can be"),
    ({"generation_latency": None}, "generation_latency is no number that it can be"),
    ({"generation_latency": True}, "generation_latency is no number that it can be"),
    ({"generation_latency": -0.5}, "generation_latency is no number that it can be"),
    ({"throughput": []}, "throughput is no number that it can be"),
    ({"token_count": 1.5}, "token_count is no number that it can be"),
    ({"token_count": -1}, "token_count is no number that it can be"),
    ({"token_count": 2**63}, "token_count is no number that it can be"),
    ({"chunk_count": None}, "chunk_count is no number that it can be"),
    ({"started_at": "yesterday"}, "started_at is not as it should be"),
    ({"started_at": 3}, "started_at is not as it should be"),
    ({"started_at": "2026-01-02T03:04:05"}, "started_at is not as it should be"),
    ({"started_at": "0001-01-01T00:00:00+23:00"}, "started_at is not as it should be"),
    ({"inter_token_latencies": ["slow"]}, "inter_token_latencies is not as it should be"),
    ({"inter_token_latencies": [-0.5]}, "inter_token_latencies is not as it should be"),
    ({"inter_token_latencies": 3}, "inter_token_latencies is not as it should be"),
    ({"attributes": [1]}, "attributes is not as it should be"),
    ({"attributes": {"a": None}}, "attributes is not as it should be"),
    ({"timeline": 7}, "timeline is not as it should be"),
    ({"tokenclock_record": "one"}, "tokenclock_record is no whole number"),
    ({"tokenclock_record": True}, "tokenclock_record is no whole number"),
]


@pytest.mark.parametrize(("change", "reason"), BAD_FIELDS)
def test_a_record_with_an_impossible_field_is_left_out(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """What would crash a summary later is skipped now, and the reason names the field."""
    path = write(tmp_path / "runs.jsonl", a_record(), a_record(**change))
    reader = read_records(path)

    with pytest.warns(TokenclockWarning):
        assert len(list(reader)) == 1
    assert reader.skipped == [(str(path), 2, reason)]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_left_out(number: str, tmp_path: Path) -> None:
    """Python's own extensions of JSON, and numbers beyond any, are no times."""
    line = json.dumps(a_record()).replace("1.25", number)
    reader = read_records(write(tmp_path / "runs.jsonl", a_record(), line))

    with pytest.warns(TokenclockWarning):
        assert len(list(reader)) == 1
    assert [skipped.line_number for skipped in reader.skipped] == [2]


def test_a_record_without_its_required_fields_is_left_out(tmp_path: Path) -> None:
    """The reason names what is missing."""
    record = a_record()
    del record["outcome"], record["call_id"]
    reader = read_records(write(tmp_path / "runs.jsonl", record))

    with pytest.warns(TokenclockWarning):
        assert list(reader) == []
    assert reader.skipped[0].reason == "call_id, outcome missing"


def test_what_was_left_out_is_said_once_for_each_file(tmp_path: Path) -> None:
    """One warning at the end of a file counts its bad lines and points at the reader's line."""
    good, bad = a_record(), '{"tokenclock_record":1,"func'
    one = write(tmp_path / "one.jsonl", good, bad)
    two = write(tmp_path / "two.jsonl", bad, good, bad, "[1]")
    reader = read_records([one, two])

    with pytest.warns(TokenclockWarning) as caught:
        assert len(list(reader)) == 2
    assert [str(warning.message) for warning in caught] == [
        (
            f"1 line, number 2, is left out of the records in '{one}': {CUT}. "
            "RecordReader.skipped names each line and its reason."
        ),
        (
            f"3 lines, the first number 1, are left out of the records in '{two}': {CUT}. "
            "RecordReader.skipped names each line and its reason."
        ),
    ]
    assert {warning.filename for warning in caught} == {__file__}
    assert reader.skipped == [
        SkippedLine(str(one), 2, CUT),
        SkippedLine(str(two), 1, CUT),
        SkippedLine(str(two), 3, CUT),
        SkippedLine(str(two), 4, "it is JSON without tokenclock_record"),
    ]


def test_a_newer_schema_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    """A file of a later version gives what this one understands, and says so once."""
    path = write(tmp_path / "runs.jsonl", *[a_record(tokenclock_record=2, smell="odd")] * 3)

    with pytest.warns(TokenclockWarning) as caught:
        assert ids(path) == ["c-1"] * 3
    assert [str(warning.message) for warning in caught] == [
        (
            f"'{path}' was written by a newer tokenclock (schema 2, known is 1): what this version "
            "does not know is left out. Update tokenclock."
        )
    ]


@pytest.mark.parametrize(
    ("line", "found", "reasons"),
    [
        (b'{"tokenclock_record":1,"fun' + _bytes_of(a_record(call_id="b")), ["b"], [CUT]),
        (b'tial","outcome":"failed"}' + _bytes_of(a_record(call_id="b")), ["b"], [CUT]),
        (b"\0" * 512 + _bytes_of(a_record(call_id="b")), ["b"], [CUT]),
        (_bytes_of(a_record(call_id="b")) + _bytes_of(a_record(call_id="d")), ["b", "d"], []),
        (_bytes_of(a_record(call_id="b")) + b'{"tokenclock_record":1,"fun', ["b"], [CUT]),
        (b'{"tokenclock_record":1,"attributes":{"tokenclock_record":1},"fu', [], [CUT, CUT]),
        (b'{"tokenclock_record":1,"model":"\xff"}', [], [CUT]),
        (b'{"tokenclock_record":' + b"[" * 100_000, [], [CUT]),
        (b'{"tokenclock_record":' + b"9" * 5_000 + b"}", [], [CUT]),
        (b"not JSON at all", [], [CUT]),
    ],
)
def test_what_is_whole_in_a_damaged_line_is_found(
    line: bytes, found: list[str], reasons: list[str], tmp_path: Path
) -> None:
    """A record glued behind half of another is read; only the damage is left out."""
    path = write(tmp_path / "runs.jsonl", a_record(call_id="a"), line, a_record(call_id="e"))
    reader = read_records(path)

    with pytest.warns(TokenclockWarning) if reasons else warnings.catch_warnings():
        assert [result.call_id for result in reader] == ["a", *found, "e"]
    assert reader.skipped == [(str(path), 2, reason) for reason in reasons]


def test_a_label_may_have_the_name_of_our_marker(tmp_path: Path) -> None:
    """The marker inside a record starts no record."""
    path = tmp_path / "runs.jsonl"
    with JsonLinesSink(path) as sink:
        sink(a_result(attributes={"tokenclock_record": 1}))
    assert ids(path) == ["c-1"]


WHOLE = b"".join(_bytes_of(a_record(call_id=f"c-{n}", model="é")) + b"\n" for n in range(4))


def read_damaged(data: bytes) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "runs.jsonl"
        path.write_bytes(data)
        return ids(path)


@given(st.integers(0, len(WHOLE)))
def test_a_file_cut_at_any_byte_loses_only_the_line_cut(place: int) -> None:
    """Every line before the cut is read, whatever byte the file ends with."""
    whole_lines = WHOLE[:place].count(b"\n")
    found = read_damaged(WHOLE[:place])

    expected = [f"c-{number}" for number in range(4)]
    assert found in (expected[:whole_lines], expected[: whole_lines + 1])


@given(st.data())
def test_a_hole_anywhere_costs_the_lines_it_touches(data: st.DataObject) -> None:
    """Bytes lost in the middle, or at the start, cost no line outside of the hole."""
    start = data.draw(st.integers(0, len(WHOLE)))
    length = len(WHOLE) // 4
    stop = data.draw(st.integers(start, min(start + length, len(WHOLE))))
    touched = set(range(start // length, (max(stop - 1, start)) // length + 1))
    found = read_damaged(WHOLE[:start] + WHOLE[stop:])

    untouched = [f"c-{number}" for number in range(4) if number not in touched]
    assert [one for one in found if one in untouched] == untouched


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_damage_crashes_a_reader(pieces: list[bytes]) -> None:
    """Whatever stands between two records, both are read."""
    record = WHOLE.splitlines(keepends=True)[0]
    found = read_damaged(record + b"\n".join(pieces) + b"\n" + record)

    assert found == ["c-0", "c-0"]


def test_a_line_of_absurd_length_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that no memory should hold is left out, and the next one is read."""
    monkeypatch.setattr(record_reader, "MAX_LINE_BYTES", 1_000)
    long = '{"tokenclock_record":1,"function":"' + "x" * 2_500
    for last in ([], [a_record(call_id="b")]):
        path = write(tmp_path / "runs.jsonl", a_record(call_id="a"), long, *last)
        if not last:
            path.write_bytes(path.read_bytes().rstrip(b"\n"))
        reader = read_records(path)
        with pytest.warns(TokenclockWarning):
            assert [result.call_id for result in reader] == ["a", "b"][: 1 + len(last)]
        assert reader.skipped == [(str(path), 2, "it is longer than 1,000 bytes")]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"time,tokens\n1.5,3\n2.5,4\n", 1, CUT),
        (b"\n\nsome text\nmore text\n", 3, CUT),
        (b'{"a": 1}\n{"a": 2}\n', 1, "it is JSON without tokenclock_record"),
        (b"a line\n[1, 2]\n", 1, CUT),
        (b'[\n {"function": "a"}\n]\n', 1, CUT),
        (b'{\n "a": 1\n}\n', 1, CUT),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1, CUT),
        (b"\xff\xfe{\0", 1, CUT),
        (b"\x1f\x8b\x08\0\0\0", 1, CUT + ". It is compressed: unpack it first"),
        (b"x\n" * 5_000 + WHOLE, 1, CUT),
    ],
)
def test_a_file_of_something_else_is_refused(
    content: bytes, line: int, reason: str, tmp_path: Path
) -> None:
    """Text, CSV, other JSON and binary files are refused with path and line."""
    path = tmp_path / "other"
    path.write_bytes(content)
    reader = read_records(path)

    with pytest.raises(NoRecordFileError) as caught:
        next(reader)
    assert str(caught.value) == (
        f"Cannot read '{path}' as records: line {line} is no record: {reason}. "
        "Pass a file that JsonLinesSink wrote."
    )
    assert (caught.value.path, caught.value.line_number) == (str(path), line)
    assert isinstance(caught.value, InvalidRecordError)
    assert list(reader) == []


@pytest.mark.parametrize("length", [1, 10, 21, 40])
def test_a_file_whose_only_line_was_cut_is_ours(length: int, tmp_path: Path) -> None:
    """A process that was killed in its first line left a record file without a record."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(WHOLE[:length])

    with pytest.warns(TokenclockWarning, match="1 line, number 1, is left out"):
        assert ids(path) == []


def test_a_folder_and_a_missing_file_are_refused_at_once(tmp_path: Path) -> None:
    """What cannot be read fails at the call, not at the first result."""
    with pytest.raises(FileNotFoundError, match=r"No such file.*missing\.jsonl"):
        read_records([write(tmp_path / "there.jsonl"), tmp_path / "missing.jsonl"])
    with pytest.raises(
        NoRecordFileError, match=rf"^Cannot read records from '{tmp_path}': it is a folder\. "
    ) as caught:
        read_records(tmp_path)
    assert caught.value.line_number is None
    with pytest.raises(EmptyInputError, match=r"no file was given\. Pass a path; did a pattern"):
        read_records(tmp_path.glob("*.nothing"))


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What can be opened once only, as a shell's <(...), is not opened to look at it first."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(WHOLE))
    reader = read_records(pipe)
    writer.start()
    assert len(list(reader)) == 4
    writer.join()


# --- other programs ------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A file of all kinds of results: the first ones have nothing in most of their fields."""
    path = tmp_path / "mixed.jsonl"
    with JsonLinesSink(path) as sink:
        for number in range(5):
            nothing: dict[str, Any] = {**ALL_PARTS, "attributes": {}}
            sink(a_result(call_id=f"value-{number}", streamed=False, **nothing))
        for number in range(200):
            labels: dict[str, Any] = {"tenant": "acme"} if number % 2 else {"turn": number}
            first = number / 256
            sink(a_result(call_id=f"stream-{number}", time_to_first_token=first, attributes=labels))
        failed: dict[str, Any] = {"outcome": "failed", "error": "OSError", "model": "m|$x_"}
        odd: dict[str, Any] = {"turn": "last", "share": math.nan, "": 2**70, "half": "\ud83d"}
        sink(a_result(**failed, time_to_first_token=None, attributes=odd))
    return path


def p95(path: Path) -> float:
    """Give the 95th percentile of the first-token times, as tokenclock has it."""
    observed = [result.time_to_first_token for result in read_records(path)]
    return quantile(sorted(one for one in observed if one is not None), 0.95)


@pytest.mark.extras
def test_duckdb_opens_a_file_as_it_is(mixed: Path) -> None:
    """One line of SQL gives the percentile that tokenclock gives."""
    import duckdb  # noqa: PLC0415 - an extra

    query = (
        "SELECT quantile_cont(time_to_first_token, 0.95), count(*) "  # noqa: S608 - our own file
        f"FROM read_json('{mixed}', sample_size=-1)"
    )
    rows = duckdb.execute(query).fetchall()
    found, count = rows[0]

    assert found == pytest.approx(p95(mixed), rel=1e-12)  # adds in another order
    assert count == 206


@pytest.mark.extras
def test_pandas_opens_a_file_as_it_is(mixed: Path) -> None:
    """One call gives a data frame with the percentile that tokenclock gives."""
    import pandas as pd  # noqa: PLC0415 - an extra

    frame = pd.read_json(mixed, lines=True)

    assert len(frame) == 206
    assert frame["time_to_first_token"].quantile(0.95) == pytest.approx(p95(mixed), rel=1e-12)


@pytest.mark.extras
def test_polars_opens_a_file_as_it_is(mixed: Path) -> None:
    """One call gives a data frame with the percentile that tokenclock gives."""
    import polars as pl  # noqa: PLC0415 - an extra

    frame = pl.read_ndjson(mixed, infer_schema_length=None)

    assert len(frame) == 206
    found = frame["time_to_first_token"].quantile(0.95, interpolation="linear")
    assert found == pytest.approx(p95(mixed), rel=1e-12)
