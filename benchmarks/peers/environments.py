"""An environment for each contender, with exactly what its requirements pin."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from peers.contender import home, requirements

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venvs" / "peers"
OURS = "tokenclock"
# What our own package is built from; what a build leaves behind stays out of the checkout.
SOURCES = ("src", "ext", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
LAST_LINES = 3
MOST_CHARACTERS = 300


class CannotInstallError(Exception):
    """A contender's environment cannot be made."""


def python_of(name: str) -> Path:
    """Make the environment of a contender, if it is not there as pinned, and give its Python."""
    folder = ENVIRONMENTS / home(name)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp, wanted = folder / ".peers", fingerprint(name)
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(folder, clear=True, with_pip=True)
        pip(python, "--requirement", str(requirements(name)))
        if home(name) == OURS:
            install_ours(python)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def fingerprint(name: str) -> str:
    """Give what an environment depends on: the Python, the pins and, for ours, the sources."""
    digest = hashlib.sha256(sys.version.encode())
    digest.update(requirements(name).read_bytes())
    for path in our_files() if home(name) == OURS else ():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def our_files() -> Iterator[Path]:
    """Give the files that our package is built from."""
    for source in SOURCES:
        path = ROOT / source
        files = sorted(path.rglob("*.*")) if path.is_dir() else [path]
        yield from (file for file in files if file.is_file() and file.suffix != ".pyc")


def install_ours(python: Path) -> None:
    """Build and install tokenclock from a copy of the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, Path(folder, source))
            elif path.is_file():
                shutil.copy(path, folder)
        pip(python, "--no-deps", folder)


def pip(python: Path, *arguments: str) -> None:
    """Install something into an environment."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - our own words
        [*command, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotInstallError(last_words(done.stderr))


def last_words(text: str) -> str:
    """
    Give the errors that a program told, or else the end of what it said, on one line.

    >>> last_words("WARNING: old" + chr(10) + "ERROR: no such package" + chr(10))
    'ERROR: no such package'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return " ".join((errors or lines)[-LAST_LINES:])[:MOST_CHARACTERS]
