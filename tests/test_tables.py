"""Tables as text: they fit, they align, and what is in them is no markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock._tables import markdown, markdown_text, plain
from tokenclock._texts import cut, width_of

HOSTILE = "\x1b[31m[bold]<script>|$x_`*~&\\\r\n\u202e"


def test_columns_are_aligned() -> None:
    """The first column stands to the left, the others to the right, wide characters as two."""
    assert plain(["call", "n"], [["chat", "12"], ["模型", "3"], ["a", "100"]]) == (
        "call    n\n"
        "chat   12\n"
        "模型    3\n"
        "a     100"
    )  # fmt: skip


def test_a_long_first_column_is_cut() -> None:
    """The numbers stay whole; what is too long is the name."""
    table = plain(["call", "n"], [["a" * 40, "12"]], width=20)

    assert table == "call               n\naaaaaaaaaaaaa...  12"


@given(
    st.lists(st.tuples(st.text(), st.text(max_size=10), st.text(max_size=10)), min_size=1),
)
def test_a_table_fits_its_width(rows: list[tuple[str, str, str]]) -> None:
    """Whatever strangers named their calls, no line is too long and none is broken in two."""
    lines = plain(["call", "n", "mean"], rows, width=60).split("\n")

    assert len(lines) == len(rows) + 1
    assert all(width_of(line) <= 60 for line in lines)


def test_a_terminal_is_not_steered() -> None:
    """Escape codes, line breaks and marks that turn the direction are dropped."""
    table = plain(["call", "n"], [[HOSTILE, "1"]])

    assert table.splitlines()[1] == "[31m[bold]<script>|$x_`*~&\\  1"
    assert all(character.isprintable() or character == "\n" for character in table)


def test_markdown_cells_are_text() -> None:
    """A cell can neither end itself nor be markup, HTML or a formula."""
    assert markdown(["call", "n"], [[HOSTILE, "1"]]) == (
        "| call | n |\n"
        "| :--- | ---: |\n"
        "| \\[31m\\[bold\\]\\<script\\>\\|\\$x\\_\\`\\*\\~\\&\\\\ | 1 |"
    )


def test_markdown_text_leaves_plain_text_alone() -> None:
    """What is no markup is not escaped."""
    assert markdown_text("latency, ms (p95): 12.3 %") == "latency, ms (p95): 12.3 %"


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        ("short", 10, "short"),
        ("exactly ten", 11, "exactly ten"),
        ("one too long", 11, "one too ..."),
        ("模型模型", 7, "模型..."),
        ("模型", 4, "模型"),
        ("abcdef", 2, ".."),
        ("", 0, ""),
    ],
)
def test_a_line_is_cut_to_columns(line: str, width: int, shown: str) -> None:
    """A cut line ends with dots and takes no more columns than it may."""
    assert cut(line, width) == shown


@given(st.text(), st.integers(0, 30))
def test_a_cut_line_fits(line: str, width: int) -> None:
    """No line is wider than it may be."""
    assert width_of(cut(line, width)) <= width
