"""tokenclock where its compiled driver is missing."""

from __future__ import annotations

from collections.abc import Mapping

from peers.ours import Tokenclock


class Adapter(Tokenclock):
    """``@observe`` with nobody looking, in pure Python."""

    title = "tokenclock `@observe`, pure Python"
    settings = (
        "As the first, with `TOKENCLOCK_PURE_PYTHON=1`: what runs where nothing was compiled."
    )

    def environment(self, edge: str) -> Mapping[str, str]:
        """Choose the driver in pure Python."""
        del edge
        return {"TOKENCLOCK_PURE_PYTHON": "1"}
