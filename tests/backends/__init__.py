"""The back ends that the suite exports to: where they are, and which tests do without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FOLDER = Path(os.environ.get("TOKENCLOCK_BACKENDS") or Path(__file__).parents[2] / ".backends")


def program(name: str) -> Path:
    """Give the program *name* that ``fetch.py`` has put into the cache folder."""
    found = FOLDER / name
    if not found.exists():
        raise FileNotFoundError(
            f"Cannot start {name}: it is not in {FOLDER}, where the tests look for it. "
            f"Fetch it with: python tests/backends/fetch.py {FOLDER}"
        )
    return found


def missing() -> frozenset[str]:
    """Give the programs that ``fetch.py`` found this platform not to offer."""
    note = FOLDER / "missing"
    return frozenset(note.read_text().split()) if note.exists() else frozenset()


def leave_out_missing(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked ``backends(name, ...)`` one of whose programs is not to be had."""
    absent = missing()
    out = [
        item
        for item in items
        if any(absent.intersection(mark.args) for mark in item.iter_markers("backends"))
    ]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]
