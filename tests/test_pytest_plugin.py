"""The pytest plugin, in runs of its own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tokenclock
from tokenclock import pytest_plugin
from tokenclock.records import read_records

pytest_plugins = ["pytester"]

SOURCE = Path(tokenclock.__file__).parents[1]

CALLS = """
import os, threading
from tokenclock import observe

@observe(name="chat", attributes={"tenant": "acme"})
def chat():
    return ["a", "b"]

@observe(name="stream")
def stream():
    yield "a"
    yield "b"
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose runs have our plugin once, whether or not its entry point is installed."""
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "_tokenclock_pytest", *options)


def on_two_workers(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return run(project, "-p", "xdist.plugin", "-n", "2", *options)


def labels_of(path: Path) -> list[Any]:
    """Give the label of each record."""
    return [result.attributes.get("test") for result in read_records(path)]


def sections(outcome: pytest.RunResult) -> int:
    return sum(" token metrics " in line for line in outcome.outlines)


# --- the fixture ---------------------------------------------------------------------------------


def test_the_fixture_has_every_result_of_its_test(project: pytest.Pytester) -> None:
    """Whichever thread or task made a call, and also a stream that was dropped, it is there."""
    project.makepyfile(
        CALLS
        + """
import asyncio

def test_nothing(token_metrics):
    assert token_metrics.results == []
    assert token_metrics.last is None
    assert len(token_metrics) == 0

def test_all(token_metrics):
    chat()
    thread = threading.Thread(target=chat)
    thread.start()
    thread.join()
    async def in_a_task():
        chat()
    async def main():
        await asyncio.create_task(in_a_task())
    asyncio.run(main())
    dropped = stream()
    next(dropped)
    del dropped
    assert [one.function for one in token_metrics] == ["chat", "chat", "chat", "stream"]
    assert token_metrics.last.outcome == "stopped"
    assert len(token_metrics) == 4
    assert token_metrics.results is not token_metrics.results
    assert token_metrics.summary().call_count == 4
    assert set(token_metrics.summary(by="function").groups) == {"chat", "stream"}

def test_own(token_metrics):
    chat()
    assert [dict(one.attributes) for one in token_metrics] == [{"tenant": "acme"}]
    token_metrics.results.clear()
    assert len(token_metrics) == 1
"""
    )
    outcome = run(project)

    outcome.assert_outcomes(passed=3)
    assert sections(outcome) == 1


def test_results_after_a_test_are_no_longer_its_own(project: pytest.Pytester) -> None:
    """The sink of a test is gone when it ends, also when it fails."""
    project.makepyfile(
        CALLS
        + """
kept = []

def test_fails(token_metrics):
    kept.append(token_metrics)
    chat()
    assert False

def test_later():
    chat()
    assert len(kept[0]) == 1
"""
    )
    outcome = run(project)

    outcome.assert_outcomes(passed=1, failed=1)
    assert sections(outcome) == 1


def test_nothing_is_shown_where_nothing_was_asked(project: pytest.Pytester) -> None:
    """Calls alone make no section, nor does a fixture that saw none."""
    project.makepyfile(
        CALLS + "def test_a():\n    chat()\n\ndef test_b(token_metrics):\n    pass\n"
    )
    outcome = run(project)

    outcome.assert_outcomes(passed=2)
    assert sections(outcome) == 0


def test_the_plugin_costs_nothing_until_it_is_used(project: pytest.Pytester) -> None:
    """A run that uses neither fixture nor option does not import tokenclock."""
    project.makepyfile("import sys\n\ndef test_a():\n    assert 'tokenclock' not in sys.modules\n")

    run(project).assert_outcomes(passed=1)


def test_the_fixture_and_the_option_explain_themselves(project: pytest.Pytester) -> None:
    """Pytest --fixtures and --help show them, and no file is begun."""
    fixtures = run(project, "--fixtures", "--token-metrics=runs.jsonl")
    fixtures.stdout.fnmatch_lines(["token_metrics*", "*what tokenclock measures during the test*"])
    run(project, "--help").stdout.fnmatch_lines(["*--token-metrics=FILE*"])
    assert not (project.path / "runs.jsonl").exists()


# --- the file ------------------------------------------------------------------------------------

SEVERAL = (
    CALLS
    + """
import pytest

chat()  # between tests: of none

@pytest.fixture
def warm():
    chat()
    yield
    chat()

