"""
Hold the compiled driver against what finds mistakes in C.

    warnings    gcc and clang with all warnings on, and gcc's analyzer
    sanitizers  the driver's tests, and every way to read a stream, under the address and the
                undefined-behaviour sanitizer
    valgrind    every way to read a stream under valgrind, which looks for leaks as well
    debug       the same in a debug build of Python: its assertions, its checked memory, and the
                sum of all reference counts
    refcounts   a million streams: reference counts, blocks and memory stay as they are

    python tools/check_driver.py [warnings sanitizers valgrind debug refcounts]

Needs Linux and gcc. The driver is compiled into a temporary copy of the package. Exits with 1 if a
check found something.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from debug_python import find_debug_python
from valgrind_report import findings

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(ROOT.glob("ext/*.c"))
MANY_STREAMS = str(ROOT / "tools" / "many_streams.py")
TESTS = ("test_corners", "test_recorder", "test_streams", "test_timeline", "test_transparency*",
         "test_vectors", "test_driver*", "test_speed*")  # fmt: skip
PYTEST = ("-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-m",
          "not extras and not model and not heavy and not backends and not older")  # fmt: skip
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Werror")
SANITIZED = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
             "-fno-sanitize-recover=all")  # fmt: skip
HEADERS = "get_path('include')"
SUFFIX = "get_config_var('EXT_SUFFIX')"


class Finding(Exception):  # noqa: N818 - what a check is for
    """A check found something, or could not look."""


def run(*words: str | Path, **variables: str) -> None:
    """Run a command with these variables on top of ours; it has to end well."""
    print("$", *words[:1], *(str(word).replace(f"{ROOT}/", "") for word in words[1:]), flush=True)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    code = subprocess.run(  # noqa: S603 - our own words
        words, env=environment, cwd=ROOT, check=False
    ).returncode
    if code:
        raise Finding(f"{Path(words[0]).name} ended with {code}")


def ask(*words: str) -> str:
    """Give what a command prints."""
    asked = subprocess.run(  # noqa: S603 - our own words
        words, check=True, stdout=subprocess.PIPE, text=True
    )
    return asked.stdout.strip()


def of_python(python: str, expression: str) -> str:
    """Give what the ``sysconfig`` of this Python says."""
    return ask(python, "-c", f"from sysconfig import *; print({expression})")


class Built(NamedTuple):
    """A copy of the package with the driver compiled in, and what runs it."""

    python: tuple[str, ...]
    folder: Path

    def run(self, *words: str, **variables: str) -> None:
        """Run this Python on this copy, on top of what else is installed for ours."""
        path = os.pathsep.join([str(self.folder), sysconfig.get_path("purelib")])
        run(*self.python, *words, PYTHONPATH=path, TOKENCLOCK_PURE_PYTHON="0", **variables)

    def run_tests(self, **variables: str) -> None:
        """Run the driver's tests."""
        tests = [str(path) for name in TESTS for path in ROOT.glob(f"tests/{name}.py")]
        self.run(*PYTEST, *sorted(tests), **variables)

    def read_streams(self, streams: int, batches: int, **variables: str) -> None:
        """Read so many streams in every way."""
        numbers = ("--streams", str(streams), "--batches", str(batches))
        self.run(MANY_STREAMS, *numbers, **variables)


def build(folder: Path, *flags: str, python: str = sys.executable) -> Built:
    """Compile the driver into a copy of the package, as setup.py does but for these flags."""
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    target = folder / "tokenclock" / f"_speed{of_python(python, SUFFIX)}"
    headers = of_python(python, HEADERS)
    shared = ("-shared", "-fPIC", "-fvisibility=hidden", "-isystem", headers)
    run("gcc", *shared, *flags, "-o", target, *SOURCES)
    return Built((python,), folder)


# --- the checks -----------------------------------------------------------------------------------


def warnings(folder: Path) -> None:
    """Compile with everything that compilers say."""
    headers = ("-isystem", of_python(sys.executable, HEADERS))
    library = folder / "driver.so"
    run("gcc", *STRICT, "-O2", "-fanalyzer", *headers, "-shared", "-fPIC", "-o", library, *SOURCES)
    clang = next((name for name in ("clang", "clang-14") if shutil.which(name)), None)
    if clang is None:
        print("clang is not installed: its warnings were not looked for")
        return
    run(clang, *STRICT, *headers, "-fsyntax-only", *SOURCES)


def sanitizers(folder: Path) -> None:
    """Let gcc's sanitizers watch; of leaks they would find the interpreter's own."""
    libraries = [ask("gcc", f"-print-file-name=lib{name}.so") for name in ("asan", "ubsan")]
    reports = folder / "reports"
    options = f"log_path={reports / 'report'}:log_exe_name=0"
    reports.mkdir()
    variables = {
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=0:detect_stack_use_after_return=1:{options}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:{options}",
    }
    built = build(folder / "package", *SANITIZED)
    try:
        built.read_streams(2_000, 2, **variables)
        built.run_tests(**variables)
    finally:
        for report in sorted(reports.iterdir()):  # of a child process too, which a test forgives
            print(report.read_text(encoding="utf-8", errors="replace"))
    if any(reports.iterdir()):
        raise Finding("a sanitizer reported")


def valgrind(folder: Path) -> None:
    """Let valgrind watch, leaks included."""
    python, package = build(folder / "package", "-O1", "-g")
    report = folder / "report.xml"
    watching = (
        "valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite",
        "--num-callers=24", "--xml=yes", f"--xml-file={report}",
    )  # fmt: skip
    Built((*watching, *python), package).read_streams(200, 1, PYTHONMALLOC="malloc")
    found = list(findings(report, "_speed"))
    print(*found, sep="\n")
    if found:
        raise Finding(f"valgrind reported {len(found)} times")


def debug(folder: Path) -> None:
    """Let a debug build of Python watch."""
    fetched = folder / "debug"
    fetched.mkdir()
    python = find_debug_python(fetched)
    if python is None:
        raise Finding("no debug build of Python: install python3-dbg")
    # Debian's headers are links, and would be found where those of the ordinary Python are.
    above = Path(of_python(python, HEADERS)).parent
    flags = ("-O0", "-g", "-fno-canonical-system-headers", "-isystem", str(above))
    built = build(folder / "package", *flags, python=python)
    # A package compiled for an ordinary Python would not count the references it takes.
    built.read_streams(20_000, 4, WRAPT_DISABLE_EXTENSIONS="1")


def refcounts(folder: Path) -> None:
    """Read a million streams."""
    build(folder / "package", "-O3").read_streams(1_000_000, 10)


CHECKS: dict[str, Callable[[Path], None]] = {
    check.__name__: check for check in (warnings, sanitizers, valgrind, debug, refcounts)
}


def main() -> int:
    """Run the checks and give 1 if one found something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checks", nargs="*", help="which ones; default: all")
    names = parser.parse_args().checks or list(CHECKS)
    if not SOURCES or set(names) - set(CHECKS):
        parser.error(f"choose among {', '.join(CHECKS)}; sources found: {len(SOURCES)}")
    found = [name for name in names if not passes(name)]
    print(f"checks: {len(names)}; found something: {', '.join(found) or 'none'}")
    return int(bool(found))


def passes(name: str) -> bool:
    """Run one check in a folder of its own."""
    print(f"=== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            CHECKS[name](Path(folder))
        except Finding as finding:
            print(f"=== {name}: {finding}")
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
