"""``python -m sdrt``: the command line."""

from sdrt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
