"""Every block of code on every page does what the page says; the site is built.

A block runs in a folder as its reader has it. What cannot run here is in `reader.EXEMPT`, each with
its reason; it is still held to the syntax of the shell, and by test_pages.py to the command line.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from reader import BEFORE, EXEMPT, INSTALLATION, PLACEHOLDERS, PRELUDES

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"^```(bash|python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = {
    page.stem: CODE.findall(page.read_text(encoding="utf-8"))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
WITH_CODE = [name for name, blocks in PAGES.items() if blocks]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as a reader has it: a clone's examples, and tiles under the names of the guide."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    tiles = tmp_path / "examples" / "tiles"
    folders = {"opt_v2": "stage2_outputs", "s1": "tiles/s1", "truth": "truth"}
    for part, folder in folders.items():
        shutil.copytree(tiles / part, tmp_path / folder)
        first = min((tmp_path / folder).glob("*.npz"))
        first.rename(first.with_name("tile_123.npz"))
    (tmp_path / "few.txt").write_text("tile_123.npz\n")
    return tmp_path


def run_code(command: list[str], place: Path) -> None:
    """Run a program as a reader would, and show what it said if it fails."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=place,
        env=os.environ | {"PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


def is_exempt(line: str) -> bool:
    return any(exemption.words in line for exemption in EXEMPT)


def as_run(code: str, numbers: itertools.count[int]) -> str:
    """The lines of a block that can run here, with stand-ins for what the page leaves out."""
    lines = [line for line in INSTALLATION.sub("", code).splitlines() if not is_exempt(line)]
    text = "\n".join(lines)
    for words, instead in PLACEHOLDERS.items():
        text = text.replace(words, instead)
    return re.sub(
        r"(?<= )\.\.\.(?= )",
        lambda _: (
            "--opt-v2-dir stage2_outputs --s1-dir tiles/s1 --tiles few.txt"
            f" --output-dir outputs/of_line_{next(numbers)}"
        ),
        text,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", WITH_CODE)
def test_code_blocks_run(page: str, place: Path) -> None:
    numbers = itertools.count()
    if page == "gis":
        rasterio = pytest.importorskip("rasterio")
        profile = {"width": 8, "height": 8, "count": 4, "dtype": "float32", "crs": "EPSG:32633"}
        grid = rasterio.Affine(10, 0, 344400, 0, -10, 5294400)
        rasterio.open(place / "stage2_001.tif", "w", transform=grid, **profile).close()
    if page in BEFORE:
        run_code(["bash", "-ec", BEFORE[page]], place)
    for language, code in PAGES[page]:
        if language == "toml":
            tomllib.loads(code)
        elif language == "python":
            prelude = next((text for words, text in PRELUDES.items() if words in code), "")
            run_code([sys.executable, "-c", f"{prelude}\n{code}"], place)
        else:
            run_code(["bash", "-euo", "pipefail", "-c", as_run(code, numbers)], place)


@pytest.mark.parametrize("page", WITH_CODE)
def test_code_is_spelled_right(page: str) -> None:
    for language, code in PAGES[page]:
        if language == "python":
            compile(code, page, "exec")
        elif language == "bash":
            checked = subprocess.run(
                ["bash", "-n"], input=code, text=True, capture_output=True, check=False
            )
            assert checked.returncode == 0, f"{code}\n{checked.stderr}"


@pytest.mark.parametrize("exemption", EXEMPT, ids=lambda exemption: exemption.words)
def test_an_exemption_is_needed(exemption: tuple[str, str]) -> None:
    text = "\n".join(code for blocks in PAGES.values() for _, code in blocks)
    assert exemption[0] in text


@pytest.mark.slow
def test_the_site_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        build,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    fetched = [
        address
        for page in pages
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page)
        if 'rel="canonical"' not in tag
        for address in re.findall(r'(?:src|href)="((?:https?:)?//[^"]*)"', tag)
    ]
    assert len(pages) > 20
    assert fetched == []
