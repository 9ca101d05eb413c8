"""Finding the function that a run calls: every wrong name is refused, with what to do."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tokenclock._load import find_target
from tokenclock.errors import InvalidOptionError, NotMeasurableError

MODULE = """
    import functools
    from tokenclock import observe

    def answer(prompt):
        return [prompt]

    async def aanswer(prompt):
        return [prompt]

    def answer_all(prompt, model):
        return [prompt, model]

    def nothing():
        return []

    class Model:
        def stream(self, prompt):
            yield prompt

    model = Model()
    partly = functools.partial(answer_all, model="small")
    measured = observe(answer)
    number = 3
    biggest = max
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with modules in it, of which nothing is left behind."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(tmp_path / "clock_answers.py", MODULE)
    importlib.invalidate_caches()
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")


def refused(name: str) -> str:
    with pytest.raises(InvalidOptionError) as raised:
        find_target(name)
    assert raised.value.option == "target"
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "is_async"),
    [
        ("clock_answers:answer", False),
        ("clock_answers:aanswer", True),
        ("clock_answers:model.stream", False),
        ("clock_answers:partly", False),
        ("clock_answers:measured", False),
        ("clock_answers.py:answer", False),
        ("folder/clock_more.py:answer", False),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_function_is_found(name: str, *, is_async: bool, folder: Path) -> None:
    """In a module of the current directory, through dots, and in a file by its path."""
    write(folder / "folder" / "clock_more.py", "from clock_near import answer")
    write(folder / "folder" / "clock_near.py", MODULE)
    target = find_target(name)
    target.check_takes(("a prompt",))
    assert (target.name, target.is_async) == (name, is_async)


@pytest.mark.usefixtures("folder")
def test_what_is_measured_already_is_used_as_it_is() -> None:
    """The very object; any other function is measured by us."""
    target = find_target("clock_answers:measured")
    module = sys.modules["clock_answers"]
    assert target.function is module.measured
    assert find_target("clock_answers:answer").function is not module.answer


@pytest.mark.usefixtures("folder")
def test_a_function_that_does_not_tell_its_signature_is_called_all_the_same() -> None:
    """Some functions written in C do not say what they take."""
    find_target("clock_answers:biggest").check_takes(("a",))


@pytest.mark.parametrize(
    "name", ["clock_answers", "clock_answers:", ":answer", "clock_answers:a..b"]
)
@pytest.mark.usefixtures("folder")
def test_a_name_without_a_function_is_refused(name: str) -> None:
    """The message shows the form that is wanted."""
    assert refused(name) == (
        f"Cannot call {name!r}: it names no function. Write module:function, such as "
        "package.module:answer, or file.py:function."
    )


@pytest.mark.parametrize("name", ["clock_nowhere", "clock_nowhere.part"])
def test_a_missing_module_is_refused(name: str, folder: Path) -> None:
    """The message says where it was looked for."""
    assert refused(f"{name}:answer") == (
        f"Cannot import {name!r}: there is no module of that name in the current directory "
        f"({folder}) or among the installed ones. Check its spelling, or start from the folder "
        "that it is in."
    )


@pytest.mark.usefixtures("folder")
def test_a_missing_file_is_refused() -> None:
    """A path is checked before anything is imported."""
    assert refused("nowhere.py:answer") == (
        "Cannot import 'nowhere.py': there is no such file. Check its path."
    )


@pytest.mark.parametrize("name", ["clock_broken", "clock_broken.py"])
def test_a_failing_import_shows_the_users_lines_only(name: str, folder: Path) -> None:
    """The traceback begins in the user's file, and nothing is left half imported."""
    write(folder / "clock_broken.py", "def load():\n    raise ValueError('no key')\nload()\n")
    message = refused(f"{name}:answer")
    assert re.fullmatch(
        rf"Cannot import '{name}': importing it raised this\.\n"
        r"Traceback \(most recent call last\):\n"
        r'  File ".*clock_broken\.py", line 3, in <module>\n    load\(\)\n'
        r'  File ".*clock_broken\.py", line 2, in load\n'
        r"    raise ValueError\('no key'\)\n"
        r"ValueError: no key\n"
        r"Mend it, then run again\.",
        re.sub(r"\n *[\^~]+(?=\n)", "", message),
    )
    assert "clock_broken" not in sys.modules


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import sys\nsys.exit('needs a key')", "SystemExit: needs a key"),
        ("import clock_absent", "ModuleNotFoundError: No module named 'clock_absent'"),
        ("raise ModuleNotFoundError('x')", "ModuleNotFoundError: x"),
        ("def answer(:", "SyntaxError: "),
    ],
)
def test_whatever_an_import_raises_is_told(source: str, says: str, folder: Path) -> None:
    """Exits, missing dependencies and errors of syntax too."""
    write(folder / "clock_broken.py", source)
    assert says in refused("clock_broken:answer")


def test_an_interrupted_import_is_interrupted(folder: Path) -> None:
    """Ctrl-C passes."""
    write(folder / "clock_broken.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        find_target("clock_broken:answer")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "anwser",
            "'clock_answers' has no 'anwser'. Did you mean answer or aanswer or answer_all?",
        ),
        ("zzz", "'clock_answers' has no 'zzz'. Check its spelling."),
        ("model.strem", "'Model' has no 'strem'. Did you mean stream?"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_missing_function_is_refused(path: str, says: str) -> None:
    """Names that are near are proposed."""
    assert refused(f"clock_answers:{path}") == f"Cannot call 'clock_answers:{path}': {says}"


@pytest.mark.usefixtures("folder")
def test_what_cannot_be_called_is_refused() -> None:
    """A number is no function, and a class makes objects."""
    assert refused("clock_answers:number") == (
        "Cannot call 'clock_answers:number': a 'int' is not callable. Name a function, a method "
        "of an object, or an object with __call__."
    )
    with pytest.raises(NotMeasurableError, match="Cannot measure the class 'Model'"):
        find_target("clock_answers:Model")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        (
            "clock_answers:answer_all",
            ("a",),
            (
                "Cannot call 'clock_answers:answer_all' with a line of the input: it takes "
                "(prompt, model) (missing a required argument: 'model'). "
                "Name a function that takes one prompt."
            ),
        ),
        (
            "clock_answers:nothing",
            ("a",),
            (
                "Cannot call 'clock_answers:nothing' with a line of the input: it takes "
                "() (too many positional arguments). "
                "Name a function that takes one prompt."
            ),
        ),
        (
            "clock_answers:answer",
            (),
            (
                "Cannot call 'clock_answers:answer' with no argument: it takes "
                "(prompt) (missing a required argument: 'prompt'). "
                "Pass --input FILE with one prompt a line, or name one that needs none."
            ),
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_signature_that_does_not_fit_is_refused(
    name: str, arguments: tuple[str, ...], says: str
) -> None:
    """Before the first call, and with the signature in the message."""
    with pytest.raises(InvalidOptionError) as raised:
        find_target(name).check_takes(arguments)
    assert str(raised.value) == says


@pytest.mark.usefixtures("folder")
def test_where_measuring_is_switched_off_there_is_nothing_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run without results would look like one that measured nothing."""
    monkeypatch.setenv("TOKENCLOCK_DISABLED", "1")
    assert refused("clock_answers:answer") == (
        "Cannot measure 'clock_answers:answer': TOKENCLOCK_DISABLED is set, which switches "
        "measuring off. Unset it."
    )