def test_a(warm):
    chat()

def test_b(token_metrics):
    next(stream())
    assert len(token_metrics) == 1

def test_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat()

def test_none():
    pass
"""
)
IN_TESTS = [
    "test_run.py::test_a",
    "test_run.py::test_a",
    "test_run.py::test_a",
    "test_run.py::test_b",
    "test_run.py::test_moves",
]


def test_a_file_gets_every_result_with_its_test(project: pytest.Pytester) -> None:
    """Records carry the test that was running, set-up and tear-down included, and their labels."""
    project.makepyfile(test_run=SEVERAL)
    path = project.path / "runs.jsonl"
    outcome = run(project, "--token-metrics=runs.jsonl")

    outcome.assert_outcomes(passed=4)
    assert labels_of(path) == [None, *IN_TESTS]
    assert [result.attributes.get("tenant") for result in read_records(path)] == [
        "acme", "acme", "acme", "acme", None, "acme",
    ]  # fmt: skip
    assert sections(outcome) == 1
    outcome.stdout.fnmatch_lines([f"6 results written to {path}"])


def test_a_file_is_begun_anew(project: pytest.Pytester) -> None:
    """A second run replaces the records of the first, damaged ones too."""
    project.makepyfile(test_run=CALLS + "def test_a():\n    chat()\n")
    path = project.path / "runs.jsonl"
    for _ in range(2):
        outcome = run(project, "--token-metrics=runs.jsonl")
        assert labels_of(path) == ["test_run.py::test_a"]
        outcome.stdout.fnmatch_lines([f"1 result written to {path}"])
        path.write_bytes(path.read_bytes()[:40] + b"\n" + path.read_bytes())


def test_a_run_without_a_call_leaves_an_empty_file(project: pytest.Pytester) -> None:
    """Nothing measured is an empty file and no section."""
    project.makepyfile("def test_a():\n    pass\n")
    outcome = run(project, "--token-metrics=runs.jsonl")

    outcome.assert_outcomes(passed=1)
    assert (project.path / "runs.jsonl").read_bytes() == b""
    assert sections(outcome) == 0


def test_several_workers_write_one_file(project: pytest.Pytester) -> None:
    """Under pytest-xdist every result is there once, and one section speaks of all."""
    project.makepyfile(test_run=SEVERAL)
    path = project.path / "runs.jsonl"
    path.write_text('{"tokenclock_record":1,"of":"an earlier run"}\n')
    outcome = on_two_workers(project, "--token-metrics=runs.jsonl")

    outcome.assert_outcomes(passed=4)
    assert sorted(filter(None, labels_of(path))) == IN_TESTS
    assert labels_of(path).count(None) == 2  # each worker imports the module
    assert sections(outcome) == 1
    outcome.stdout.fnmatch_lines([f"7 results written to {path}"])
    assert list(project.path.glob("**/runs*.jsonl")) == [path]


def test_the_fixtures_of_several_workers_make_one_section(project: pytest.Pytester) -> None:
    """Without a file the workers send what their fixtures saw."""
    test = "def test_{0}(token_metrics):\n    chat()\n    assert len(token_metrics) == 1\n\n"
    project.makepyfile(CALLS + "".join(test.format(number) for number in range(4)))
    outcome = on_two_workers(project)

    outcome.assert_outcomes(passed=4)
    assert sections(outcome) == 1
    outcome.stdout.fnmatch_lines(["calls * 4: 4 completed"])


def test_workers_that_saw_nothing_send_nothing(project: pytest.Pytester) -> None:
    """Under pytest-xdist, too, a run without the plugin's use does without tokenclock."""
    project.makepyfile("import sys\n\ndef test_a():\n    assert 'tokenclock' not in sys.modules\n")
    outcome = on_two_workers(project)

    outcome.assert_outcomes(passed=1)
    assert sections(outcome) == 0


def test_a_file_needs_no_terminal(project: pytest.Pytester) -> None:
    """Without pytest's terminal the records are written all the same."""
    project.makepyfile(test_run=CALLS + "def test_a(token_metrics):\n    chat()\n")
    outcome = run(project, "-p", "no:terminal", "--token-metrics=runs.jsonl")

    assert outcome.ret == pytest.ExitCode.OK
    assert labels_of(project.path / "runs.jsonl") == ["test_run.py::test_a"]


