"""Options of ``config``, and those of ``infer`` for a command that takes the same."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from axion_stage3.cli import options
from axion_stage3.cli.path_values import parse_path

if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_ENTRIES: Final = ("plan", "config_file", "quiet", "verbose", "log_format", "json_document")

WithSources = Annotated[
    bool,
    typer.Option(
        "--sources",
        metavar="",
        help="Say where each entry comes from.",
        rich_help_panel=options.CONSOLE_PANEL,
    ),
]
StarterFile = Annotated[
    Path | None,
    typer.Argument(
        parser=parse_path,
        metavar="FILE",
        help="The file to write. Default: axion-stage3.toml.",
    ),
]


def with_entries_of(
    infer: Callable[..., None],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that ends in ``**given`` the options of ``infer`` that are entries."""

    def give(command: Callable[..., None]) -> Callable[..., None]:
        own = [*inspect.signature(command, eval_str=True).parameters.values()][:-1]
        entries = [
            parameter
            for name, parameter in inspect.signature(infer, eval_str=True).parameters.items()
            if name not in _NOT_ENTRIES
        ]
        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*entries, *own)]
        command.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in keywords}
        return command

    return give
