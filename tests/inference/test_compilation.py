"""``--compile``: the same results, and a way back where torch cannot compile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from inference_workbench import tile_arrays

from axion_stage3.inference.compilation import Compiler
from axion_stage3.inference.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.diffusion.checkpoint import Checkpoint


def refuse(function: Callable[..., object], **_: object) -> Callable[..., object]:
    def call(*_: object) -> object:
        raise RuntimeError("no C compiler was found\nand much more")

    return call


def test_where_compiling_fails_the_network_runs_as_it_is_and_says_so_once(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", refuse)
    notes: list[str] = []
    plain = Predictor(checkpoint, "cpu")
    predictor = Predictor(checkpoint, "cpu", is_compiled=True, on_note=notes.append)
    for _ in range(3):
        batch = tile_arrays(2, 24)
        expected = plain.predict(*batch).opt_final
        assert torch.equal(predictor.predict(*batch).opt_final, expected)
    assert len(notes) == 1
    assert "torch.compile does not work here (RuntimeError: no C compiler was found)" in notes[0]


def test_a_shape_that_comes_once_is_not_compiled(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", refuse)
    predictor = Predictor(checkpoint, "cpu", is_compiled=True, on_note=pytest.fail)
    for n_tiles in (1, 2, 3):
        predictor.predict(*tile_arrays(n_tiles, 24))


def test_memory_that_runs_out_is_no_fault_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_to_fail(function: Callable[..., object], **_: object) -> Callable[..., object]:
        return function

    def function() -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(torch, "compile", compile_to_fail)
    compiler = Compiler(pytest.fail)
    with pytest.raises(torch.OutOfMemoryError):
        compiler.compiled(function)()
    assert compiler.is_on


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")
def test_compiled_equals_eager_on_the_cpu(checkpoint: Checkpoint) -> None:
    plain = Predictor(checkpoint, "cpu")
    compiled = Predictor(checkpoint, "cpu", is_compiled=True, on_note=pytest.fail)
    for seed in range(3):
        batch = tile_arrays(2, 32)
        expected = plain.predict(*batch, seed=seed).opt_final
        result = compiled.predict(*batch, seed=seed).opt_final
        assert (result - expected).abs().max() <= 1e-5
