from __future__ import annotations

import time
import warnings

import pytest
from npz_mutations import mutated_files, seed_files

from axion_stage3.errors import TileReadError
from axion_stage3.tiles.npz_reader import read_headers, read_npz


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("n_files", "seed"),
    [(2_000, 1), pytest.param(60_000, 2, marks=pytest.mark.slow)],
)
def test_mutated_files_raise_nothing_but_read_errors(n_files: int, seed: int) -> None:
    n_read = n_refused = 0
    seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in mutated_files(seed, n_files):
            started = time.process_time()
            for read in (read_headers, read_npz):
                try:
                    read(content)
                    n_read += 1
                except TileReadError:
                    n_refused += 1
            seconds += time.process_time() - started
    assert n_refused > n_files
    assert n_read > n_files / 20
    assert seconds < n_files / 1000, f"{n_files} files took {seconds:.0f} s"


def test_the_seeds_are_sound() -> None:
    for content in seed_files():
        headers = read_headers(content)
        assert read_npz(content, [name for name in headers if headers[name].dtype is not None])
