"""`python -m torshi`: the command line."""

from torshi.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
