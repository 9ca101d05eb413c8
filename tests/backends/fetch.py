"""
Fetch the back ends that the suite exports to, without root: Debian packages, only unpacked.

    python tests/backends/fetch.py .backends

What is there already stays. What this platform does not offer is named in one line and listed in
the file ``missing``, and the tests that need it are left out; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEBIAN = "http://deb.debian.org/debian"
SUITE = "trixie"  # its programs run on the release before it, too
PATIENCE = 300.0  # seconds; a mirror may be slow


class BackEnd(NamedTuple):
    """
    A program to fetch.

    Attributes:
        name: Of the package and of the program in it.
        oldest: The first version, major and minor, that does what the tests ask for.
    """

    name: str
    oldest: tuple[int, int]


BACK_ENDS = (
    BackEnd("prometheus", (2, 39)),  # stores exemplars
    BackEnd("victoria-metrics", (1, 93)),  # takes OTLP over HTTP
)


class Source(NamedTuple):
    """Where packages come from: a file as apt has it, whose suffix says how it is written."""

    suffix: str
    text: str


class NotToBeHadError(Exception):
    """A program cannot be had; the text says why."""


def main(folder: Path) -> int:
    """Fetch what is not there; give the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    reasons: dict[str, str] = {}
    for back_end in BACK_ENDS:
        try:
            have(back_end, folder)
        except NotToBeHadError as error:
            reasons[back_end.name] = str(error)
    note_missing(folder, reasons)
    return 1 if reasons and os.environ.get("CI") == "true" else 0


def note_missing(folder: Path, reasons: dict[str, str]) -> None:
    """Say in one line what is missing, and write it down for the suite."""
    note = folder / "missing"
    if not reasons:
        note.unlink(missing_ok=True)
        return
    note.write_text("".join(f"{name}\n" for name in reasons))
    what = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
    print(f"Not to be had here, so that no test asks it: {what}")  # noqa: T201 - whoever runs make reads it


def have(back_end: BackEnd, folder: Path) -> None:
    """Have a program in *folder*: it is there, or is fetched, or is one that the path has."""
    target = folder / back_end.name
    if target.exists() and runs(target):
        return
    try:
        fetch(back_end, target)
    except NotToBeHadError:
        installed = shutil.which(back_end.name)
        if installed is None or not runs(installed):
            raise
        target.unlink(missing_ok=True)
        target.symlink_to(installed)


def runs(program: str | Path) -> bool:
    """Try it: one for another architecture, or with a library missing, does not even start."""
    try:
        run(program, "--version")
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def fetch(back_end: BackEnd, target: Path) -> None:
    """Take the program out of its package, from the first source that has it."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NotToBeHadError("there is no apt-get here")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as place:
        for number, source in enumerate(sources()):
            program = unpacked(back_end, Path(place, str(number)), source)
            if program is not None:
                program.replace(target)  # in one step: others may be fetching it, too
                return
    raise NotToBeHadError(f"no source has a package of {'.'.join(map(str, back_end.oldest))} on")


def unpacked(back_end: BackEnd, place: Path, source: Source) -> Path | None:
    """Download a package and unpack it; give the program, if it is new enough and runs."""
    try:
        package = download(back_end.name, place, source)
        version = run("dpkg-deb", "--field", package, "Version")
        run("dpkg-deb", "--extract", package, place / "unpacked")
    except (OSError, subprocess.SubprocessError, StopIteration):
        return None
    program = place / "unpacked/usr/bin" / back_end.name
    numbers = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    is_new = numbers is not None and (int(numbers[1]), int(numbers[2])) >= back_end.oldest
    return program if is_new and runs(program) else None


def download(name: str, place: Path, source: Source) -> Path:
    """Let apt-get, with lists and a cache of its own, download a package into *place*."""
    for needed in ("lists/partial", "cache/archives/partial"):
        (place / needed).mkdir(parents=True)
    listed = place / f"one{source.suffix}"
    listed.write_text(source.text)
    options = (
        f"Dir::Etc::sourcelist={listed}",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={place}/lists",
        f"Dir::Cache={place}/cache",
        "APT::Sandbox::User=root",  # another user could not write here
    )
    apt_get = ("apt-get", "-qq", *(part for option in options for part in ("-o", option)))
    run(*apt_get, "update")
    run(*apt_get, "download", name, cwd=place)
    return next(place.glob("*.deb"))


def sources() -> Iterator[Source]:
    """Give the sources to try: the suite of which we know what it has, then the machine's own."""
    apt = Path("/etc/apt")
    files = [*sorted(apt.glob("sources.list.d/*.sources")), *apt.glob("sources.list")]
    own = [Source(one.suffix, one.read_text()) for one in files]
    if Path(KEYRING).is_file():
        yield Source(".sources", our_suite("\n".join(one.text for one in own)))
    yield from own


def our_suite(known: str) -> str:
    """
    Describe our suite, on the mirror of Debian that this machine uses.

    >>> our_suite("deb http://mirror.example/debian bookworm main").splitlines()[:3]
    ['Types: deb', 'URIs: http://mirror.example/debian', 'Suites: trixie']
    """
    mirror = re.search(
        r"^(?:URIs:|deb(?: \[.*\])?)\s+(https?://\S+/debian)/?\s", known, re.MULTILINE
    )
    return (
        f"Types: deb\nURIs: {mirror[1] if mirror else DEBIAN}\nSuites: {SUITE}\n"
        f"Components: main\nSigned-By: {KEYRING}\n"
    )


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command; give what it said."""
    done = subprocess.run(  # noqa: S603 - the commands are ours
        command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
