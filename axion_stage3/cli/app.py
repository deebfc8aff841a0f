"""The program ``axion-stage3``: the table of commands and the way in."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from axion_stage3 import __version__
from axion_stage3.cli.guard import guarded, is_debugging, report_failure
from axion_stage3.cli.output import Output
from axion_stage3.cli.standard_streams import open_closed_streams, stdout_failure
from axion_stage3.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS: Final = {
    "infer": "axion_stage3.cli.commands.infer",
    "merge": "axion_stage3.cli.commands.merge",
    "train": "axion_stage3.cli.commands.train",
    "evaluate": "axion_stage3.cli.commands.evaluate",
    "stats": "axion_stage3.cli.commands.stats",
    "visualize": "axion_stage3.cli.commands.visualize",
    "export": "axion_stage3.cli.commands.export",
    "validate": "axion_stage3.cli.commands.validate",
    "inspect-tile": "axion_stage3.cli.commands.inspect_tile",
    "explain": "axion_stage3.cli.commands.explain",
    "benchmark": "axion_stage3.cli.commands.benchmark",
    "config show": "axion_stage3.cli.commands.config",
    "config init": "axion_stage3.cli.commands.config",
    "config schema": "axion_stage3.cli.commands.config",
    "doctor": "axion_stage3.cli.commands.doctor",
}
"""Command name to its module, in the order of ``--help``. A name of two words is in a group."""

_TYPER_USAGE_ERROR: Final[Any] = typer.BadParameter.__base__
"""Typer names its usage errors in public by this kind of them alone."""

_GROUPS: Final = {"config": "Show, begin and describe the configuration of `infer`."}

_HELP: Final = """SAR grounding of synthetic optical tiles (Stage 3 of SAR-to-optical).

First run: axion-stage3 infer --opt-v2-dir A --s1-dir B --output-dir C
"""


def build_app() -> typer.Typer:
    """Make the program with all commands of the table."""
    app = typer.Typer(
        name="axion-stage3",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in _GROUPS.items()}
    for name in COMMANDS:
        group, _, last_word = name.rpartition(" ")
        parent = groups[group] if group else app
        parent.command(last_word)(guarded(command_function(name)))
    for name, group_app in groups.items():
        app.add_typer(group_app, name=name)
    return app


def command_function(name: str) -> Callable[..., None]:
    """The function of a command of the table, whose parameters are its options."""
    function: Callable[..., None] = getattr(
        import_module(COMMANDS[name]), name.replace("-", "_").replace(" ", "_")
    )
    return function


def run(arguments: Sequence[str]) -> int:
    """Run the program in this process.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The exit code.
    """
    is_json = _has_json_log(arguments)
    log_format: Final = "json" if is_json else "text"
    try:
        end = build_app()(
            args=list(arguments), prog_name="axion-stage3", standalone_mode=not is_json
        )
    except SystemExit as exit_:
        end = exit_.code
    except _TYPER_USAGE_ERROR as error:  # Typer's own text would be no line of the log
        Output(log_format="json").error(
            error.format_message(),
            hint="`axion-stage3 COMMAND --help` shows what a command takes.",
            code=UsageError.code,
        )
        return UsageError.exit_code
    except OSError as error:  # of --help and --version; commands are guarded
        return report_failure(stdout_failure(error), Output(log_format=log_format))
    return end if isinstance(end, int) else int(end is not None)


def main() -> None:
    """Run the program with the command line of the process, and end the process."""
    open_closed_streams()
    if not sys.warnoptions and not is_debugging():
        # Warnings are for developers; what a user must know is said by a message of the program.
        warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))


def _has_json_log(arguments: Sequence[str]) -> bool:
    """Whether a JSON log is asked for, said of a command line that may not be a valid one."""
    return "--log-format=json" in arguments or ("--log-format", "json") in pairwise(arguments)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"axion-stage3 {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    # The text of --help is given to Typer itself; this only declares the program's own options.
    del version
