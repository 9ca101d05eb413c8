"""Find a debug build of Python, or fetch Debian's into a folder, without installing anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PACKAGES = (
    "python3{}-dbg", "libpython3{}-dbg", "libpython3{}-dev", "libpython3{}-minimal",
    "libpython3{}-stdlib",
)  # fmt: skip


def find_debug_python(folder: Path) -> str | None:
    """Give the path of a debug build, unpacked into *folder* if none is installed."""
    installed = shutil.which("python3-dbg")
    if installed is not None or shutil.which("apt-get") is None:
        return installed
    names = [package.format(_default_version()) for package in PACKAGES]
    _run(["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", *names], folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg", "-x", package.name, "."], folder)
    return next((str(path) for path in sorted(folder.glob("usr/bin/python3.*-dbg"))), None)


def _default_version() -> str:
    """Give ``.11`` where Debian's Python is 3.11."""
    depends = _run(["apt-cache", "depends", "python3-dbg"], Path.cwd())
    words = [word for word in depends.split() if word.startswith("python3.")]
    return words[0].removeprefix("python3").removesuffix("-dbg")


def _run(words: list[str], folder: Path) -> str:
    done = subprocess.run(  # noqa: S603 - our own words
        words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout
