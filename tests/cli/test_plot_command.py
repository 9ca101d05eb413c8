"""``tokenclock plot``: which pictures are drawn, and into what."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from command_line import Commands, program, recorded, result

if TYPE_CHECKING:
    from tokenclock.cli._figures import Panel

pytestmark = pytest.mark.extras


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return recorded(tmp_path / "runs.jsonl", [result(number) for number in range(3)])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """The panels of every figure, which are noted instead of drawn."""
    from tokenclock.cli import _figures  # noqa: PLC0415 - the bare run has no matplotlib

    noted: list[Panel] = []

    def note(panels: list[Panel], suffix: str, *, dark: bool) -> bytes:
        noted.extend(panels)
        return f"{suffix}, {'dark' if dark else 'light'}".encode()

    monkeypatch.setattr(_figures, "drawn", note)
    return noted


def titles(panels: list[Panel]) -> list[str]:
    return [panel.title for panel in panels]


def labels_of(panel: Panel) -> object:
    draw: Any = panel.draw
    return draw.keywords["labels"]


# --- files ---------------------------------------------------------------------------------------


def test_a_png(command: Commands, runs: Path, tmp_path: Path) -> None:
    """The ending chooses the kind of file; its name is said."""
    picture = tmp_path / "out.png"

    assert command("plot", runs, "-o", picture) == (0, f"{picture}\n", "")
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(("arguments", "ground"), [([], "white"), (["--dark"], "black")])
def test_an_svg_is_light_or_dark(
    command: Commands, runs: Path, arguments: list[str], ground: str
) -> None:
    """``--dark`` draws on black. An ending in capitals is the same ending."""
    picture = runs.with_name("out.SVG")
    command("plot", runs, "-o", picture, *arguments)

    assert ground_of(picture.read_text(encoding="utf-8")) == ground


def ground_of(svg: str) -> str:
    """Give the colour of the first thing that is filled; SVG fills with black unless told."""
    found = re.search(r'<g id="patch_1">\s*<path d="[^"]*"([^>]*)>', svg)
    assert found is not None
    return "white" if "fill: #ffffff" in found[1] else "black"


def test_the_same_calls_give_the_same_file(command: Commands, runs: Path, tmp_path: Path) -> None:
    """A picture under version control changes when the calls do."""
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    command("plot", runs, "-o", one)
    command("plot", runs, "-o", two)

    assert one.read_bytes() == two.read_bytes()


def test_a_page_holds_pictures_in_both_looks_and_the_table(
    command: Commands, runs: Path, tmp_path: Path
) -> None:
    """The page is one file: its pictures follow the reader's choice of light or dark."""
    file = tmp_path / "out.html"
    command("plot", runs, "-o", file, "--kind", "timeline")
    page = file.read_text(encoding="utf-8")
    dark, light = (
        b64decode(source).decode()
        for source in re.findall(r'(?:srcset|src)="data:image/svg\+xml;base64,([^"]+)"', page)
    )

    assert '<source media="(prefers-color-scheme: dark)" srcset="' in page
    assert '<img alt="timeline" src="' in page
    assert (ground_of(light), ground_of(dark)) == ("white", "black")
    assert "<h2>runs.jsonl</h2>\n<pre>calls        3: 3 completed\n" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_file_that_is_there_is_replaced(command: Commands, runs: Path, tmp_path: Path) -> None:
    """A picture is drawn anew over the old one, as every tool does it."""
    picture = tmp_path / "out.png"
    picture.write_text("old", encoding="utf-8")

    assert command("plot", runs, "-o", picture, "--kind", "over-time").exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_users_own_settings_are_left_alone(
    command: Commands, runs: Path, tmp_path: Path
) -> None:
    """What matplotlib draws elsewhere in the process looks as before."""
    import matplotlib as mpl  # noqa: PLC0415 - the bare run has no matplotlib

    before = dict(mpl.rcParams)
    command("plot", runs, "-o", tmp_path / "out.png", "--dark")
    assert dict(mpl.rcParams) == before


# --- what is drawn -------------------------------------------------------------------------------


def test_all_kinds_that_show_something_are_drawn(
    command: Commands, runs: Path, tmp_path: Path, drawn: list[Panel]
) -> None:
    """Without options there is a timeline, the distributions, and the first token over time."""
    command("plot", runs, "-o", tmp_path / "out.png")

    assert titles(drawn) == [
        "timeline",
        "time to first token",
        "time per output token",
        "gaps between chunks",
        "generation latency",
        "time to first token over time",
    ]


def test_numbers_that_no_call_has_are_not_drawn(
    command: Commands, tmp_path: Path, drawn: list[Panel]
) -> None:
    """Of values there is only the latency to show."""
    runs = recorded(tmp_path / "runs.jsonl", [result(streamed=False)])
    command("plot", runs, "-o", tmp_path / "out.png")

    assert titles(drawn) == ["timeline", "generation latency", "generation latency over time"]


