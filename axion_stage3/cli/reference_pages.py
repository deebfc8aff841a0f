"""docs/command_line.md, docs/errors.md and docs/configuration.md, generated from the code.

``python -m axion_stage3.cli.reference_pages`` in a checkout; a test fails when they are stale.
"""

from __future__ import annotations

import inspect
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer.main

from axion_stage3 import errors
from axion_stage3.cli.app import COMMANDS, build_app
from axion_stage3.config import ENVIRONMENT_PREFIX, InferenceConfig, option_name
from axion_stage3.config_documents import configuration_schema, starter_text

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS: Final = Path(__file__).parents[2] / "docs"
_GENERATED: Final = (
    "This page is generated from the code: `python -m axion_stage3.cli.reference_pages`.\n"
)
_ABOUT_ERRORS: Final = """\
Every error that axion-stage3 raises on purpose has a code that stays the same, says what went
wrong, where and why, and has a hint what to do next. The code stands in the message on the console,
in `inference_summary.json` and as `.code` of the exception. What the exit codes mean:
[batch runs](batch_runs.md).
"""
_ABOUT_CONFIGURATION: Final = f"""\
What `infer` is told, it takes from the first of these that says it: the command line, the
environment (`{ENVIRONMENT_PREFIX}<ENTRY>`), the file given with `--config`, the default.
`axion-stage3 config show --sources` shows what holds and why, `axion-stage3 config init` writes a
file to begin with, `axion-stage3 config schema` the
[JSON schema](schemas/configuration.schema.json). The `run-manifest.json` of a run, and the document
of `infer --json`, are configuration files too.
"""
_BOUNDS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "const": "`{}`",
}


def reference_pages() -> dict[str, str]:
    """File name in docs/ to its content."""
    return {
        "command_line.md": "\n".join(_command_line()),
        "errors.md": "\n".join(_errors()),
        "configuration.md": "\n".join(_configuration()),
    }


def _command_line() -> Iterator[str]:
    yield "# Command line\n"
    yield "What `axion-stage3 COMMAND --help` says, of every command, on one page.\n"
    yield _GENERATED
    yield "Shell completion for bash, zsh and fish: `axion-stage3 --install-completion`, once.\n"
    program: Any = typer.main.get_command(build_app())
    for name in COMMANDS:
        command = program
        for word in name.split():
            command = command.commands[word]
        yield from _command(name, command)


def _command(name: str, command: Any) -> Iterator[str]:
    text, _, example = inspect.cleandoc(command.help).partition("For example:")
    yield f"## axion-stage3 {name}\n"
    yield text.strip() + "\n"
    yield f"```text\n{inspect.cleandoc(example).strip()}\n```\n"
    options = [option for option in command.params if option.name != "help"]
    for panel, group in groupby(options, key=lambda option: option.rich_help_panel):
        yield f"{panel or 'Options'}:\n"
        yield "| option | meaning |"
        yield "|---|---|"
        yield from (f"| {_spelling(option)} | {_cell(option.help or '')} |" for option in group)
        yield ""


def _spelling(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{_cell(option.metavar or option.name)}`"
    names = [*option.opts, *option.secondary_opts]
    return ", ".join(f"`{_cell(f'{name} {option.metavar or str()}'.strip())}`" for name in names)


def _errors() -> Iterator[str]:
    yield "# Error codes\n"
    yield _ABOUT_ERRORS
    yield _GENERATED
    yield "| code | exit code | exception | what is wrong |"
    yield "|---|---|---|---|"
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.AxionError)
    ]
    for kind in sorted(kinds, key=lambda kind: kind.code):
        summary = inspect.getdoc(kind) or ""
        line = summary.partition("\n")[0]
        yield f"| {kind.code} | {kind.exit_code} | `{kind.__name__}` | {_cell(line)} |"
    yield ""


def _configuration() -> Iterator[str]:
    yield "# Configuration\n"
    yield _ABOUT_CONFIGURATION
    yield _GENERATED
    yield "| entry | option | values | default | meaning |"
    yield "|---|---|---|---|---|"
    for name, entry in configuration_schema()["properties"].items():
        field = InferenceConfig.model_fields[name]
        default = "required" if field.is_required() else f"`{_toml(field.default)}`"
        values, meaning = _cell(_values(entry)), _cell(field.description or "")
        yield (f"| `{name}` | `{option_name(name)}` | {values} | {default} | {meaning} |")
    yield "\n## A file to begin with\n"
    yield f"```toml\n{starter_text().strip()}\n```\n"


def _toml(value: object) -> str:
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _values(entry: dict[str, Any]) -> str:
    """The values of an entry, from its part of the schema."""
    if "anyOf" in entry:
        parts = [_values(part) for part in entry["anyOf"] if part.get("type") != "null"]
        return " or ".join(parts)
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    bounds = [text.format(entry[key]) for key, text in _BOUNDS.items() if key in entry]
    if "const" in entry:
        return bounds[-1]
    kind = "path" if entry.get("format") == "path" else entry["type"]
    return ", ".join([kind, *bounds])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    for file, content in reference_pages().items():
        (DOCS / file).write_text(content, encoding="utf-8")
