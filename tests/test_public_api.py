"""The front door: which names there are, how they are called, and what importing them costs."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tokenclock
import tokenclock._typing
import tokenclock.demo
import tokenclock.errors
import tokenclock.exporters
import tokenclock.pytest_plugin
import tokenclock.readers
import tokenclock.records
import tokenclock.summary
import tokenclock.testing

DATA = Path(__file__).parent / "data"
LINE_WIDTH = 100
INDENT = "    "

# None of these may be imported by `import tokenclock`: each costs milliseconds or needs an extra.
MODULES = (
    tokenclock,
    tokenclock.demo,
    tokenclock.errors,
    tokenclock.exporters,
    tokenclock.pytest_plugin,
    tokenclock.readers,
    tokenclock.records,
    tokenclock.summary,
    tokenclock.testing,
)
# Those that need an extra have a snapshot of their own.
NEED_EXTRAS = (
    "tokenclock.cli", "tokenclock.compare", "tokenclock.exporters.opentelemetry",
    "tokenclock.exporters.prometheus", "tokenclock.plots",
)  # fmt: skip

NOT_AT_IMPORT = {
    "asyncio",
    "concurrent.futures",
    "email",
    "importlib.metadata",
    "json",
    "logging",
    "multiprocessing",
    "tokenclock._metrics",
    "tokenclock._typing",
    "tokenclock.exporters",
    "tokenclock.readers",
    "tokenclock.records",
    "tokenclock.summary",
    "tokenclock.testing",
    "typing_extensions",
    "unittest",
}


def test_the_surface_is_the_one_on_record() -> None:
    """Every change of a public name or signature is made on purpose and shows in review."""
    check_surface(MODULES, "public_api.txt")


@pytest.mark.extras
def test_the_surface_behind_extras_is_the_one_on_record() -> None:
    """The same for what an extra brings."""
    check_surface(modules_behind_extras(), "public_api_extras.txt")


def modules_behind_extras() -> list[ModuleType]:
    return [importlib.import_module(name) for name in NEED_EXTRAS]


def check_surface(modules: Iterable[ModuleType], snapshot: str) -> None:
    found = "\n".join(surface(modules)) + "\n"
    assert found == (DATA / snapshot).read_text(encoding="utf-8"), (
        "The public surface has changed. If that is meant, write it down with\n"
        "    python tests/test_public_api.py\n"
        "and give the change its docstring, its type test and its line in CHANGELOG.md."
    )


def test_all_is_sorted_and_complete() -> None:
    """``__all__`` is sorted, names nothing twice, and nothing that is not there."""
    names = tokenclock.__all__
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(tokenclock, name)] == []


def test_star_import_gives_what_all_says() -> None:
    """``from tokenclock import *`` gives the names of ``__all__`` and no other."""
    namespace: dict[str, Any] = {}
    exec("from tokenclock import *", namespace)  # noqa: S102 - no other way inside a function
    assert sorted(namespace.keys() - {"__builtins__"}) == tokenclock.__all__


def test_version_is_the_installed_one() -> None:
    """``__version__`` is what the installed package's metadata says."""
    assert tokenclock.__version__ == importlib.metadata.version("tokenclock")


def test_unknown_names_are_refused() -> None:
    """A name that is not there is an ``AttributeError``, as for any module."""
    with pytest.raises(AttributeError, match="module 'tokenclock' has no attribute 'observer'"):
        getattr(tokenclock, "observer")  # noqa: B009 - a checker would refuse the attribute


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_says_since_when(module: ModuleType) -> None:
    """Every public class and function has a docstring that names the version it came with."""
    check_versions(module)


@pytest.mark.extras
@pytest.mark.parametrize("name", NEED_EXTRAS)
def test_everything_behind_extras_says_since_when(name: str) -> None:
    """The same for what an extra brings."""
    check_versions(importlib.import_module(name))


def check_versions(module: ModuleType) -> None:
    silent = [
        name
        for name, member in public(module)
        if (inspect.isclass(member) or inspect.isfunction(member))
        and not name.startswith("__")
        and name != "Sink"
        and ".. versionadded:: " not in (member.__doc__ or "")
    ]
    assert silent == []


def test_importing_is_cheap() -> None:
    """Beyond what ``wrapt`` imports, nothing heavy, optional or for tests only is imported."""
    code = (
        "import sys, wrapt; before = set(sys.modules); import tokenclock; "
        "print(*(set(sys.modules) - before))"
    )
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    imported = set(run.stdout.split())
    assert "tokenclock._decorator" in imported
    assert imported & NOT_AT_IMPORT == set()


