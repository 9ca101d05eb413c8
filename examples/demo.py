"""Stream two answers of a small local model and print how they arrived: `make demo`."""

from __future__ import annotations

from tokenclock.demo import main

if __name__ == "__main__":
    main()
