"""The tables for the README, from the raw numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from peers.fidelity import ASYNC, SYNC
from peers.measuring import over

Result = Mapping[str, Any]

COSTS = (
    "", "version",
    "a token, generator (ns)", "a token, async generator (ns)",
    "a call (µs)", "a call, all threads (µs)",
    "kept a token (bytes)", "by default (bytes)",
    "import (ms)",
)  # fmt: skip
KNOWLEDGE = (
    "knows afterwards", "first token", "gaps", "reader breaks off", "stream fails",
    "holds the tokens", "by default",
    "stays a generator", "an async generator",
)  # fmt: skip
NOT_MEASURED = "not measured"
SETTINGS = "How each was run, and what of a generator it does not keep:"


def page(results: Result) -> str:
    """Give all that is printed."""
    parts = [
        heading(results),
        table(COSTS, cost_rows(results)),
        notes(results),
        table(KNOWLEDGE, [knowledge_row(one) for one in results["contenders"].values()]),
        SETTINGS,
        "\n".join(settings_line(one) for one in results["contenders"].values()),
    ]
    return "\n\n".join(parts)


def heading(results: Result) -> str:
    """Say where and when."""
    pythons = sorted({one["python"] for one in results["contenders"].values() if "python" in one})
    return (
        f"{', '.join(pythons)}, {results['system']}, {results['processors']} processors "
        f"({results['processor']}), {results['date']}; medians of {results['rounds']} rounds."
        + busy_note(results)
    )


def busy_note(results: Result) -> str:
    """Warn of times from a machine that others used; a worker itself is one process or so."""
    load = max((one.get("load", 0.0) for one in results["contenders"].values()), default=0.0)
    too_high = load > results["processors"]
    return f" The machine was busy (load {load:.1f}): the times are too high." if too_high else ""


def notes(results: Result) -> str:
    """Say what the numbers of the first table are."""
    return inline_note(results) + (
        "Times are what is added to the same bare loop, which runs in turn with the watched one; "
        "there is no work in the function and no pause between tokens or calls, so what a "
        "contender does on threads of its own competes with the loop.\n"
        f"Of a token: in streams of {short(results):,} / of {results['tokens']:,}, which share "
        "what a stream costs once.\n"
        "All threads: the processor time of the process until everything was sent, which is to a "
        "server on loopback that says yes.\n"
        "Bytes: what Python keeps before the stream is over / when it has just ended, with the "
        "settings below and with the default ones."
    )


def inline_note(results: Result) -> str:
    """Say what the look at the clock costs that stands in the reader's own loop."""
    times = results["contenders"].get("byhand", {}).get("times")
    if not times:
        return ""
    costs = [more(over(times[f"inline_{kind}"])) for kind in ("sync", "async")]
    return f"Without a wrapper, in the reader's own loop, by hand costs {' and '.join(costs)} ns.\n"


def short(results: Result) -> int:
    """Give the length of the short streams."""
    return int(results["tokens"]) // 10


def table(names: Iterable[str], rows: Iterable[list[str]]) -> str:
    """
    Render a table in Markdown.

    >>> print(table(["", "b"], [["x", "1"]]))
    |  | b |
    |---|---|
    | x | 1 |
    """
    names = list(names)
    lines = [f"| {' | '.join(row)} |" for row in [names, *rows]]
    return "\n".join([lines[0], "|---" * len(names) + "|", *lines[1:]])


# --- costs ---------------------------------------------------------------------------------------


def cost_rows(results: Result) -> list[list[str]]:
    """Give the bare loop and then every contender."""
    contenders = list(results["contenders"].values())
    return [bare_row(contenders), *(cost_row(one) for one in contenders)]


def bare_row(contenders: list[Result]) -> list[str]:
    """Give what the bare loop takes, the median over all workers."""
    times = [one["times"] for one in contenders if "times" in one]

    def bare(case: str) -> float:
        return float(statistics.median(statistics.median(one[case]["bare"]) for one in times))

    if not times:
        return ["bare", *[""] * (len(COSTS) - 1)]
    sync = f"{number(bare('sync_short'))} / {number(bare('sync_long'))}"
    asynchronous = f"{number(bare('async_short'))} / {number(bare('async_long'))}"
    return ["bare", "", sync, asynchronous, f"{bare('value') / 1e3:.2f}", "", "", "", ""]


