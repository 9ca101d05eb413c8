"""
The compiled driver, which is optional; all else about the package is in pyproject.toml.

``TOKENCLOCK_PURE_PYTHON`` decides: with 1 the driver is not built, with 0 the installation fails
where it cannot be built, and otherwise it is built where it can be and done without where not.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import IO

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

CHOICE = os.environ.get("TOKENCLOCK_PURE_PYTHON", "")
IS_REQUIRED = CHOICE == "0"
COMPLAINT = re.compile(r"\berror(?: [A-Z]+\d+)?: ")  # of gcc and clang, and of Visual C++
LONGEST_REASON = 200
REINSTALL = "pip install --force-reinstall --no-cache-dir --no-binary tokenclock tokenclock"


def is_wanted() -> bool:
    """Say whether this interpreter is one that the driver was written for."""
    if platform.python_implementation() != "CPython":
        return False
    # An extension that does not declare itself safe would switch the user's GIL back on.
    return CHOICE in {"", "0"} and not sysconfig.get_config_var("Py_GIL_DISABLED")


def driver() -> Extension:
    """Describe the extension; its flags depend on the compiler, which is not known yet."""
    sources, headers = sorted(Path("ext").glob("*.c")), sorted(Path("ext").glob("*.h"))
    return Extension(
        "tokenclock._speed",
        sources=[path.as_posix() for path in sources],
        depends=[path.as_posix() for path in headers],
    )


@contextmanager
def held_back() -> Iterator[IO[str]]:
    """Take what is written meanwhile, by the compiler too, which goes around Python's streams."""
    streams = (sys.stdout, sys.stderr)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        for stream in streams:
            stream.flush()
        before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(said.fileno(), number)
        try:
            yield said
        finally:
            for stream in streams:
                stream.flush()
            for number, kept in zip((1, 2), before, strict=True):
                os.dup2(kept, number)
                os.close(kept)


def reason_of(error: BaseException, said: str) -> str:
    """Give the compiler's first complaint, or else what the build failed with."""
    for line in said.splitlines():
        if COMPLAINT.search(line):
            return line.strip()[:LONGEST_REASON]
    cause = error.__cause__ or error.__context__
    if isinstance(cause, CalledProcessError):  # its own text has all of the compiler's arguments
        return f"{cause.cmd[0]!r} failed with exit code {cause.returncode}"
    return str(error)[:LONGEST_REASON]


class BuildDriver(build_ext):
    """Builds the driver where it can, and where it cannot says so in one line."""

    def run(self) -> None:
        """Build; unless the driver is required, hold back the compiler's words and survive it."""
        if IS_REQUIRED:
            super().run()
            return
        with held_back() as said:
            try:
                super().run()
            except Exception as error:  # noqa: BLE001 - compilers fail in more ways than are named
                failure: Exception | None = error
            else:
                failure = None
            said.seek(0)
            words = said.read()
        if failure is None:
            sys.stderr.write(words)
        else:
            self._go_on_without(reason_of(failure, words))

    def build_extensions(self) -> None:
        """Choose the flags, now that the compiler is known, and build."""
        if self.compiler.compiler_type == "unix":
            for extension in self.extensions:
                extension.extra_compile_args += ["-fvisibility=hidden"]
                if "CFLAGS" not in os.environ:  # else whoever builds has decided
                    extension.extra_compile_args += ["-O3", "-g0"]
        super().build_extensions()

    def _go_on_without(self, reason: str) -> None:
        for extension in self.extensions:  # one of an earlier build must not get into the wheel
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = self.distribution.ext_modules = []
        message = (
            f"tokenclock: cannot build the compiled driver: {reason}. The package is installed all "
            "the same and measures in pure Python, which costs more time a token. For the driver, "
            f"install a C compiler and Python's headers, then: {REINSTALL}"
        )
        print(message, file=sys.stderr)


class TagByContent(bdist_wheel):
    """Tags a wheel for this interpreter only if the driver is in it, for every one if not."""

    def run(self) -> None:
        """Build before anything is decided; the build of the base class is then a second one."""
        self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


setup(
    ext_modules=[driver()] if is_wanted() else [],
    cmdclass={"build_ext": BuildDriver, "bdist_wheel": TagByContent},
)