def test_options_are_the_same_everywhere() -> None:
    """What checkers know of the options is what the decorators take."""
    types = tokenclock._typing
    known = {*types.StreamSettings.__annotations__, *types.Settings.__annotations__}
    assert _keyword_only(tokenclock.metrics_decorator) == known
    assert _keyword_only(tokenclock.observe) == known
    assert _keyword_only(tokenclock.instrument) == known - {"streams"}
    assert _keyword_only(tokenclock.measure) == known - {"streams"} | {"since"}


def _keyword_only(function: Any) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}


# --- how the surface is written down -------------------------------------------------------------


def surface(modules: Iterable[ModuleType]) -> Iterator[str]:
    """Write every public name with its signature, in a form that reads well as a diff."""
    for module in modules:
        yield f"# {module.__name__}"
        for name, member in public(module):
            yield ""
            yield from described(name, member)
        yield ""


def public(module: ModuleType) -> list[tuple[str, Any]]:
    names = getattr(module, "__all__", None) or [
        name for name in sorted(vars(module)) if inspect.isclass(vars(module)[name])
    ]
    return [(name, getattr(module, name)) for name in names]


def described(name: str, member: Any) -> Iterator[str]:
    if name == "Sink":  # first: to Python 3.10 an alias is a class
        yield "Sink = Callable[[MetricsResult[Any]], object]"
        assert str(member).replace("'", "").endswith("Callable[[MetricsResult[Any]], object]")
    elif inspect.isclass(member):
        yield from described_class(name, member)
    elif inspect.isfunction(member):
        yield from signature_lines(f"def {name}", member)
    else:
        yield f"{name}: {type(member).__name__}"


def described_class(name: str, kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    fields: set[str] = set()
    if has_own_signature(kind):
        fields = set(inspect.signature(kind).parameters)
        yield from (INDENT + line for line in signature_lines("call", kind))
    ours = [base for base in kind.__mro__ if base.__module__.startswith("tokenclock")]
    members = {name: base.__dict__[name] for base in reversed(ours) for name in base.__dict__}
    for member in sorted(members):
        if not member.startswith("_") and member not in fields:
            yield from (INDENT + line for line in described_member(member, members[member]))


def has_own_signature(kind: type) -> bool:
    makers = {"__init__", "__new__"}
    return any(
        makers & base.__dict__.keys()
        for base in kind.__mro__
        if base.__module__.startswith("tokenclock") and base.__name__ != "Proxy"
    )


def described_member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        yield f"{name}: {text_of(inspect.signature(member.fget).return_annotation)}"  # type: ignore[arg-type]  # no property of ours is write-only
    elif isinstance(member, classmethod | staticmethod):
        yield from signature_lines(f"{type(member).__name__} {name}", member.__func__)
    elif inspect.isfunction(member):
        yield from signature_lines(f"def {name}", member)
    else:
        yield name


def signature_lines(start: str, function: Any) -> list[str]:
    """Write a signature on one line, or, where it is long, on one line for each parameter."""
    signature = inspect.signature(function)
    given = signature.return_annotation
    end = f") -> {text_of(given)}" if given is not signature.empty else ")"
    parameters = list(parameter_texts(signature))
    line = f"{start}({', '.join(parameters)}{end}"
    if len(line) <= LINE_WIDTH:
        return [line]
    return [f"{start}(", *(f"{INDENT}{parameter}," for parameter in parameters), end]


def parameter_texts(signature: inspect.Signature) -> Iterator[str]:
    was_positional_only = has_star = False
    for one in signature.parameters.values():
        if was_positional_only and one.kind is not one.POSITIONAL_ONLY:
            yield "/"
        was_positional_only = one.kind is one.POSITIONAL_ONLY
        if one.kind is one.KEYWORD_ONLY and not has_star:
            has_star = True
            yield "*"
        yield parameter_text(one)
    if was_positional_only:
        yield "/"


def parameter_text(one: inspect.Parameter) -> str:
    stars = "*" * (one.kind is one.VAR_POSITIONAL) + "**" * (one.kind is one.VAR_KEYWORD)
    annotation = "" if one.annotation is one.empty else f": {text_of(one.annotation)}"
    default = "" if one.default is one.empty else f" = {one.default!r}"
    return f"{stars}{one.name}{annotation}{default}"


def text_of(annotation: Any) -> str:
    """Write an annotation as the source has it: a string, or what a NamedTuple made of one."""
    if isinstance(annotation, str):
        return annotation
    forward: str | None = getattr(annotation, "__forward_arg__", None)
    return forward or getattr(annotation, "__name__", None) or str(annotation)


if __name__ == "__main__":
    for modules, snapshot in (
        (MODULES, "public_api.txt"),
        (modules_behind_extras(), "public_api_extras.txt"),
    ):
        (DATA / snapshot).write_text("\n".join(surface(modules)) + "\n", encoding="utf-8")
