"""``python -m axion_stage3``: the same as the console script."""

from axion_stage3.cli.app import main

if __name__ == "__main__":
    main()
