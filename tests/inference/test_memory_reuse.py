from __future__ import annotations

import sys

import numpy as np
import pytest

from axion_stage3.inference.memory_reuse import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_memory_that_was_freed_is_used_again_without_page_faults() -> None:
    import resource

    if not keep_freed_memory():
        pytest.skip("this C library cannot be told")

    def work() -> None:
        tiles = [np.ones(1 << 20, dtype=np.uint8) for _ in range(4)]
        assert sum(int(tile[-1]) for tile in tiles) == 4

    work()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(20):
        work()
    # Four times 256 pages in each of the rounds, had they been given back in between.
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before < 4 * 256
