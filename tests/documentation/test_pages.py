"""The pages in docs/ are fresh, reachable, and their commands are commands."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from axion_stage3.cli.app import build_app
from axion_stage3.cli.reference_pages import reference_pages
from axion_stage3.diffusion.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^```(bash|console|sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
STAND_INS = {"...": "--opt-v2-dir A --s1-dir B --output-dir C"}


@pytest.mark.parametrize("page", ["command_line.md", "configuration.md", "errors.md"])
def test_generated_pages_are_fresh(page: str) -> None:
    stored = (DOCS / page).read_text(encoding="utf-8")

    assert stored == reference_pages()[page], (
        "stale: run python -m axion_stage3.cli.reference_pages"
    )


def test_the_picture_of_the_rooms_is_fresh() -> None:
    drawn = runpy.run_path(str(DOCS / "pictures" / "draw_rooms.py"))["rooms_svg"]()

    stored = (DOCS / "images" / "rooms.svg").read_text(encoding="utf-8")
    assert stored == drawn, "stale: run python docs/pictures/draw_rooms.py"


def test_the_recording_shows_the_first_command_of_the_readme() -> None:
    picture = (DOCS / "images" / "first_run.svg").read_text(encoding="utf-8")
    recorder = runpy.run_path(str(DOCS / "pictures" / "record_first_run.py"))

    assert recorder["COMMAND"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "Processed:&#160;12" in picture
    assert f"Epoch:&#160;{load_checkpoint().epoch}<" in picture, (
        "of another checkpoint: run python docs/pictures/record_first_run.py"
    )
    assert "url(" not in re.sub(r"url\(#", "", picture)


def test_every_page_is_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]

    assert sorted(files_of(navigation)) == sorted(page.name for page in DOCS.glob("*.md"))


def files_of(navigation: Any) -> list[str]:
    """The files named in a navigation of mkdocs."""
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return [file for part in parts for file in files_of(part)]


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_exit_codes_of_the_pages_agree() -> None:
    tables = [
        set(
            re.findall(r"^\| ([\d, ]+) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        )
        for page in ("README.md", "docs/batch_runs.md")
    ]
    assert tables[0] == tables[1]


def commands_of(page: Path) -> list[str]:
    """The calls of axion-stage3 in the code blocks of a page, one line each."""
    found = []
    for _, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            before, program, rest = line.partition("axion-stage3 ")
            if program and not before.strip(" $+"):
                found.append(re.split(r" \| | \d?> | # | && |;", rest)[0].strip())
    return found


@pytest.fixture(scope="module")
def program() -> Any:
    return typer.main.get_command(build_app())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_the_page_can_be_parsed(page: Path, program: Any) -> None:
    for command in commands_of(page):
        words = [word for part in shlex.split(command) for word in stand_in(part)]
        target, names = program, []
        while words and words[0] in getattr(target, "commands", {}):
            names.append(words.pop(0))
            target = target.commands[names[-1]]
        assert not hasattr(target, "commands") or words[:1] in (["COMMAND"], ["--version"]), command
        if not hasattr(target, "commands"):
            target.make_context(" ".join(names), words)


def stand_in(word: str) -> list[str]:
    """Words for what a page leaves out."""
    return STAND_INS.get(word, word).split() if word in STAND_INS else [word]


def test_commands_are_found() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 40
