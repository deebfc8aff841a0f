"""The help of every command: grouped, with examples that work, the same words everywhere."""

from __future__ import annotations

import inspect
import re
import shlex
from collections import defaultdict
from typing import Any

import pytest
import typer.main

from axion_stage3.cli.app import COMMANDS, build_app, run

WIDTH = 80
# Spelling to why its values are not of the same kind in all commands.
OF_MORE_THAN_ONE_KIND = {
    "--against": "a run to compare with (stats), a network to compare with (benchmark)",
    "--batch-size": "infer can measure it (auto), train cannot",
    "--checkpoint": "infer takes a URL",
    "--opt-v2-dir": "infer takes a URL",
    "--output-dir": "infer and merge take a URL",
    "--s1-dir": "infer takes a URL",
    "--timesteps": "benchmark takes several",
    "--workers": "on Ray one can leave it open (auto)",
}


def commands() -> dict[str, Any]:
    """Every command as Typer makes it, by name."""
    program: Any = typer.main.get_command(build_app())
    found = {}
    for name in COMMANDS:
        command = program
        for word in name.split():
            command = command.commands[word]
        found[name] = command
    return found


def options_of(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "option"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_readable_at_80_columns(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    assert run([*name.split(), "--help"]) == 0

    out = capsys.readouterr().out
    assert all(len(line) <= WIDTH for line in out.splitlines())
    assert "…" not in out
    assert "\x1b" not in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_are_commands_of_one_line(name: str) -> None:
    command = commands()[name]
    _, _, text = inspect.cleandoc(command.help).partition("For example:")
    examples = [line for line in text.splitlines() if line.strip()]

    assert examples
    for line in examples:
        assert len(line) < WIDTH - 1, "wrapped on a terminal of 80 columns, it cannot be copied"
        words = shlex.split(line.partition(" > ")[0])
        assert words[0] == "axion-stage3"
        called = next(each for each in COMMANDS if f"{' '.join(words[1:])} ".startswith(f"{each} "))
        commands()[called].make_context(called, words[1 + len(called.split()) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_a_group_and_explained_in_a_sentence(name: str) -> None:
    for option in options_of(commands()[name]):
        assert option.rich_help_panel, option.opts
        assert option.help.endswith("."), option.opts


def test_an_option_is_the_same_in_all_commands() -> None:
    kinds: dict[str, set[Any]] = defaultdict(set)
    spellings: dict[str, set[str]] = defaultdict(set)
    for command in commands().values():
        for option in options_of(command):
            kinds[option.opts[0]].add((option.metavar, *option.opts, *option.secondary_opts))
            for short in option.opts[1:]:
                spellings[short].add(option.opts[0])

    assert {name for name, each in kinds.items() if len(each) > 1} == set(OF_MORE_THAN_ONE_KIND)
    assert all(len(each) == 1 for each in spellings.values())
    assert all(re.fullmatch(r"--[a-z0-9]+(-[a-z0-9]+)*", name) for name in kinds)
