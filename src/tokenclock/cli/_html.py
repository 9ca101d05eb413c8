"""A page of pictures and a table: one file, no script, light or dark as its reader prefers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from tokenclock._texts import printable

# Nothing but what the file itself holds is ever loaded or run.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font-family: sans-serif;
  background: #fff; color: #1a1a1a; }
pre { overflow-x: auto; line-height: 1.35; }
img { width: 100%; height: auto; margin: 1rem 0; }
@media (prefers-color-scheme: dark) { body { background: #000; color: #e6e6e6; } }
"""


class Picture(NamedTuple):
    """One picture as SVG, in both looks, and its title."""

    title: str
    light: bytes
    dark: bytes


class Section(NamedTuple):
    """A text with its lines as they are, and its heading."""

    title: str
    text: str


def page(pictures: Sequence[Picture], sections: Sequence[Section]) -> str:
    """
    Give the whole page. Titles and texts are a stranger's, and only text whatever they hold.

    A picture stands in the page as an image, not as elements of it: two SVGs in one document
    would share their ids, and nothing in an image can run.
    """
    title = _text(f"tokenclock: {', '.join(section.title for section in sections)}")
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            *map(_picture, pictures),
            *map(_section, sections),
            "</body>",
            "</html>",
            "",
        )
    )


def _picture(picture: Picture) -> str:
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{_data(picture.dark)}">'
        f'<img alt="{_text(picture.title)}" src="{_data(picture.light)}"></picture>'
    )


def _section(section: Section) -> str:
    return f"<h2>{_text(section.title)}</h2>\n<pre>{_lines(section.text)}</pre>"


def _data(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg).decode('ascii')}"


def _lines(text: str) -> str:
    return "\n".join(map(_text, text.split("\n")))


def _text(text: str) -> str:
    return escape(printable(text))