@pytest.mark.parametrize("showing", ["--collect-only", "--setup-plan", "--cache-show"])
def test_showing_leaves_the_file_of_an_earlier_run(showing: str, project: pytest.Pytester) -> None:
    """What runs no test begins no file."""
    project.makepyfile(test_run=SEVERAL)
    path = project.path / "runs.jsonl"
    run(project, "--token-metrics=runs.jsonl")
    before = path.read_bytes()
    outcome = run(project, showing, "--token-metrics=runs.jsonl")

    assert outcome.ret == pytest.ExitCode.OK
    assert path.read_bytes() == before
    assert sections(outcome) == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing/runs.jsonl", "Cannot write records: their folder does not exist. Create it"),
        (".", "it is there, and no ordinary file"),
        ("/dev/null", "it is there, and no ordinary file"),
        ("test_run.py", "it is there, and no file of records"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_before_any_test(
    name: str, why: str, project: pytest.Pytester
) -> None:
    """A usage error ends the run at its start, and a file that is none of ours stays as it is."""
    project.makepyfile(test_run=SEVERAL + "open('ran', 'w').close()\n")
    before = (project.path / "test_run.py").read_bytes()
    for outcome in (
        run(project, "--token-metrics", name),
        on_two_workers(project, "--token-metrics", name),
    ):
        assert outcome.ret == pytest.ExitCode.USAGE_ERROR
        message = f"ERROR: Cannot write token metrics to '{project.path / name}': {why}"
        assert message in outcome.stderr.str()
        assert "Pass --token-metrics=FILE with a new file, or one of an earlier" in (
            outcome.stderr.str()
        )
    assert not (project.path / "ran").exists()
    assert (project.path / "test_run.py").read_bytes() == before


def test_a_file_that_may_not_be_emptied_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system refuses is a usage error too."""

    def refuse(path: str, length: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "runs.jsonl"
    path.touch()
    monkeypatch.setattr(os, "truncate", refuse)
    with pytest.raises(
        pytest.UsageError, match=f"^Cannot write token metrics to '{path}': Permission denied. "
    ):
        pytest_plugin._begin_anew(str(path))


def test_a_file_that_a_test_destroys_costs_no_run(project: pytest.Pytester) -> None:
    """Where the file is gone or no longer one, the section says so and the run goes on."""
    destroying = "def test_a():\n    chat()\n    {}\n"
    for what, words in (
        ("os.remove('runs.jsonl')", "No such file or directory"),
        ("open('runs.jsonl', 'w').write('text')", "line 1 is no record"),
    ):
        project.makepyfile(test_run=CALLS + destroying.format(what))
        (project.path / "runs.jsonl").unlink(missing_ok=True)
        outcome = run(project, "--token-metrics=runs.jsonl")
        outcome.assert_outcomes(passed=1)
        outcome.stdout.fnmatch_lines([f"Cannot summarise what was written: *{words}*"])


def test_another_plugin_that_fails_at_the_start_leaves_no_sink(project: pytest.Pytester) -> None:
    """A session that does not begin closes the file nevertheless."""
    project.makeconftest(
        "import atexit, pytest\n"
        "from tokenclock import _sinks\n\n"
        "def pytest_sessionstart():\n"
        "    raise pytest.UsageError('not today')\n\n"
        "atexit.register(lambda: print('sinks:', _sinks.global_sinks))\n"
    )
    outcome = run(project, "--token-metrics=runs.jsonl")

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stdout.fnmatch_lines(["sinks: ()"])


# --- programs that import tokenclock and run pytest ----------------------------------------------


def test_a_program_may_import_tokenclock_before_it_runs_pytest(tmp_path: Path) -> None:
    """Pytest wants to rewrite plugins' packages and complains that ours is imported; not of us."""
    site = tmp_path / "site"
    about = site / "fake-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "fake_plugin.py").write_text("")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pytest11]\nfake = fake_plugin\n")
    (about / "RECORD").write_text(
        "fake_plugin.py,,\n_tokenclock_pytest.py,,\ntokenclock/__init__.py,,\n"
    )
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    program = (
        "import sys, tokenclock, _tokenclock_pytest, pytest\n"
        "warning = 'error::pytest.PytestAssertRewriteWarning'\n"
        "sys.exit(pytest.main(['-W', warning, '-p', 'no:cacheprovider', 'test_a.py']))\n"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{SOURCE}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
