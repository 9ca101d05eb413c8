"""
Measure a function many times, keep every result in a file, and print the summary.

`tokenclock run` does the same from a shell; this is how a program does it.
"""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from local_model import load_model
from tokenclock import observe
from tokenclock.records import JsonLinesSink, read_records
from tokenclock.summary import ResultLog, ServiceLevel, summarize

PROMPTS = ["Why is the sky blue?", "What do bees make?", "Name three colours."]
CALLS = 12
TOKENS = 12


def main() -> None:
    """Call a function that streams one prompt after the other."""
    log = ResultLog()
    with TemporaryDirectory() as folder, closing(load_model()) as model:
        path = Path(folder, "runs.jsonl")
        with JsonLinesSink(path) as file:
            answer = observe(model.stream, name="answer", model=model.name, sinks=[log, file])
            list(model.stream(PROMPTS[-1], max_tokens=TOKENS))  # a warm-up that is not measured
            for prompt in itertools.islice(itertools.cycle(PROMPTS), CALLS):
                for _token in answer(prompt, max_tokens=TOKENS):
                    pass

        print(f"Model: {model.label}")
        print(log.summary(slo=ServiceLevel(time_to_first_token=0.5, time_per_output_token=0.1)))
        print(f"\nRead back from the file: {summarize(read_records(path)).call_count} calls")


if __name__ == "__main__":
    main()
