"""
Compare tokenclock with what people would use instead, each in an environment of its own.

    python benchmarks/peers/run.py [--only NAME ...] [--rounds 15] [--tokens 2000] [--output FILE]

makes the environments that are missing, measures one contender after another, writes all raw
numbers as JSON and prints the tables in Markdown. ``--show FILE`` prints those of a stored result.
How each contender is run stands in ``contenders/``: its pins, its settings and why they are the
fastest that its documentation has, and how we find in what it sent what it knows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from peers.contender import HERE, NAMES, load
from peers.environments import CannotInstallError, last_words, python_of
from peers.table import page

STORED = HERE / "results.json"
TIMEOUT_SECONDS = 1_800
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "TEMP")


def main() -> None:
    """Measure and print."""
    options = parsed()
    if options.show:
        print(page(json.loads(options.show.read_text(encoding="utf-8"))))
        return
    results = described(options.rounds, options.tokens)
    for name in options.only or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results["contenders"][name] = measured(name, options.rounds, options.tokens)
    output = options.output or (None if options.only else STORED)
    if output:
        output.write_text(stored(results), encoding="utf-8")
    print(page(results))


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--output", type=Path, help="default: results.json beside this file")
    parser.add_argument("--show", type=Path, metavar="FILE")
    return parser.parse_args()


def described(rounds: int, tokens: int) -> dict[str, Any]:
    """Say when, where and how it was measured."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "system": platform.system(),
        "rounds": rounds,
        "tokens": tokens,
        "contenders": {},
    }


def stored(results: dict[str, Any]) -> str:
    """Write results as JSON, a line for each contender."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(one)}" for name, one in results["contenders"].items()
    ]
    return json.dumps(results | {"contenders": {}})[:-2] + "\n" + ",\n".join(lines) + "\n}}\n"


def processor() -> str:
    """Name the processor."""
    described_here = Path("/proc/cpuinfo")
    lines = described_here.read_text(encoding="utf-8") if described_here.is_file() else ""
    models = [line.partition(":")[2] for line in lines.splitlines() if "model name" in line]
    return models[0].strip() if models else platform.processor() or platform.machine()


def measured(name: str, rounds: int, tokens: int) -> dict[str, Any]:
    """Measure one contender; one that fails is told as such, with the reason."""
    try:
        return work(name, rounds, tokens)
    except CannotInstallError as error:
        return failed(name, f"cannot be installed: {error}")
    except subprocess.CalledProcessError as error:
        return failed(name, f"failed: {last_words(error.stderr)}")
    except subprocess.TimeoutExpired:
        return failed(name, f"not done after {TIMEOUT_SECONDS} s")


def failed(name: str, reason: str) -> dict[str, Any]:
    """Give the result of a contender that has none."""
    contender = load(name)
    return {
        "title": contender.title,
        "settings": contender.settings,
        "documentation": contender.documentation,
        "failed": reason,
    }


def work(name: str, rounds: int, tokens: int) -> dict[str, Any]:
    """Run the worker in a folder and a home of its own, and read what it wrote."""
    python = python_of(name)
    load_before = load_elsewhere()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "result.json")
        subprocess.run(  # noqa: S603 - our own words
            [python, HERE / "worker.py", name, target, str(rounds), str(tokens)],
            cwd=folder, env=environment(folder), timeout=TIMEOUT_SECONDS,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        result: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return result | {"load": load_before}


def load_elsewhere() -> float:
    """Give how many processes wanted a processor in the last minute, where the system says so."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def environment(folder: str) -> dict[str, str]:
    """Give the worker's variables: none that would change what a contender does."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {"HOME": folder, "PYTHONUTF8": "1"}


if __name__ == "__main__":
    main()
