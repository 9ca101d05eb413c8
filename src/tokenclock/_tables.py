"""Tables as text: aligned columns for a terminal, and Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenclock._texts import cut, printable, width_of

LINE_WIDTH = 100
BETWEEN = "  "

# What Markdown, or the HTML in it, would take for markup inside a cell; "$" starts a formula.
_MARKUP = re.compile(r"([\\`*_\[\]<>|$~&])")


def plain(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int = LINE_WIDTH) -> str:
    """
    Align columns, the first to the left and the others to the right.

    Where a line would be longer than *width*, the first column is cut.

    >>> print(plain(["call", "n"], [["chat", "12"], ["a", "3"]]))
    call   n
    chat  12
    a      3
    """
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    others = sum(widths[1:]) + len(BETWEEN) * (len(widths) - 1)
    widths[0] = max(min(widths[0], width - others), 1)
    return "\n".join(_line(row, widths) for row in cells)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = cut(row[0], widths[0])
    padded = [first + " " * (widths[0] - width_of(first))]
    for cell, width in zip(row[1:], widths[1:], strict=True):
        padded.append(" " * (width - width_of(cell)) + cell)
    return BETWEEN.join(padded).rstrip()


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""
    Write a table in GitHub's Markdown; every cell is text, whatever it holds.

    >>> print(markdown(["call", "n"], [["a|b", "3"]]))
    | call | n |
    | :--- | ---: |
    | a\|b | 3 |
    """
    rule = [":---"] + ["---:"] * (len(header) - 1)
    lines = [[markdown_text(cell) for cell in row] for row in (header, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], rule, *lines[1:]))


def markdown_text(text: str) -> str:
    r"""
    Escape what Markdown would take for markup.

    >>> markdown_text("<b> $x_")
    '\\<b\\> \\$x\\_'
    """
    return _MARKUP.sub(r"\\\1", printable(text))
