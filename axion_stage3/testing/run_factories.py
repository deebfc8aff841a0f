"""Whole runs in a moment: inputs, outputs, journals and reports as ``infer`` leaves them.

No network computes anything: opt_final is opt_v2 moved some way towards the truth. All else, from
the lease to the summary, is made by the parts that a real run uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import TilePixelsError
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.session import RunFacts, RunSession
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile, write_pair
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import load_pair

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.tiles.pairing import TilePair

_INPUTS: Final = {"opt_v2", "s1"}
_STAGE_SECONDS: Final = {"read": 0.01, "compute": 0.2, "write": 0.03}


def make_run(
    root: Path,
    names: Sequence[str],
    *,
    output_name: str = "outputs",
    size_px: int = 32,
    nearness: float = 0.6,
    failing: Collection[str] = (),
    save_intermediate: bool = False,
    has_spread: bool = False,
) -> Path:
    """Make a run that has ended.

    Inputs are written to ``root/opt_v2`` and ``root/s1``, truth to ``root/truth``. The tile at
    place i has the seed i.

    Args:
        root: Folder of all of these.
        names: Names of the tiles.
        output_name: Name of the output folder below ``root``.
        size_px: Height and width of the tiles.
        nearness: 0 leaves opt_v2 as it is, 1 makes it the truth.
        failing: Names of tiles that fail with a `TilePixelsError`.
        save_intermediate: Whether outputs hold opt_v2 and s1.
        has_spread: Whether outputs hold opt_final_std.

    Returns:
        The output folder.

    Raises:
        OutputError: A file cannot be written.
    """
    seeds = {name: seed for seed, name in enumerate(names)}
    pairs = [
        write_pair(root, name, seed=seed, height=size_px, has_truth=True)
        for name, seed in seeds.items()
    ]
    output_dir = root / output_name
    with RunSession.open(output_dir, _facts(root, output_dir), pairs) as session:
        for pair in pairs:
            fingerprint = session.fingerprint(pair)
            if pair.name in failing:
                error = TilePixelsError("red is NaN in 14 px.", hint="--fill-invalid fills them.")
                outcome = TileOutcome.of_error(
                    pair.name, error, phase="read", fingerprint=fingerprint
                )
            else:
                truth = make_tile(seeds[pair.name], size_px).truth
                arrays = _arrays(pair, truth, nearness)
                kept = {"opt_final"} | (_INPUTS if save_intermediate else set())
                kept |= {"opt_final_std"} if has_spread else set()
                outcome = _write(output_dir, pair, arrays, kept, fingerprint)
            session.record(outcome)
        session.write_summary()
        session.close("finished", 3 if failing else 0)
    return output_dir


def _facts(root: Path, output_dir: Path) -> RunFacts:
    return RunFacts(
        command=("axion-stage3", "infer", "--output-dir", str(output_dir)),
        configuration={
            "opt_v2_dir": str(root / "opt_v2"),
            "s1_dir": str(root / "s1"),
            "output_dir": str(output_dir),
            "timesteps": 10,
            "precision": "fp32",
            "sampler": "2m",
            "seed": 0,
        },
        checkpoint_sha256="c" * 64,
        device="cpu",
        seed=0,
    )


def _arrays(
    pair: TilePair, truth: NDArray[np.float32], nearness: float
) -> dict[str, NDArray[np.float32]]:
    tile = load_pair(pair)
    step = np.float32(nearness) * (truth - tile.opt_v2)
    return {
        "opt_final": tile.opt_v2 + step,
        "opt_v2": tile.opt_v2,
        "s1": tile.s1,
        "opt_final_std": np.abs(step) / np.float32(4),
    }


def _write(
    output_dir: Path,
    pair: TilePair,
    arrays: dict[str, NDArray[np.float32]],
    kept: Collection[str],
    fingerprint: str,
) -> TileOutcome:
    statistics = tile_statistics(pair.name, arrays["opt_final"], arrays["opt_v2"], arrays["s1"])
    stored = {key: array for key, array in arrays.items() if key in kept}
    path = output_dir / pair.name
    path.parent.mkdir(parents=True, exist_ok=True)
    return TileOutcome(
        tile=pair.name,
        outcome="written",
        fingerprint=fingerprint,
        seconds=sum(_STAGE_SECONDS.values()),
        output_bytes=write_npz(path, stored, {"opt_v3": "opt_final"}),
        statistics=statistics,
        stage_seconds=_STAGE_SECONDS,
    )