def test_a_picture_without_numbers_says_so(
    command: Commands, tmp_path: Path, drawn: list[Panel]
) -> None:
    """Where no call has any number a plot of the first token is drawn, which says so."""
    failed = result(streamed=False, outcome="failed", error="OSError")
    runs = recorded(tmp_path / "runs.jsonl", [failed])
    command("plot", runs, "-o", tmp_path / "out.png", "--kind", "distribution")

    assert titles(drawn) == ["time to first token"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--kind", "timeline"], ["timeline"]),
        (["--kind", "distribution", "--metric", "throughput"], ["throughput"]),
        (["--kind", "over-time"], ["time to first token over time"]),
        (
            ["--metric", "time_per_output_token"],
            ["timeline", "time per output token", "time per output token over time"],
        ),
    ],
)
def test_kind_and_metric_choose(
    command: Commands,
    runs: Path,
    drawn: list[Panel],
    arguments: list[str],
    expected: list[str],
) -> None:
    """``--kind`` and ``--metric`` leave what was asked for."""
    command("plot", runs, "-o", runs.with_name("out.png"), *arguments)
    assert titles(drawn) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["time to first token", "generation latency", "throughput"]),
        (["--metric", "throughput"], ["throughput"]),
    ],
)
def test_two_sets_are_compared(
    command: Commands,
    runs: Path,
    drawn: list[Panel],
    arguments: list[str],
    expected: list[str],
) -> None:
    """``--compare-with`` draws each number that both sets have, with the names of the files."""
    fields: dict[str, Any] = {
        "inter_token_latencies": [],
        "time_per_output_token": None,
        "time_to_first_output_token": None,
    }
    base = recorded(runs.with_name("base.jsonl"), [result(**fields)])
    command("plot", runs, "-o", runs.with_name("out.png"), "--compare-with", base, *arguments)

    assert titles(drawn) == expected
    assert {labels_of(panel) for panel in drawn} == {("base.jsonl", "runs.jsonl")}


def test_a_page_of_two_sets_has_both_tables(command: Commands, runs: Path, tmp_path: Path) -> None:
    """A comparison shows the numbers of both sets."""
    base = recorded(tmp_path / "base.jsonl", [result()])
    file = tmp_path / "out.html"
    arguments = ["--compare-with", str(base), "--metric", "generation_latency"]
    assert command("plot", runs, "-o", file, *arguments).exit_code == 0

    page = file.read_text(encoding="utf-8")
    assert "<title>tokenclock: base.jsonl, runs.jsonl</title>" in page
    assert "<h2>base.jsonl</h2>\n<pre>calls        1: " in page
    assert "<h2>runs.jsonl</h2>\n<pre>calls        3: " in page


def test_neighbours_share_a_row() -> None:
    """Plots of half the width stand two in a row; wide ones and the odd one out have their own."""
    from tokenclock.cli._figures import Panel, _rows  # noqa: PLC0415 - as above

    wide, one, two, three = (
        Panel(title=title, draw=print, columns=2 if title == "wide" else 1)
        for title in ("wide", "one", "two", "three")
    )
    assert _rows([wide, one, two, three, wide]) == [[wide], [one, two], [three], [wide]]
    assert _rows([one, wide]) == [[one], [wide]]


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["-o", "out.pdf"],
            (
                "Cannot draw into 'out.pdf': its ending tells no kind of picture. "
                "Pass a name that ends in .png, .svg, .html."
            ),
        ),
        (
            ["-o", "nowhere/out.png"],
            (
                "Cannot draw into 'nowhere/out.png': there is no folder 'nowhere'. "
                "Make it first: mkdir -p nowhere"
            ),
        ),
        (
            ["-o", "out.png", "--kind", "pie"],
            (
                "Cannot use --kind 'pie': it is not known. "
                "Pass one of timeline, distribution, over-time."
            ),
        ),
        (
            ["-o", "out.png", "--metric", "speed"],
            (
                "Cannot use --metric 'speed': it is not known. Pass one of time_to_first_token, "
                "time_to_first_output_token, time_per_output_token, inter_token_latency, "
                "generation_latency, throughput."
            ),
        ),
        (
            ["-o", "out.png", "--kind", "timeline", "--metric", "throughput"],
            (
                "Cannot draw --metric throughput as a timeline: that shows whole calls. "
                "Leave --metric or --kind out."
            ),
        ),
        (
            ["-o", "out.png", "--kind", "timeline", "--compare-with", "base.jsonl"],
            (
                "Cannot draw --kind timeline of two sets of calls: a comparison is a kind of its "
                "own. Leave --kind or --compare-with out."
            ),
        ),
        (
            ["-o", "out.png"],
            (
                "Cannot read 'none.jsonl': there is no such file. "
                "Pass a file that JsonLinesSink or 'tokenclock run -o' wrote."
            ),
        ),
    ],
)
def test_wrong_options_are_errors(
    command: Commands,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    says: str,
) -> None:
    """A wrong option is exit code 2, says what to pass, and leaves no file."""
    monkeypatch.chdir(tmp_path)

    assert command("plot", "none.jsonl", *arguments) == (2, "", f"tokenclock: {says}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_an_error(
    command: Commands, runs: Path, tmp_path: Path, drawn: list[Panel]
) -> None:
    """What the system says of the file is passed on in a sentence."""
    folder = tmp_path / "out.png"
    folder.mkdir()

    assert command("plot", runs, "-o", folder) == (
        2,
        "",
        f"tokenclock: Cannot write '{folder}': Is a directory. Pass -o another file.\n",
    )


def test_without_matplotlib_it_says_what_to_install(runs: Path, tmp_path: Path) -> None:
    """Where matplotlib is missing the command says how to install it, and ends with 2."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from tokenclock.cli import main\n"
        f"main(['plot', {str(runs)!r}, '-o', {str(tmp_path / 'out.png')!r}])\n"
    )
    assert program(code=code) == (
        2,
        "",
        (
            "tokenclock: Plots need matplotlib, which is not installed. "
            "Install it with: pip install 'tokenclock[plot]'.\n"
        ),
    )
