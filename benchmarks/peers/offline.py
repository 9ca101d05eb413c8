"""Proof that nothing leaves the machine: a way out that is tried fails, and is reported."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

LOOPBACK = ("127.", "::1", "localhost")

tried: list[str] = []


def guard() -> None:
    """Refuse, from now on, every address and every name but those of loopback."""
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, refusing(getattr(socket.socket, name)))
    socket.getaddrinfo = resolving(socket.getaddrinfo)


def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of sockets that takes an address as its last argument."""

    def guarded(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            check(str(address[0]))
        return original(self, *arguments)

    return guarded


def resolving(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the look-up of names."""

    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        check(host.decode() if isinstance(host, bytes) else str(host or "localhost"))
        return original(host, *arguments, **options)

    return guarded


def check(host: str) -> None:
    """Refuse a host that is not this one."""
    if not host.startswith(LOOPBACK):
        tried.append(host)
        raise OSError(
            f"Cannot reach {host!r}: contenders are measured offline. "
            "Point the contender at the edge, or switch off what calls there."
        )