def cost_row(one: Result) -> list[str]:
    """Give what a contender costs."""
    if "failed" in one:
        reason = one["failed"].replace("|", "/")  # which would begin a cell
        return [one["title"], "", f"{NOT_MEASURED}: {reason}", *[""] * (len(COSTS) - 3)]
    times, memory = one["times"], one["memory"]
    return [
        one["title"],
        one["version"],
        both(times["sync_short"], times["sync_long"]),
        both(times["async_short"], times["async_long"]),
        more(over(times["value"]) / 1e3),
        more(statistics.median(times["value"]["processor"]) / 1e3),
        f"{number(memory['held'])} / {number(memory['ended'])}",
        f"{number(memory['held_by_default'])} / {number(memory['ended_by_default'])}",
        number(statistics.median(one["import_ms"])),
    ]


def both(short_stream: Result, long_stream: Result) -> str:
    """Give what a token costs over bare in streams of both lengths."""
    return f"{more(over(dict(short_stream)))} / {more(over(dict(long_stream)))}"


def more(value: float) -> str:
    """
    Write a difference.

    >>> more(17.2), more(-0.4), more(1234.5)
    ('+17', '+0', '+1,234')
    """
    return f"+{number(value)}"


def number(value: float) -> str:
    """
    Write a number with as many digits as it is worth; what is below nothing is noise.

    >>> number(3.14159), number(31.4159), number(31415.9), number(-0.4), number(0.04)
    ('3.1', '31', '31,416', '0', '0')
    """
    value = max(value, 0.0)
    return f"{value:.1f}" if 0.1 <= value < 10 else f"{value:,.0f}"  # noqa: PLR2004 - digits


# --- knowledge -----------------------------------------------------------------------------------


def knowledge_row(one: Result) -> list[str]:
    """Give what a contender knows afterwards; where sync and async differ, both are said."""
    if "failed" in one:
        return [one["title"], NOT_MEASURED, *[""] * (len(KNOWLEDGE) - 2)]
    known, holds = one["knows"], one["holds_tokens"]
    return [
        one["title"],
        *(told(known, question) for question in (first_token, gaps, stopped, failed)),
        yes(value=holds["fastest"]),
        yes(value=holds["default"]),
        *(kept(one["keeps"], checks) for checks in (names_of(SYNC), names_of(ASYNC))),
    ]


def told(known: Result, question: Any) -> str:
    """
    Ask about both kinds of streams.

    >>> told({"sync": 1, "async": 1}, str), told({"sync": 1, "async": 2}, str)
    ('1', '1 (async: 2)')
    """
    answer, async_answer = question(known["sync"]), question(known["async"])
    return str(answer if answer == async_answer else f"{answer} (async: {async_answer})")


def first_token(known: Result) -> str:
    """Say whose moment the first one is, and whether a long stream still has it."""
    answer = "no" if known["first"] == "no" else f"the {known['first']}'s"
    if known["first"] == "blank chunk" and known["gaps"]:
        answer = "every chunk's, the blank one first"
    return answer if known["first_of_long"] == known["first"] else f"{answer}, lost in long streams"


def gaps(known: Result) -> str:
    """Say whether the moment of each token is there."""
    return yes(value=known["gaps"] and known["first_of_long"] != "no") if known["gaps"] else "no"


def stopped(known: Result) -> str:
    """Say how a reader that breaks off is told from a complete stream and from a failed one."""
    words = known["outcomes"]
    if words["stopped"] is None:
        return "lost"
    if not words["stopped"]:
        return "not told"
    like = {words["completed"]: "as complete", words["failed"]: "as a failure"}
    return like.get(words["stopped"], "told apart")


def failed(known: Result) -> str:
    """Say how a failed stream is told from a complete one."""
    words = known["outcomes"]
    if words["failed"] is None:
        return "lost"
    if not words["failed"]:
        return "not told"
    if words["failed"] == words["completed"]:
        return "as complete"
    return "as a failure, with its message" if known["failure_named"] else "as a failure"


def yes(*, value: bool) -> str:
    """Write a truth."""
    return "yes" if value else "no"


def names_of(checks: Iterable[Any]) -> list[str]:
    """Give the names under which the checks are stored."""
    return [check.__name__ for check in checks]


def kept(keeps: Result, checks: list[str]) -> str:
    """Count the checks that held."""
    return f"{sum(keeps[check] for check in checks)} of {len(checks)}"


def settings_line(one: Result) -> str:
    """Say how a contender was run, where that is documented, and which checks did not hold."""
    line = f"- {one['title']}: {one['settings']} ([documentation]({one['documentation']}))"
    lost = [check.replace("_", " ") for check, held in one.get("keeps", {}).items() if not held]
    return f"{line} Does not hold: {', '.join(lost)}." if lost else line
