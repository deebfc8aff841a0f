"""The README tells the truth about options, exit codes and paths."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import pytest

from axion_stage3 import errors
from axion_stage3.cli.commands.infer import infer
from axion_stage3.config import InferenceConfig

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def declared_options() -> dict[str, typing.Any]:
    """Parameter name to its declaration, for every parameter of ``infer``."""
    hints = typing.get_type_hints(infer, include_extras=True)
    return {name: typing.get_args(hint)[1] for name, hint in hints.items() if name != "return"}


def table_rows() -> dict[str, str]:
    """Option to its default, from the README's table of options."""
    table = README.partition("## Options of `infer`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(--[a-z0-9-]+)[^|]*\| ([^|]*) \|", table, flags=re.MULTILINE)
    return {option: default.strip("` ") for option, default in rows}


def test_the_table_has_every_option() -> None:
    # The first name of an option stands where a default would, until Typer reads the annotation.
    spelled = {str(option.default).split("/")[0] for option in declared_options().values()}
    assert len(spelled) == len(inspect.signature(infer).parameters)
    assert set(table_rows()) == spelled - {"--stats"} | {"--no-stats"}


@pytest.mark.parametrize("entry", InferenceConfig.model_fields)
def test_defaults_are_the_same_everywhere(entry: str) -> None:
    default = InferenceConfig.model_fields[entry].default
    option = "--no-stats" if entry == "statistics" else f"--{entry.replace('_', '-')}"
    help_text = str(declared_options()[entry].help)
    if default is None or InferenceConfig.model_fields[entry].is_required() or default is False:
        assert table_rows()[option] in (
            "bundled",
            "from the checkpoint",
            "never",
            "all",
            "required",
            "off",
        )
    elif default is True:
        assert (table_rows()[option], "Default: yes" in help_text) == ("off", True)
    else:
        assert table_rows()[option] == str(default)
        assert f"Default: {default}" in help_text


def test_every_exit_code_is_explained() -> None:
    table = README.partition("## Exit codes")[2].partition("\n## ")[0]
    explained = {
        int(n) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.M) for n in row.split(",")
    }
    raised = {
        kind.exit_code
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.AxionError)
    }
    assert raised | {0, 1, 3, 130, 141, 143} == explained


def test_every_linked_file_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert len(links) >= 5
    assert missing == []
