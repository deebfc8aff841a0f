"""What the test of the pages' code knows: what a reader has before a page, and what cannot run."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

INFER: Final = "axion-stage3 infer --opt-v2-dir stage2_outputs --s1-dir tiles/s1"

BEFORE: Final = {
    "README": "axion-stage3 config init run.toml",
    "json": f"axion-stage3 config init run.toml; {INFER} --output-dir outputs/stage3_final -q",
    "report": f"{INFER} --output-dir outputs/stage3_final --timesteps 1 -q",
    "scaling": "axion-stage3 config init run.toml; ls stage2_outputs > all_names.txt",
}
"""Page to commands that its reader has given before, beside those of the page."""

PLACEHOLDERS: Final = {"axion-stage3 merge OUTPUT_DIR": "axion-stage3 merge outputs/stage3_final"}

PRELUDES: Final = {
    "opt_final = ground(opt_v2, s1)": (
        "import torch; opt_v2, s1 = torch.rand(1, 4, 32, 32), torch.rand(1, 2, 32, 32) - 10"
    ),
}
"""Python code to what it takes from its reader."""


class Exemption(NamedTuple):
    """Lines that hold these words are not run, only parsed."""

    words: str
    reason: str


EXEMPT: Final = (
    Exemption("pip install", "fetches packages; .ci/run does it, and tests/packaging offline"),
    Exemption("pre-commit install", "changes the repository; the hooks are held to .ci/gates"),
    Exemption(".ci/coverage", "is a step of .ci/run itself"),
    Exemption(".ci/gates", "is a step of .ci/run itself"),
    Exemption("pytest", "would run these tests in themselves"),
    Exemption("axion-stage3 benchmark", "measures for minutes; tests/benchmarking does it quickly"),
    Exemption("--opt-scale 10000", "wants digital numbers; tests/tiles/test_units.py has them"),
    Exemption("--opt-v2-dir optical/", "wants folders of GeoTIFFs; see tests/rasters"),
    Exemption("sbatch", "wants Slurm; tests/cli/test_shards.py runs the script without it"),
    Exemption(
        "ray start", "wants other machines; tests/inference/test_ray_engine.py has a cluster"
    ),
    Exemption("s3://", "wants a bucket; tests/inference/test_s3_runs.py has a server of one"),
    Exemption("10.0.0.1", "wants other machines; tests/inference/test_ray_engine.py has a cluster"),
)

INSTALLATION: Final = re.compile(
    r"python3 -m venv \.venv && \. \.venv/bin/activate"
    r" && pip install torch==[\d.]+ && pip install -e \S+( && |$)",
    re.MULTILINE,
)
"""What stands before a command in the README; the environment of the tests is already there."""
