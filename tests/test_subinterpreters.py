"""Sub-interpreters measure streams of their own, with the lock of the main one or their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import tokenclock

PATIENCE = 120.0  # seconds; only a failing test waits as long
LOCKS = ["shared", "own"] if sys.version_info >= (3, 12) else ["shared"]

# What both interpreters do: it ends with a list of what was measured.
MEASURING = """
import tokenclock

def tokens(count):
    for _ in range(count):
        yield "token"

async def atokens(count):
    for _ in range(count):
        yield "token"

def awaited(step):
    try:
        step.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("an async generator that never waits does not suspend")

def measure(count):
    with tokenclock.capture() as results:
        assert list(tokenclock.observe(tokens)(count)) == ["token"] * count
        next(tokenclock.observe(tokens)(count))
        stream = tokenclock.observe(atokens)(count)
        assert awaited(stream.__anext__()) == "token"
        awaited(stream.aclose())
    return [(result.outcome, result.chunk_count) for result in results]

EXPECTED = [("completed", 1000), ("stopped", 1), ("stopped", 1)]
speed = __import__("sys").modules.get("tokenclock._speed")
"""

# The other interpreter measures, while the main one goes on with a stream that it has begun. Only
# joining hands over a lock that is shared: no interpreter asks another one for it.
MAIN = """
import sys, threading
try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

def create(lock):
    if sys.version_info >= (3, 13):
        return _interpreters.create("isolated" if lock == "own" else "legacy")
    return _interpreters.create(isolated=lock == "own")

def live(lock, statements):
    other = create(lock)
    if sys.version_info >= (3, 13):
        failure = _interpreters.exec(other, statements)
        print(failure.formatted if failure else "done", flush=True)
    else:
        _interpreters.run_string(other, statements)
        print("done", flush=True)
    _interpreters.destroy(other)

lock, measuring = sys.argv[1:]
exec(measuring)
begun = tokenclock.observe(tokens)(3)
next(begun)
statements = f'''
import sys
sys.path[:] = {sys.path!r}
exec({measuring!r})
for _ in range(20):
    assert measure(1000) == EXPECTED
assert tokenclock.driver == {tokenclock.driver!r}
assert speed is None or id(speed.Tape) != {id(speed and speed.Tape)}, "types are shared"
'''
for _ in range(2):
    thread = threading.Thread(target=live, args=(lock, statements))
    thread.start()
    while thread.is_alive():
        assert measure(1000) == EXPECTED
        thread.join(0.001)
    next(begun)
assert list(begun) == []
print(tokenclock.driver, tokenclock.metrics_of(begun).outcome)
"""


def unwatched() -> dict[str, str]:
    """Give an environment without coverage, whose tracer knows the main interpreter alone."""
    return {name: value for name, value in os.environ.items() if "COVERAGE" not in name}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_sub_interpreter_measures_while_the_main_one_goes_on(lock: str) -> None:
    """Two interpreters measure side by side, and the main one after the other has ended."""
    finished = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", MAIN, lock, MEASURING],
        capture_output=True, text=True, check=False, timeout=PATIENCE, env=unwatched(),
    )  # fmt: skip
    assert finished.stderr == ""
    assert finished.stdout.splitlines() == ["done", "done", f"{tokenclock.driver} completed"]
    assert finished.returncode == 0
