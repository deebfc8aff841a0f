"""A run begins soon: nothing is imported that it does not need."""

from __future__ import annotations

import subprocess
import sys


def test_a_prediction_needs_no_compiler_of_torch() -> None:
    program = (
        "import sys, numpy as np\n"
        "import axion_stage3.inference.grounding_run\n"
        "from axion_stage3.inference.predictor import ground\n"
        "ground(np.full((1, 4, 16, 16), 0.2, 'f4'), np.full((1, 2, 16, 16), -12, 'f4'))\n"
        "print(*{'torch._dynamo', 'torch._inductor', 'sympy', 'diffusers'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
