"""
No fork while another thread of ours holds a lock of the Prometheus client.

A forked child has the forking thread alone. A lock that another thread held would stay taken in
it for ever; in multiprocess mode that is one lock for every metric of the process. Our sink runs
on a thread of its own, so whoever forks waits until it is between two results.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class ForgetsCalls(Protocol):
    def forget_calls(self) -> None: ...


# Held by sinks for a result's length, and by callers for a moment; always taken in this order.
# They may be entered again: a signal handler may fork inside of either.
sink_lock = threading.RLock()
call_lock = threading.RLock()

# What has to begin anew in a child: the calls in flight are the parent's.
begins_anew: WeakSet[ForgetsCalls] = WeakSet()


def _before() -> None:
    sink_lock.acquire()
    call_lock.acquire()


def _after() -> None:
    call_lock.release()
    sink_lock.release()


def _after_in_child() -> None:
    _after()
    for one in list(begins_anew):
        one.forget_calls()


if hasattr(os, "register_at_fork"):  # pragma: no branch - only Windows lacks it
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
