"""The way in of the console script and of ``python -m axion_stage3``."""

from __future__ import annotations

import sys

_EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the program; a Ctrl-C while it is still being loaded ends it as one later on does."""
    try:
        from axion_stage3.cli.app import main as run_program

        run_program()
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
