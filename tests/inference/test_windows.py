from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.inference.windows import (
    OVERLAP_PX,
    blend_weights,
    plan_spans,
    predict_in_windows,
)

if TYPE_CHECKING:
    from axion_stage3.tiles.window import Window


@settings(deadline=None)
@given(length=st.integers(16, 6000), window_px=st.sampled_from([256, 512]))
def test_windows_cover_the_length_and_overlap_on_the_network_grid(
    length: int, window_px: int
) -> None:
    spans = plan_spans(length, window_px)
    assert spans[0].start == 0
    assert spans[-1].stop == length
    assert all(span.stop - span.start <= max(window_px, 16) for span in spans)
    assert all(span.start % 16 == 0 for span in spans)
    for before, after in itertools.pairwise(spans):
        assert before.stop - after.start == OVERLAP_PX
        assert after.stop > before.stop


@settings(deadline=None)
@given(length=st.integers(16, 3000), window_px=st.sampled_from([256, 512]))
def test_weights_sum_to_one_and_vanish_near_the_windows_borders(
    length: int, window_px: int
) -> None:
    spans = plan_spans(length, window_px)
    total = torch.zeros(length)
    for i, (span, weight) in enumerate(zip(spans, blend_weights(spans), strict=True)):
        total[slice(*span)] += weight
        assert float(weight.min()) >= 0
        if i > 0:
            assert not weight[: OVERLAP_PX // 4].any()
        if i < len(spans) - 1:
            assert not weight[-(OVERLAP_PX // 4) :].any()
    torch.testing.assert_close(total, torch.ones(length), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(300, 40), (40, 300), (400, 500), (256, 256)])
def test_what_does_not_depend_on_the_window_comes_back_whole(size: tuple[int, int]) -> None:
    whole = torch.randn(2, 3, *size)
    windows: list[Window] = []

    def predict(window: Window) -> list[torch.Tensor]:
        windows.append(window)
        return [window.cut(whole), window.cut(2 * whole)]

    first, second = predict_in_windows(predict, *size, 256)
    torch.testing.assert_close(first, whole, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(second, 2 * whole, rtol=1e-6, atol=1e-6)
    n_expected = (1 if size[0] <= 256 else 2 + (size[0] > 384)) * (
        1 if size[1] <= 256 else 2 + (size[1] > 384)
    )
    assert len(windows) == n_expected


def test_what_goes_wrong_at_a_windows_border_does_not_show() -> None:
    def predict(window: Window) -> list[torch.Tensor]:
        part = torch.ones(1, 1, window.size[0], 40)
        if window.top > 0:
            part[..., : OVERLAP_PX // 4, :] = 1e6
        if window.bottom < 1000:
            part[..., -(OVERLAP_PX // 4) :, :] = 1e6
        return [part]

    (blended,) = predict_in_windows(predict, 1000, 40, 256)
    torch.testing.assert_close(blended, torch.ones(1, 1, 1000, 40))
