"""What stands in records is data: no renderer takes any of it for markup or commands."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from command_line import Commands, Result, on_a_terminal, recorded, result

pytestmark = pytest.mark.extras

# A colour, Rich's markup, HTML, a Markdown column, a formula, a new line, text turned around.
HOSTILE = "\x1b[31m[bold]x[/bold]<script>alert(1)</script>|$x_\n\u202eend"
# The same on one line, without what has no printed form.
HARMLESS = "[31m[bold]x[/bold]<script>alert(1)</script>|$x_end"

NO_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def hostile(number: int) -> Result:
    return result(
        number,
        function=HOSTILE,
        model=HOSTILE,
        finish_reason=HOSTILE,
        attributes={HOSTILE: HOSTILE},
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return recorded(tmp_path / "runs.jsonl", [hostile(number) for number in range(25)])


def test_plain_text(command: Commands, runs: Path) -> None:
    """Into a pipe go the characters that can be printed, on the line where they belong."""
    report = command("report", runs, "--by", "model").out
    comparison = command("compare", runs, runs, "--by", "model").out
    call = command("show", runs).out

    assert f"\ngroup: {HARMLESS}\n" in report
    assert f"\ngroup: {HARMLESS}\n" in comparison
    assert f"\nmodel                             {HARMLESS}\n" in call
    assert f"\nattributes.{HARMLESS}{HARMLESS}\n" in call
    assert NO_CONTROL.search(report + comparison + call) is None


def test_errors(command: Commands, runs: Path) -> None:
    """An error that quotes a stranger's text is harmless, too."""
    told = command(
        "report", runs.rename(runs.with_name("[b]\x1b[31m\u202e.jsonl")), "--by", "x\x1b"
    )

    assert told.err.startswith("tokenclock: Cannot group calls by 'x")
    assert NO_CONTROL.search(told.err) is None


def test_a_terminal(runs: Path) -> None:
    """In colours the same characters appear, and no escape code but our own."""
    for arguments in (["report", "--by", "model"], ["show"], ["compare", str(runs)]):
        seen = on_a_terminal(arguments[0], runs, *arguments[1:])
        plain = re.sub(r"\x1b\[(0|1|33|1;31|1;32)m", "", seen)

        assert NO_CONTROL.search(plain) is None
        assert arguments[0] == "compare" or HARMLESS in plain


def test_rich_markup() -> None:
    """``escape`` gives text that a rich console prints as it is."""
    from rich.console import Console  # noqa: PLC0415 - the bare run has no rich

    from tokenclock.cli._output import escape  # noqa: PLC0415 - as above

    printed = io.StringIO()
    Console(file=printed, force_terminal=True, width=200, highlight=False, emoji=False).print(
        escape(HOSTILE)
    )
    assert printed.getvalue() == f"{HARMLESS}\n"


def test_markdown(command: Commands, runs: Path) -> None:
    """In Markdown every character that could be markup is escaped."""
    out = command("report", runs, "--by", "model", "--format", "markdown").out
    out += command("compare", runs, runs, "--by", "model", "--format", "markdown").out

    escaped = r"\[31m\[bold\]x\[/bold\]\<script\>alert(1)\</script\>\|\$x\_end"
    assert out.count(escaped) == 2
    assert "<script" not in out.replace(r"\<script", "")
    assert NO_CONTROL.search(out) is None


def test_json(command: Commands, runs: Path) -> None:
    """JSON holds the very text, and no character of it reaches a terminal unescaped."""
    out = command("report", runs, "--by", "model", "--format", "json").out
    compared = command("compare", runs, runs, "--by", "model", "--format", "json").out

    assert json.loads(out)["groups"][0]["key"] == HOSTILE
    assert json.loads(compared)["groups"][0]["key"] == HOSTILE
    assert NO_CONTROL.search(out + compared) is None


# --- pictures ------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def texts_in(svg: bytes) -> Iterator[str]:
    """Give the texts that a picture shows: matplotlib draws glyphs, and notes what they say."""
    for _, element in ET.iterparse(io.BytesIO(svg), events=["comment"]):  # noqa: S314 - ours
        yield (element.text or "").strip()


def elements_in(svg: bytes) -> set[str]:
    return {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}  # noqa: S314 - ours


def test_svg(command: Commands, runs: Path, tmp_path: Path) -> None:
    """An SVG shows the text, and has no element that could do anything."""
    picture = tmp_path / "out.svg"
    assert command("plot", runs, "-o", picture).exit_code == 0
    svg = picture.read_bytes()

    assert any("[bold]x[/bold]" in text for text in texts_in(svg))
    assert elements_in(svg) & {"script", "foreignObject", "a", "image"} == set()
    assert NO_CONTROL.search(svg.decode()) is None


def test_html(command: Commands, runs: Path, tmp_path: Path) -> None:
    """A page shows the text as text, loads nothing and runs nothing."""
    file = tmp_path / "out.html"
    assert command("plot", runs, "-o", file).exit_code == 0
    page = _Page(file.read_text(encoding="utf-8"))

    assert {tag for tag, _ in page.elements} == {
        "html", "head", "meta", "title", "style", "body", "h2", "picture", "source", "img", "pre",
    }  # fmt: skip
    sources = [value or "" for _, attributes in page.elements for name, value in attributes.items()
               if name in {"src", "srcset", "href"}]  # fmt: skip
    svgs = [b64decode(source.removeprefix("data:image/svg+xml;base64,")) for source in sources]
    assert any("[bold]x[/bold]" in text for svg in svgs for text in texts_in(svg))
    assert NO_CONTROL.search(file.read_text(encoding="utf-8")) is None


def test_the_text_of_a_page() -> None:
    """The title and the table of a page are text, whatever stands in them."""
    from tokenclock.cli._html import Picture, Section, page  # noqa: PLC0415 - beside its only use

    text = page(
        [Picture(f'"{HOSTILE}', b"<svg/>", b"<svg/>")], [Section(HOSTILE, f"a <b>\n{HOSTILE}")]
    )
    escaped = "[31m[bold]x[/bold]&lt;script&gt;alert(1)&lt;/script&gt;|$x_"

    assert f"<title>tokenclock: {escaped}end</title>" in text
    assert f"<h2>{escaped}end</h2>" in text
    assert f'<img alt="&quot;{escaped}end" src="data:' in text
    assert f"<pre>a &lt;b&gt;\n{escaped}\nend</pre>" in text
    assert "<script" not in text


def test_png(command: Commands, runs: Path, tmp_path: Path) -> None:
    """A picture takes no "$" for a formula: the picture is drawn, from one file or two."""
    picture = tmp_path / "out.png"
    assert command("plot", runs, "-o", picture).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    odd = runs.rename(runs.with_name("$x_{[b]}$.jsonl"))
    assert command("plot", odd, "--compare-with", odd, "-o", picture).exit_code == 0
