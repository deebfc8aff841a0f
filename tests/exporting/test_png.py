"""PNG files that another decoder reads back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from axion_stage3.exporting.png import data_uri, png_bytes

pillow = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib")


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))))
def test_every_picture_survives(image: np.ndarray) -> None:
    with pillow.open(io.BytesIO(png_bytes(image))) as decoded:
        decoded.verify()
    with pillow.open(io.BytesIO(png_bytes(image))) as decoded:
        assert decoded.mode == "RGB"
        assert np.array_equal(np.asarray(decoded), image)


def test_noise_survives() -> None:
    """Large enough that every tie between the neighbours of a pixel occurs."""
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    with pillow.open(io.BytesIO(png_bytes(image))) as decoded:
        assert np.array_equal(np.asarray(decoded), image)


def test_smooth_pictures_are_small() -> None:
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    image = np.repeat(np.broadcast_to(ramp, (128, 128))[:, :, np.newaxis], 3, axis=2)
    assert len(png_bytes(image)) < 0.02 * image.nbytes


def test_a_data_uri_holds_the_picture() -> None:
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    prefix, _, body = data_uri(image).partition(",")
    assert prefix == "data:image/png;base64"
    assert len(body) % 4 == 0
