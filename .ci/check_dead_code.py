"""Find functions, methods and classes of the package that nothing in it uses (vulture).

Fields of documents and attributes of other libraries are written, not read, and are not looked at.
"""

import sys

from vulture import Vulture

KINDS = ("function", "method", "class", "property", "import", "unreachable_code")
USED_BY_NAME = [
    "__getattr__",  # the package's lazy names
    "__dir__",
    "forward",  # torch
    "render",  # rich
    "_*_are_apart",  # validators of pydantic
    "_draws_differ",
    "_has_*",
    "*Engine",  # chosen by the name of their module
    "read_npz",  # the short way for scripts and tests
    "read_headers",
    "n_step_noises",  # what a sampler draws, for whoever adds one
    "radar_composite_panel",  # examples/draw_first_run.py
]


def main() -> int:
    """Print what is dead; 1 if anything is."""
    from axion_stage3.cli.app import COMMANDS

    commands = [name.replace("-", "_").replace(" ", "_") for name in COMMANDS]
    vulture = Vulture(ignore_names=[*USED_BY_NAME, *commands])
    vulture.scavenge(["axion_stage3"])
    # What is offered to users of the library is used by them.
    offered = set(__import__("axion_stage3").__all__)
    dead = [
        item
        for item in vulture.get_unused_code(min_confidence=60)
        if item.typ in KINDS
        and item.name not in offered
        and "testing" not in item.filename.parts  # offered to tests
    ]
    for item in dead:
        print(item.get_report())
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main())
