"""What exporters share: being installed for the whole process, and being taken out again."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tokenclock import _hooks, _sinks
from tokenclock.exporters import _worker
from tokenclock.exporters._background import Background

if TYPE_CHECKING:
    from typing_extensions import Self

    from tokenclock._hooks import CallHook
    from tokenclock._sinks import Sink


class Installable:
    """
    An exporter that can be installed for every call of the process; a context manager.

    ``with exporter:`` installs it for a block.
    """

    _background: Background | None = None
    _installed_hook: CallHook | None = None
    _is_installed = False
    _seen_provider: object = None

    def _sink(self) -> Sink | None:
        """Give what takes finished results, behind a queue; ``None`` for nothing."""
        return None

    def _worker_of_its_own(self) -> Callable[[Any], object] | None:
        """Give what takes what the exporter itself puts on the queue; ``None`` for nothing."""
        return None

    def _hook(self) -> CallHook | None:
        """Give what is told of calls that start; ``None`` for nothing."""
        return None

    def _provider(self) -> object:
        """Give the provider that is written to now, whose end must not come before ours."""
        return None

    def install(self, *, max_queue: int = 10_000) -> Self:
        """
        Export every call of this process from now on, results on a thread of their own.

        Installing twice is installing once: the second *max_queue* is not looked at. A forked
        child keeps the exporter, with an empty queue and counts of 0. At exit, streams that
        nobody finished are finished and what waits is exported, in at most 5 seconds.

        Args:
            max_queue: How many results may wait for the exporter before newer ones are dropped.

        Returns:
            The exporter itself.

        Raises:
            InvalidOptionError: If *max_queue* is no positive whole number.

        .. versionadded:: 0.1.0
        """
        with _change:
            if not self._is_installed:
                self._put_in(max_queue)
        return self

    def _put_in(self, max_queue: int) -> None:
        sink, hook = self._sink(), self._hook()
        works = sink or self._worker_of_its_own()
        self._background = None if works is None else Background(works, max_queue=max_queue)
        self._installed_hook = hook
        self._is_installed = True
        _finish_before_providers_end()
        self._seen_provider = self._provider()
        if self._seen_provider is not None:
            _hooks.add_hook(self._see_provider)
        if sink is not None and self._background is not None:
            _sinks.add_sink(self._background)
        if hook is not None:
            _hooks.add_hook(hook)

    def uninstall(self, timeout: float = 5.0) -> bool:
        """
        Export no further call; nothing happens if it is not installed.

        Of a call under way the result is no longer taken; a span that has begun is still ended.
        What waits is exported first.

        Args:
            timeout: Seconds, 0 or more, to wait for that at most.

        Returns:
            Whether all that waited was exported.

        Raises:
            InvalidOptionError: If *timeout* is no number of 0 or more.

        .. versionadded:: 0.1.0
        """
        with _change:
            if self._is_installed:
                self._take_out()
        return self._background is None or self._background.close(timeout)

    def _see_provider(self, _: object) -> None:
        """Look at each call whether there is another provider: it ends at exit, but after us."""
        provider = self._provider()
        if self._seen_provider is not provider:
            self._seen_provider = provider
            _finish_before_providers_end()

    def _take_out(self) -> None:
        self._is_installed = False
        _hooks.remove_hook(self._see_provider)
        if self._installed_hook is not None:
            _hooks.remove_hook(self._installed_hook)
        if self._background is not None:
            _sinks.remove_sink(self._background)

    def flush(self, timeout: float = 5.0) -> bool:
        """
        Wait until every result of a call that ended before was exported.

        Args:
            timeout: Seconds, 0 or more, to wait at most.

        Returns:
            Whether all was exported; ``True`` if nothing was ever installed.

        Raises:
            InvalidOptionError: If *timeout* is no number of 0 or more.

        .. versionadded:: 0.1.0
        """
        return self._background is None or self._background.flush(timeout)

    @property
    def dropped(self) -> int:
        """How many results were dropped since the latest ``install()``: too many waited."""
        return 0 if self._background is None else self._background.dropped

    @property
    def failed(self) -> int:
        """How many results the exporter failed for since the latest ``install()``."""
        return 0 if self._background is None else self._background.failed

    def __enter__(self) -> Self:
        return self.install()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()


def _finish_before_providers_end() -> None:
    """Have what is set up until now, a tracer's provider above all, still there at exit."""
    _worker.flush_at_exit()
    atexit.unregister(_sinks.finish_open_runs)
    atexit.register(_sinks.finish_open_runs)


_change = threading.Lock()


def _after_fork() -> None:
    global _change  # noqa: PLW0603 - another thread may have held it
    _change = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - only Windows lacks it
    os.register_at_fork(after_in_child=_after_fork)
