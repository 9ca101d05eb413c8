"""The comparison with the peers, without any: what it measures, asks and tells."""

import doctest
import functools
import importlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import pytest

from peers import fidelity, knowing, measuring, offline, run, table
from peers.contender import NAMES, Contender, Function, Record, Request, home, load, requirements
from peers.edge import Edge
from peers.environments import CannotInstallError
from peers.knowing import Clock, Script, Watcher, aplay, play
from peers.measuring import Case, compare

STORED = Path(run.STORED)
PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the many collections, each of which would walk the large heap of a test run."""
    monkeypatch.setattr("gc.collect", int)


class Ticking(Clock):
    """A clock that goes a microsecond further at each look."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000_000_000

    def now(self) -> int:
        self.time += 1_000
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += int(seconds * 1e9)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


class Scripted(Contender):
    """A contender of the test's own, which sees each chunk and keeps what it is told to."""

    title, distribution, importing = "scripted", "", "pass"
    settings, documentation = "None.", "https://example.org/"

    def __init__(self, clock: Clock, keep: Callable[[list[str], list[int]], Any]) -> None:
        self._clock = clock
        self._keep = keep
        self._heard: list[Record] = []

    def decorate(self, function: Function) -> Any:
        return self._stream(function) if function.__name__ == "stream" else function

    def _stream(self, function: Function) -> Any:
        @functools.wraps(function)
        def watched(prompt: int) -> Iterator[str]:
            chunks: list[str] = []
            times: list[int] = []
            outcome = "fine"
            try:
                for chunk in function(prompt):
                    chunks.append(chunk)
                    times.append(self._clock.now())
                    yield chunk
            except Exception as error:
                outcome = f"broken: {error}"
                raise
            finally:
                self._heard.append(Record(outcome.partition(":")[0], self._keep(chunks, times)))

        return watched

    def records(self, requests: Sequence[Request]) -> list[Record]:
        heard, self._heard = self._heard, []
        return heard


def answers(keep: Callable[[list[str], list[int]], Any]) -> dict[str, Any]:
    clock = Ticking()
    return Watcher(Scripted(clock, keep), list, clock, long=150).answers(play)


def test_all_times_kept_are_found() -> None:
    """One that keeps the time of every chunk has the blank one first, and all the gaps."""
    known = answers(lambda _chunks, times: {"at": [moment / 1e9 for moment in times]})
    assert known["first"] == known["first_of_long"] == "blank chunk"
    assert known["gaps"] is True
    assert known["seen_at"] == {"blank chunk": [".0.at.0"], "token": [".0.at.1"]}
    assert known["texts"] is False


