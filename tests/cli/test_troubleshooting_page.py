"""docs/troubleshooting.md: in the situation of each section, its commands say what is shown."""

from __future__ import annotations

import re
import shlex
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[np.ndarray], np.ndarray]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
GUIDE = (
    "No matching tiles found",
    "Out of memory (OOM)",
    "Invalid output values",
    "Slow processing",
    "Failed tiles",
)
"""The troubleshooting sections of the Stage 3 inference guide."""

INFER = "infer --opt-v2-dir stage2_outputs --s1-dir tiles/s1 --output-dir outputs --timesteps 1 -q"


def sections() -> dict[str, list[tuple[str, str]]]:
    """Heading of each section to its commands and what they say."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        heading: re.findall(r"^```console\n\$ axion-stage3 (.+)\n((?:.*\n)*?)```$", text, re.M)
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


def rewrite(path: str, change: Change) -> None:
    with np.load(path) as stored:
        arrays = {key: change(stored[key].copy()) for key in stored.files}
    np.savez(path, **arrays)


def rename(_: pytest.MonkeyPatch) -> None:
    for path in Path("tiles/s1").iterdir():
        path.rename(path.with_stem(f"{path.stem}_S1"))


def run_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from axion_stage3.inference.predictor import Predictor

    def predict(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Predictor, "predict", predict)
    assert run(INFER.split()) == 3


def mistake_units(_: pytest.MonkeyPatch) -> None:
    rewrite("stage2_outputs/tile_001.npz", lambda bands: (bands * 10000).astype(np.uint16))
    rewrite("tiles/s1/tile_002.npz", lambda bands: 10 ** (bands / 10))


def just_run(_: pytest.MonkeyPatch) -> None:
    assert run(INFER.split()) == 0


def run_with_gap(_: pytest.MonkeyPatch) -> None:
    def spoil(bands: np.ndarray) -> np.ndarray:
        bands[..., 20:30, 40:60] = np.nan
        return bands

    rewrite("stage2_outputs/tile_002.npz", spoil)
    assert run(INFER.split()) == 3


SITUATIONS = dict(
    zip(GUIDE, (rename, run_without_memory, mistake_units, just_run, run_with_gap), strict=True)
)


def without_times(text: str) -> str:
    text = re.sub(r"after \d+\.\d\d s( \([^)]*\))?", "after some time", " ".join(text.split()))
    return text.strip()


def test_every_section_of_the_guide_has_its_commands() -> None:
    assert tuple(sections()) == GUIDE
    assert all(sections().values())


@pytest.mark.parametrize("heading", GUIDE)
@pytest.mark.usefixtures("workspace")
def test_commands_say_what_the_page_shows(
    heading: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    SITUATIONS[heading](monkeypatch)

    for command, shown in sections()[heading]:
        capsys.readouterr()
        assert run(shlex.split(command)) in (0, 3)
        said = capsys.readouterr().out
        is_same = OutputChecker().check_output(
            without_times(shown), without_times(said), ELLIPSIS | NORMALIZE_WHITESPACE
        )
        assert is_same, f"{command}\n{said}"


def test_every_linked_file_is_there() -> None:
    for page in ("troubleshooting.md", "report.md", "json.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
        assert links
        assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
