"""Rules of the house that no linter knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "handler", "processor"}
MOST_LINES = 400
SOURCES = [*ROOT.glob("axion_stage3/**/*.py"), *ROOT.glob("tests/**/*.py")]


def test_no_file_is_too_long() -> None:
    too_long = {
        str(path.relative_to(ROOT)): n_lines
        for path in SOURCES
        if (n_lines := path.read_bytes().count(b"\n")) > MOST_LINES
    }
    assert SOURCES
    assert too_long == {}


def test_files_are_named_for_what_is_in_them() -> None:
    assert [path.name for path in SOURCES if path.stem in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("gate", ["ruff check", "ruff format", "codespell", "deptry", "mypy"])
def test_the_hooks_run_the_gates_without_fetching_anything(gate: str) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    gates = (ROOT / ".ci" / "gates").read_text()

    assert [each["repo"] for each in hooks["repos"]] == ["local"]
    entries = [hook["entry"] for hook in hooks["repos"][0]["hooks"]]
    assert any(entry.startswith(gate) for entry in entries)
    assert f"step {gate}" in gates
    assert all(hook["language"] == "system" for hook in hooks["repos"][0]["hooks"])


def test_the_citation_names_this_version() -> None:
    from axion_stage3 import __version__

    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
