"""The bundled checkpoint still does what it did: a broken checkpoint or network cannot pass unseen.

After a new checkpoint, ``python tests/training/test_reference_checkpoint.py`` measures and stores
the figures anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axion_stage3.training.evaluation_run import GroundingOptions, evaluate_folders

TILES = Path(__file__).parents[2] / "examples" / "tiles"
FIGURES = Path(__file__).parent / "reference_figures.json"
METRICS = ("psnr", "sam_degrees", "mae", "ssim", "grounding")


def measure(timesteps: int) -> dict[str, float]:
    """Mean change of each metric from opt_v2 to opt_final over the example tiles."""
    options = GroundingOptions(timesteps=timesteps, device="cpu")
    (family,) = evaluate_folders(
        truth_dir=TILES / "truth",
        opt_v2_dir=TILES / "opt_v2",
        s1_dir=TILES / "s1",
        options=options,
    ).families
    return {name: family.metrics[name].difference for name in METRICS}


@pytest.mark.parametrize("timesteps", [1, 5])
def test_figures_are_those_that_were_stored(timesteps: int) -> None:
    stored = json.loads(FIGURES.read_text())[str(timesteps)]
    assert measure(timesteps) == pytest.approx(stored, rel=0.02, abs=1e-5)


def test_the_stored_figures_are_an_improvement() -> None:
    stored = json.loads(FIGURES.read_text())["1"]
    assert stored["psnr"] > 0.1
    assert stored["sam_degrees"] < 0
    assert stored["mae"] < 0


if __name__ == "__main__":
    FIGURES.write_text(json.dumps({str(t): measure(t) for t in (1, 5)}, indent=2) + "\n")
