"""What valgrind found, less what it says of the interpreter itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, parse

# Of values that it takes for unset, valgrind also speaks where the system set them, in a call that
# it does not know. These count where the driver is on the stack, everything else wherever it is.
OF_UNSET_VALUES = ("UninitValue", "UninitCondition", "SyscallParam")


def findings(report: Path, library: str) -> Iterator[str]:
    """Give what the report holds against a library, as text; a report cut short is one, too."""
    for error in parse(report).getroot().iter("error"):  # noqa: S314 - valgrind's own
        kind = error.findtext("kind", "")
        is_ours = any(library in frame.findtext("obj", "") for frame in error.iter("frame"))
        if is_ours or kind not in OF_UNSET_VALUES:
            yield "\n".join([kind, *map(line_of, error.iter("frame"))])


def line_of(frame: Element) -> str:
    """Give one line of a stack."""
    place = f"{frame.findtext('file', '?')}:{frame.findtext('line', '?')}"
    return f"    {frame.findtext('fn', '?')} ({place})"
