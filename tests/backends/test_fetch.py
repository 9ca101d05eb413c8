"""Fetching the back ends: what is there stays, and what is not to be had is said in one line."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import backends
from backends import fetch

PROGRAMS = ("prometheus", "victoria-metrics")


def run_fetch(folder: Path, **environment: str) -> tuple[int, str]:
    """Run the script where there is no program at all."""
    command = (sys.executable, fetch.__file__, str(folder))
    done = subprocess.run(  # noqa: S603 - the program is ours
        command, env={"PATH": "", **environment}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def put_programs(folder: Path, said: str = "exit 0") -> None:
    folder.mkdir()
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{said}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_what_a_platform_does_not_offer_is_said_in_one_line(tmp_path: Path) -> None:
    """Where nothing can be fetched the script says so, writes it down and goes on."""
    folder = tmp_path / "backends"
    code, said = run_fetch(folder)
    assert code == 0
    assert said == (
        "Not to be had here, so that no test asks it: prometheus (there is no apt-get here), "
        "victoria-metrics (there is no apt-get here)\n"
    )
    assert (folder / "missing").read_text() == "prometheus\nvictoria-metrics\n"


def test_in_ci_a_missing_back_end_is_a_failure(tmp_path: Path) -> None:
    """With CI=true what cannot be had fails the build, and with any other value it does not."""
    assert run_fetch(tmp_path / "backends", CI="true")[0] == 1
    assert run_fetch(tmp_path / "backends", CI="false")[0] == 0


def test_what_is_there_stays(tmp_path: Path) -> None:
    """Programs that run are not fetched again, and what was missing before is forgotten."""
    folder = tmp_path / "backends"
    put_programs(folder)
    (folder / "missing").write_text("prometheus\n")

    assert run_fetch(folder, CI="true") == (0, "")
    assert sorted(one.name for one in folder.iterdir()) == [".gitignore", *PROGRAMS]
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_program_that_does_not_run_is_not_taken_for_one(tmp_path: Path) -> None:
    """What is in the folder but fails, of another machine perhaps, is as good as missing."""
    folder = tmp_path / "backends"
    put_programs(folder, "exit 1")
    assert run_fetch(folder)[0] == 0
    assert (folder / "missing").read_text() == "prometheus\nvictoria-metrics\n"


@pytest.mark.parametrize(
    ("known", "mirror"),
    [
        (
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: x",
            "http://mirror.example/debian",
        ),
        ("deb [trusted=yes] https://one.example/debian/ x main", "https://one.example/debian"),
        ("URIs: http://mirror.example/debian-security\n", "http://deb.debian.org/debian"),
        ("", "http://deb.debian.org/debian"),
    ],
)
def test_packages_come_from_the_mirror_of_the_machine(known: str, mirror: str) -> None:
    """Our suite is asked of the mirror that the machine's own sources name, if one is Debian's."""
    assert fetch.our_suite(known).splitlines()[:3] == [
        "Types: deb",
        f"URIs: {mirror}",
        "Suites: trixie",
    ]


def test_a_program_that_was_not_fetched_is_an_error_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that needs a program fails where it is not, and says how to fetch it."""
    monkeypatch.setattr(backends, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^Cannot start prometheus: .*Fetch it with: "):
        backends.program("prometheus")


@pytest.mark.parametrize(
    ("missing", "left"), [("", 3), ("prometheus\n", 2), ("prometheus\nvictoria-metrics\n", 1)]
)
def test_only_tests_of_what_is_missing_are_left_out(
    missing: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test is deselected if a program that its mark names is missing, and only then."""
    (tmp_path / "missing").write_text(missing)
    monkeypatch.setattr(backends, "FOLDER", tmp_path)
    deselected: list[Any] = []

    def note(items: list[Any]) -> None:
        deselected.extend(items)

    config: Any = SimpleNamespace(hook=SimpleNamespace(pytest_deselected=note))
    items: list[Any] = [marked(), marked("prometheus"), marked("victoria-metrics")]
    backends.leave_out_missing(config, items)
    assert (len(items), len(deselected)) == (left, 3 - left)


def marked(*programs: str) -> Any:
    """Make what a test looks like that is marked so."""
    marks = [pytest.mark.backends(*programs).mark] if programs else []
    return SimpleNamespace(iter_markers=lambda name: marks)
