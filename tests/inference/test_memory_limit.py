"""Memory that really runs out: the address space of a process is limited before a large batch."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CODE = """
    import json, resource, sys
    from functools import partial
    from pathlib import Path

    import torch
    from inference_workbench import lively_network, loaded_tile, tile_arrays
    from axion_stage3.diffusion.checkpoint import load_checkpoint, save_checkpoint
    from axion_stage3.inference.batch_grounding import BatchGrounder
    from axion_stage3.inference.batch_sizing import BatchSizes
    from axion_stage3.inference.predictor import Predictor
    from axion_stage3.inference.tile_stages import GroundedTile, ReadTile
    from axion_stage3.tiles.tile_loading import LoadedTile

    N_TILES, SIZE_PX, ROOM_BYTES = 16, 256, 384 << 20
    torch.set_num_threads(1)
    path = Path(sys.argv[1]) / "tiny.safetensors"
    save_checkpoint(path, lively_network(), epoch=1, config={"timesteps": 1})
    predictor = Predictor(load_checkpoint(path), "cpu", "fp32")
    opt_v2, s1, names = tile_arrays(N_TILES, SIZE_PX)
    expected = [
        predictor.predict(opt_v2[i : i + 1], s1[i : i + 1], names[i : i + 1]).opt_final[0]
        for i in range(N_TILES)
    ]
    batch = [
        ReadTile(LoadedTile(names[i], opt_v2[i], s1[i]), "", {}) for i in range(N_TILES)
    ]
    reasons = []

    def predict(*arguments, **options):
        try:
            return predictor.predict(*arguments, **options)
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {error}"[:80])
            raise

    sizes = BatchSizes(N_TILES, 10**9)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + ROOM_BYTES, limits[1]))
    results = list(BatchGrounder(predict, sizes, torch.device("cpu"))(batch))
    resource.setrlimit(resource.RLIMIT_AS, limits)
    largest = max(
        float(abs(torch.from_numpy(result.opt_final) - wanted).max())
        for result, wanted in zip(results, expected, strict=True)
        if isinstance(result, GroundedTile)
    )
    print(json.dumps({
        "n_grounded": sum(isinstance(result, GroundedTile) for result in results),
        "largest_difference": largest,
        "reasons": reasons,
        "size": sizes.size((SIZE_PX, SIZE_PX)),
    }))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
def test_a_batch_that_does_not_fit_into_the_memory_is_halved(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), str(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert report["n_grounded"] == 16
    assert report["largest_difference"] < 1e-5
    assert 1 <= len(report["reasons"]) <= 4, report
    assert report["size"] == 16 >> len(report["reasons"])
