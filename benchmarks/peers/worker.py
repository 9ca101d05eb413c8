"""
Measure one contender, in a process of its own, with its own Python; ``run.py`` starts it.

python benchmarks/peers/worker.py NAME RESULT.json ROUNDS TOKENS
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

# What lies in our own folders must not hide a module of a contender's, so they come last.
sys.path.pop(0)
sys.path.append(str(Path(__file__).resolve().parents[1]))

from peers import fidelity, measuring, offline
from peers.contender import Contender, load
from peers.edge import Edge
from peers.knowing import Watcher, aplay, keeps_tokens, play

SHORTER = 10  # a short stream has a tenth of the tokens
IMPORT_ROUNDS = 7


def measure(contender: Contender, edge: Edge, rounds: int, tokens: int) -> dict[str, Any]:
    """Do everything there is to do with a contender."""
    contender.setup(edge.address)
    edge.keep(on=True)
    watcher = Watcher(contender, edge.taken)
    knows = {"sync": watcher.answers(play), "async": watcher.answers(aplay)}
    edge.keep(on=False)
    measured = {
        "times": measuring.times(contender, rounds, tokens, tokens // SHORTER),
        "memory": measuring.memory(contender),
        "import_ms": measuring.import_milliseconds(contender.importing, IMPORT_ROUNDS),
    }
    contender.flush()
    return {"knows": knows, **measured, **probed(contender)}


def probed(contender: Contender) -> dict[str, Any]:
    """Leave streams open and throw into them: last, since some wait for minutes for their end."""
    holds = {
        "fastest": keeps_tokens(contender.decorate),
        "default": keeps_tokens(contender.decorate_by_default),
    }
    return {"holds_tokens": holds, "keeps": fidelity.answers(contender.decorate)}


def described(contender: Contender) -> dict[str, Any]:
    """Say who was measured, with what."""
    return {
        "title": contender.title,
        "version": contender.version(),
        "settings": contender.settings,
        "documentation": contender.documentation,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def main() -> None:
    """Write the result of one contender."""
    name, target, rounds, tokens = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    contender = load(name)
    edge = Edge(contender.answers)
    os.environ.update(contender.environment(edge.address))
    offline.guard()
    result = described(contender) | measure(contender, edge, int(rounds), int(tokens))
    result |= {"requests": edge.count(), "outward": sorted(set(offline.tried))}
    Path(target).write_text(json.dumps(result), encoding="utf-8")
    edge.close()
    os._exit(0)  # without waiting for the end of streams that were left open on purpose


if __name__ == "__main__":
    main()