def test_first_token_is_told_from_blank_chunk() -> None:
    """One that keeps only the first real token's time has that, and no gaps."""

    def keep(chunks: list[str], times: list[int]) -> Any:
        first = next(number for number, chunk in enumerate(chunks) if chunk)
        return {"first": times[first] // 1_000, "text": "".join(chunks)}

    known = answers(keep)
    assert known["first"] == known["first_of_long"] == "token"
    assert known["gaps"] is False
    assert known["texts"] is True


def test_lost_first_token_of_long_stream_is_noticed() -> None:
    """One that forgets what came first when the stream is long is found out."""
    known = answers(lambda _chunks, times: times[-100:])
    assert (known["first"], known["first_of_long"]) == ("blank chunk", "no")


def test_numbers_that_only_look_like_times_do_not_count() -> None:
    """A number that does not move with the tempo of the stream is no time."""
    known = answers(lambda _chunks, _times: {"line": 25, "buckets": [0.02, 0.025, 0.1, 1, 34, 100]})
    assert (known["first"], known["gaps"]) == ("no", False)


def test_outcomes_are_told_in_the_words_of_the_contender() -> None:
    """A break and a failure are told by what was recorded of them; nothing recorded is lost."""
    known = answers(lambda _chunks, _times: {})
    assert known["outcomes"] == {"completed": "fine", "stopped": "fine", "failed": "broken"}
    assert (table.stopped(known), table.failed(known)) == ("as complete", "as a failure")
    named = known | {"failure_named": True}
    assert table.failed(named) == "as a failure, with its message"
    lost = {"outcomes": {"completed": "fine", "stopped": None, "failed": None}}
    assert (table.stopped(lost), table.failed(lost)) == ("lost", "lost")
    silent = {"outcomes": {"completed": "", "stopped": "", "failed": ""}}
    assert (table.stopped(silent), table.failed(silent)) == ("not told", "not told")
    strict = {"outcomes": {"completed": "fine", "stopped": "broken", "failed": "broken"}}
    assert table.stopped(strict) == "as a failure"
    ours = {"outcomes": {"completed": "fine", "stopped": "left", "failed": "broken"}}
    assert table.stopped(ours) == "told apart"


def test_hand_loop_knows_what_it_should() -> None:
    """The wrapper written by hand knows every chunk's time, and nothing of a stream cut short."""
    contender = load("byhand")
    for player in (play, aplay):
        script = Script(Clock(), 0.0)
        player(contender, script)
        assert len(script.received) == 5
        (record,) = contender.records([])
        assert len(record.payload) == 5
        player(contender, Script(Clock(), 0.0, ending=knowing.STOPPED))
        assert contender.records([]) == []


def test_kept_tokens_are_seen() -> None:
    """Tokens that somebody holds are told from those that are gone."""
    held: list[Any] = []

    def holding(function: Function) -> Function:
        def stream(prompt: int) -> Iterator[Any]:
            for token in function(prompt):
                held.append(token)
                yield token

        return stream

    assert knowing.keeps_tokens(holding) is True
    assert knowing.keeps_tokens(lambda function: function) is False


def test_undecorated_functions_keep_everything() -> None:
    """The function itself passes each of the twelve checks."""
    assert list(fidelity.answers(lambda function: function).values()) == [True] * 12


def test_loop_in_between_loses_what_it_must() -> None:
    """A plain loop stays a generator function, and loses sent and thrown values and the result."""

    def looping(function: Callable[..., Any]) -> Any:
        def stream(prompt: int) -> Iterator[Any]:
            for item in function(prompt):  # noqa: UP028 - this is what is looked at
                yield item

        return stream

    kept = fidelity.answers(looping)
    assert [kept[check.__name__] for check in fidelity.SYNC] == [
        True, True, False, False, True, False,
    ]  # fmt: skip
    assert not kept["stays_async_generator_function"]


def test_difference_is_per_unit_and_in_changing_order() -> None:
    """What is over bare is the median of the differences, for one unit, in changing order."""
    ran: list[str] = []

    def program(name: str, nanoseconds: int) -> measuring.Program:
        def program(times: int) -> int:
            ran.append(name)
            return nanoseconds * times

        return program

    case = Case(program("bare", 100_000), program("watched", 350_000), 10)
    timing = compare(case, 3, lambda: ran.append("flushed"))
    assert timing.times == 114  # 40 ms, of which the watched one takes 0.35 at a time
    assert timing.bare == [10_000, 10_000, 10_000]
    assert timing.watched == [35_000, 35_000, 35_000]
    assert measuring.over(vars(timing)) == 25_000
    assert ran[2:] == [
        "flushed",
        "watched", "flushed", "bare",
        "bare", "watched", "flushed",
        "watched", "flushed", "bare",
    ]  # fmt: skip


def test_every_case_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loops give a value for each round, and watching costs more than nothing."""
    monkeypatch.setattr(measuring, "TARGET_NS", 1_000_000)
    times = measuring.times(load("byhand"), 3, 100, 10)
    assert set(times) == {
        "value", "sync_short", "sync_long", "async_short", "async_long",
        "inline_sync", "inline_async",
    }  # fmt: skip
    for timing in times.values():
        assert len(timing["bare"]) == len(timing["watched"]) == len(timing["processor"]) == 3
        assert min(timing["bare"]) > 0
    assert measuring.over(times["sync_long"]) > 0


def test_memory_of_one_that_keeps_a_list_is_seen() -> None:
    """A time kept for each chunk takes a number and a place in a list; nothing kept takes none."""
    kept = measuring.memory(load("byhand"))
    assert 24 + 8 <= kept["held"] <= 24 + 16
    bare = measuring.kept_per_token(measuring.generate_distinct, load("byhand"))
    assert -1 < bare["held"] < 1


def test_import_time_is_that_of_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an import is what it adds to an empty interpreter, without the first round."""
    took = {"pass": 10_000_000, "import this": 14_000_000}
    monkeypatch.setattr(measuring, "start_interpreter", lambda statement: took[statement])
    assert measuring.import_milliseconds("import this", 2) == [4.0, 4.0]


def test_edge_takes_everything_and_shows_it() -> None:
    """The edge says 200 to whatever comes, with the answer asked for, and keeps it on request."""
    edge = Edge({"/info": {"size": 3}})
    try:
        edge.keep(on=True)
        address = edge.address + "/v1/info"
        said = UrlRequest(address, b"hello", method="PUT")  # noqa: S310 - http, on loopback
        with urlopen(said) as response:  # noqa: S310 - our own server
            assert json.loads(response.read()) == {"size": 3}
        (request,) = edge.taken()
        assert (request.method, request.path, request.body) == ("PUT", "/v1/info", b"hello")
        assert edge.count() == 1
    finally:
        edge.close()


def test_edge_reads_chunked_bodies() -> None:
    """A body that comes in chunks is put together."""
    edge = Edge({})
    try:
        edge.keep(on=True)
        with socket.create_connection(("127.0.0.1", int(edge.address.rpartition(":")[2]))) as line:
            head = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            line.sendall(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            assert line.recv(1_000).startswith(b"HTTP/1.1 200")
        assert [request.body for request in edge.taken()] == [b"abcde"]
    finally:
        edge.close()


def test_no_way_leads_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects elsewhere, or asks for a name, is refused and reported."""
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, getattr(socket.socket, name))
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
    monkeypatch.setattr(offline, "tried", [])
    offline.guard()
    with socket.socket() as sender, pytest.raises(OSError, match=r"Cannot reach '192\.0\.2\.1'"):
        sender.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match=r"measured offline\. Point the contender at the edge"):
        socket.getaddrinfo("example.org", 80)
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    assert offline.tried == ["192.0.2.1", "example.org"]


@pytest.mark.parametrize("name", NAMES)
def test_contender_is_pinned_and_explained(name: str) -> None:
    """Each contender has exact pins, a sentence on its settings and where they are documented."""
    contender = load(name)
    lines = requirements(name).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    if contender.distribution and home(name) != "tokenclock":
        assert any(pin.startswith(f"{contender.distribution}==") for pin in pins)
    assert contender.settings.endswith(".")
    assert contender.documentation.startswith("https://")


def test_no_adapter_is_forgotten() -> None:
    """Every adapter and every list of pins belongs to a contender of the table."""
    folder = requirements(NAMES[0]).parent
    assert {path.stem for path in folder.glob("*.py")} == set(NAMES)
    assert {path.stem for path in folder.glob("*.txt")} == {home(name) for name in NAMES}


def test_one_that_cannot_be_installed_is_shown_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A contender that cannot be measured stays in both tables, with the reason."""

    def refuse(_name: str) -> Path:
        raise CannotInstallError("No matching distribution found")

    monkeypatch.setattr(run, "python_of", refuse)
    results = run.described(3, 2_000)
    results["contenders"]["opik"] = run.measured("opik", 3, 2_000)
    page = table.page(results)
    reason = "not measured: cannot be installed: No matching distribution found"
    assert f"| opik `@track` |  | {reason} |" in page
    assert "| opik `@track` | not measured |" in page


def timing(bare: float, watched: float) -> dict[str, list[float]]:
    return {"bare": [bare] * 2, "watched": [watched] * 2, "processor": [2 * watched] * 2}


KNOWN = {
    "first": "blank chunk",
    "first_of_long": "no",
    "gaps": True,
    "outcomes": {"completed": "ok", "stopped": None, "failed": "error"},
    "failure_named": True,
}
RESULTS: dict[str, Any] = {
    "date": "2026-01-31",
    "processor": "Abacus 9",
    "processors": 2,
    "system": "Linux",
    "rounds": 2,
    "tokens": 2_000,
    "contenders": {
        "one": {
            "title": "one `@trace`",
            "version": "1.2.3",
            "settings": "All off.",
            "documentation": "https://example.org/one",
            "python": "CPython 3.11.7",
            "times": {
                "sync_short": timing(30, 1_234),
                "sync_long": timing(25, 105),
                "async_short": timing(80, 79.5),
                "async_long": timing(75, 78.14),
                "value": timing(50, 17_050),
            },
            "memory": {
                "held": 67.4, "ended": 0.0, "held_by_default": 67.4, "ended_by_default": 3.14,
            },
            "import_ms": [290.4, 280.0, 310.0],
            "knows": {"sync": KNOWN, "async": KNOWN | {"gaps": False}},
            "holds_tokens": {"fastest": False, "default": True},
            "keeps": {
                check.__name__: check.__name__ != "takes_send"
                for check in (*fidelity.SYNC, *fidelity.ASYNC)
            },
        },
    },
}  # fmt: skip


def test_tables_are_rendered_from_a_stored_result() -> None:
    """The rows say what the numbers of a stored result are, over bare and rounded."""
    lines = table.page(json.loads(json.dumps(RESULTS))).splitlines()
    assert lines[0] == (
        "CPython 3.11.7, Linux, 2 processors (Abacus 9), 2026-01-31; medians of 2 rounds."
    )
    assert "| bare |  | 30 / 25 | 80 / 75 | 0.05 |  |  |  |  |" in lines
    assert (
        "| one `@trace` | 1.2.3 | +1,204 / +80 | +0 / +3.1 | +17 | +34 | 67 / 0 | 67 / 3.1 | 290 |"
    ) in lines
    assert (
        "| one `@trace` | every chunk's, the blank one first, lost in long streams "
        "(async: the blank chunk's, lost in long streams) | no | lost "
        "| as a failure, with its message "
        "| no | yes | 5 of 6 | 6 of 6 |"
    ) in lines
    assert lines[-1] == (
        "- one `@trace`: All off. ([documentation](https://example.org/one)) "
        "Does not hold: takes send."
    )


def test_results_are_stored_as_json_a_line_each() -> None:
    """What is written can be read again, and each contender has a line of its own."""
    text = run.stored(RESULTS)
    assert json.loads(text) == RESULTS
    assert len(text.splitlines()) == 3


def test_times_of_a_busy_machine_are_marked() -> None:
    """Where more processes ran than there are processors, the heading says so."""
    one = RESULTS["contenders"]["one"]
    busy = RESULTS | {"contenders": {"one": one | {"load": 2.5}}}
    assert table.heading(busy).endswith(" The machine was busy (load 2.5): the times are too high.")
    assert "busy" not in table.heading(RESULTS | {"contenders": {"one": one | {"load": 2.0}}})


def test_stored_result_has_every_contender() -> None:
    """The result in the repository is of all contenders, and none of them got out."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert tuple(stored["contenders"]) == NAMES
    page = table.page(stored)
    for name, one in stored["contenders"].items():
        assert page.count(f"| {load(name).title} |") == 2
        assert "failed" in one or one["version"] or not load(name).distribution


def test_documents_show_the_stored_result() -> None:
    """What README and docs print is what was measured, to the letter."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    document = (PROJECT / "docs" / "alternatives.md").read_text(encoding="utf-8")
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert document.endswith(f"\n\n{table.page(stored)}\n")
    costs = table.table(table.COSTS, table.cost_rows(stored))
    assert f"\n\n{table.heading(stored)}\n\n{costs}\n\n" in readme


@pytest.mark.parametrize("name", ["contender", "environments", "measuring", "stamps", "table"])
def test_examples_hold(name: str) -> None:
    """The examples in the docstrings are true."""
    outcome = doctest.testmod(importlib.import_module(f"peers.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_clock_of_scripts_is_the_real_one() -> None:
    """Outside of tests, scripts go by the time that contenders see."""
    before = time.time_ns()
    assert before <= Clock().now() <= time.time_ns()
