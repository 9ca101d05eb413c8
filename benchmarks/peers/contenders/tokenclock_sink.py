"""tokenclock as it is used when every result goes somewhere."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peers.ours import Tokenclock

if TYPE_CHECKING:
    from peers.contender import Function


def ignore(_result: Any) -> None:
    """Take a result and do nothing with it."""


class Adapter(Tokenclock):
    """``@observe`` with a sink."""

    title = "tokenclock `@observe`, a sink"
    settings = "One empty sink, so that every result is built; an exporter's own work comes on top."

    def decorate(self, function: Function) -> Any:
        """Observe a function, with a sink."""
        from tokenclock import observe

        return observe(sinks=[ignore])(function)
