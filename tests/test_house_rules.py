"""Rules of the house that no linter knows."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "handler", "processor"}
MOST_LINES = 400
FOLDERS = ("axion_stage3", "tests", "examples", "docs", ".ci", ".mkdocs")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).glob("**/*.py")]


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


def test_the_hooks_run_the_gates_without_fetching_anything() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"].replace(" --force-exclude", "") for hook in local["hooks"]}
    steps = re.findall(r"^step (.+)$", (ROOT / ".ci" / "gates").read_text(), re.MULTILINE)
    gates = {re.sub(r"(ruff .*) \.$", r"\1", step) for step in steps}

    assert local["repo"] == "local"
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert hooks == gates | {"pytest -q tests/test_house_rules.py"}


def test_the_citation_names_this_version() -> None:
    from axion_stage3 import __version__

    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
