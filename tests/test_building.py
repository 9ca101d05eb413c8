"""Building: with a C compiler, without one, and from what is published for everybody else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[1]
PARTS = ("CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
PATIENCE = 120.0  # seconds; only a failing test waits as long
# Of the two ways to say which compiler there is, each system knows one.
NO_COMPILER = {"CC": "no-such-compiler", "DISTUTILS_USE_SDK": "1", "MSSdk": "1"}
COMPLAINT = re.compile(r"\b(cannot|error|spoilt)\b")
CANNOT = "tokenclock: cannot build the compiled driver: "
WHAT_TO_DO = (
    ". The package is installed all the same and measures in pure Python, which costs more time a "
    "token. For the driver, install a C compiler and Python's headers, then: pip install "
    "--force-reinstall --no-cache-dir --no-binary tokenclock tokenclock"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the package is built from."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "*.pyd")
    for name in ("src", "ext"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in (*PARTS, "tests/test_building.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a folder, in which it finds no other compiler or choice than these."""
    chosen = {"CC", "CFLAGS", "LDSHARED", "PYTHONPATH", "TOKENCLOCK_PURE_PYTHON"}
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, *words],
        cwd=folder, env={**environment, "CFLAGS": "-O0", **variables}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip


def wheel_of(source: Path, **variables: str) -> tuple[Path | None, list[str]]:
    """Build a wheel as ``pip install -v`` does: give it, and what was said."""
    folder = source.parent / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    words = ("--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir", "--verbose")
    built = run(
        source.parent, "-m", "pip", "wheel", *words, "--wheel-dir", str(folder), str(source),
        **variables,
    )  # fmt: skip
    wheel = next(folder.glob("*.whl"), None)
    assert (built.returncode == 0) == (wheel is not None), built.stdout
    return wheel, [line.strip() for line in built.stdout.splitlines()]


def is_pure(wheel: Path | None) -> bool:
    """Whether a wheel is for every Python; what its name says is what is in it."""
    assert wheel is not None
    with zipfile.ZipFile(wheel) as archive:
        has_driver = any(name.endswith((".so", ".pyd")) for name in archive.namelist())
    assert has_driver != wheel.name.endswith("-py3-none-any.whl")
    return not has_driver


def complaints(said: list[str]) -> list[str]:
    """Give the reasons that were given, each in one line that also says what follows."""
    lines = [line for line in said if COMPLAINT.search(line)]
    assert all(line.startswith(CANNOT) and line.endswith(WHAT_TO_DO) for line in lines)
    return [line.removeprefix(CANNOT).removesuffix(WHAT_TO_DO) for line in lines]


def spoil(project: Path) -> None:
    """Make the driver one that no compiler takes."""
    with min((project / "ext").glob("*.c")).open("a", encoding="utf-8") as source:
        source.write('\n#error "spoilt by a test"\n')


def test_without_a_compiler_the_package_is_pure_and_says_so_in_one_line(project: Path) -> None:
    """Where there is no compiler the wheel is one for every Python, and one line says why."""
    wheel, said = wheel_of(project, **NO_COMPILER)
    assert is_pure(wheel)
    (reason,) = complaints(said)
    assert os.name == "nt" or "no-such-compiler" in reason


def test_a_driver_that_does_not_compile_leaves_nothing_behind(project: Path) -> None:
    """A compiler's first complaint is the reason, and no driver of an earlier build goes along."""
    assert not is_pure(wheel_of(project)[0])
    spoil(project)
    wheel, said = wheel_of(project)
    assert is_pure(wheel)
    (reason,) = complaints(said)
    assert "spoilt by a test" in reason


def test_a_driver_that_is_required_fails_the_build(project: Path) -> None:
    """With TOKENCLOCK_PURE_PYTHON=0 there is no wheel without the driver."""
    spoil(project)
    wheel, said = wheel_of(project, TOKENCLOCK_PURE_PYTHON="0")
    assert wheel is None
    assert any("spoilt by a test" in line for line in said)


def test_pure_python_can_be_asked_for(project: Path) -> None:
    """With TOKENCLOCK_PURE_PYTHON=1 the driver is not built, and nothing is said about it."""
    wheel, said = wheel_of(project, TOKENCLOCK_PURE_PYTHON="1")
    assert is_pure(wheel)
    assert complaints(said) == []


def test_the_sdist_has_all_that_a_compiled_wheel_needs(project: Path) -> None:
    """From the sdist alone, which has no tests, a driver is built that measures."""
    making = "from setuptools import build_meta; build_meta.build_sdist('.')"
    made = run(project, "-c", making, TOKENCLOCK_PURE_PYTHON="1")  # as on a Python without it
    assert made.returncode == 0, made.stdout
    (sdist,) = project.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    assert {path.relative_to(project) for path in project.glob("ext/*")} <= names
    assert not any(name.parts[:1] == ("tests",) for name in names)
    wheel, _ = wheel_of(sdist, TOKENCLOCK_PURE_PYTHON="0")
    assert wheel is not None
    shutil.unpack_archive(wheel, project / "installed", "zip")
    asking = "import tokenclock; print(tokenclock.__file__, tokenclock.driver)"
    answer = run(project, "-c", asking, PYTHONPATH=str(project / "installed")).stdout.split()
    assert answer == [str(project / "installed" / "tokenclock" / "__init__.py"), "compiled"]
