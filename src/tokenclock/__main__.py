"""``python -m tokenclock``: the command line."""

from tokenclock.cli import main

if __name__ == "__main__":
    main()
