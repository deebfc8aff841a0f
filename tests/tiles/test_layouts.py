from __future__ import annotations

from pathlib import Path

import pytest

from axion_stage3.errors import TileLayoutError
from axion_stage3.tiles.layouts import (
    OPTICAL_LAYOUTS,
    OUTPUT_LAYOUTS,
    RADAR_LAYOUTS,
    Layout,
    recognise,
)


def test_the_keys_are_those_of_the_guide() -> None:
    assert [layout.keys for layout in OPTICAL_LAYOUTS] == [
        ("opt_v2",),
        ("s2_b2", "s2_b3", "s2_b4", "s2_b8"),
        ("opt_v2_b2", "opt_v2_b3", "opt_v2_b4", "opt_v2_b8"),
    ]
    assert [layout.keys for layout in RADAR_LAYOUTS] == [("s1",), ("s1_vv", "s1_vh"), ("vv", "vh")]
    assert [layout.keys for layout in OUTPUT_LAYOUTS] == [("opt_final",), ("opt_v3",)]
    for layouts in (OPTICAL_LAYOUTS, RADAR_LAYOUTS, OUTPUT_LAYOUTS):
        assert all(layout.is_stacked == (len(layout.keys) == 1) for layout in layouts)


@pytest.mark.parametrize("layout", [*OPTICAL_LAYOUTS, *RADAR_LAYOUTS], ids=lambda x: x.name)
def test_each_layout_is_recognised_among_other_keys(layout: Layout) -> None:
    layouts = OPTICAL_LAYOUTS if layout in OPTICAL_LAYOUTS else RADAR_LAYOUTS
    assert recognise(["date", *reversed(layout.keys), "s2_b11"], layouts) is layout


def test_the_first_of_several_complete_layouts_is_taken() -> None:
    every_key = [key for layout in OPTICAL_LAYOUTS for key in layout.keys]
    assert recognise(every_key, OPTICAL_LAYOUTS).keys == ("opt_v2",)
    assert recognise(every_key[1:], OPTICAL_LAYOUTS).name == "s2_bands"


def test_keys_found_and_layouts_understood_are_listed() -> None:
    with pytest.raises(TileLayoutError) as caught:
        recognise(["lon", "lat"], RADAR_LAYOUTS, path=Path("s1/a.npz"), tile_name="a.npz")
    assert str(caught.value) == (
        "s1/a.npz has none of the key layouts that are understood. Keys found: lat, lon. "
        "Layouts understood: s1; s1_vv, s1_vh; vv, vh."
    )
    assert "Rename" in caught.value.hint
    assert caught.value.tile_name == "a.npz"
    with pytest.raises(TileLayoutError, match="Keys found: none"):
        recognise([], RADAR_LAYOUTS)


def test_an_incomplete_layout_is_completed_by_the_hint() -> None:
    with pytest.raises(TileLayoutError) as caught:
        recognise(["s2_b2", "s2_b3", "s2_b4"], OPTICAL_LAYOUTS)
    assert caught.value.hint == "Only s2_b8 is missing: add it, or use another layout."


def test_many_or_hostile_keys_stay_readable() -> None:
    keys = [f"key_{index:03d}" for index in range(100)] + ["\x1b[31m" + "x" * 500]
    with pytest.raises(TileLayoutError) as caught:
        recognise(keys, OPTICAL_LAYOUTS)
    assert "key_018 and 81 more" in str(caught.value)
    with pytest.raises(TileLayoutError, match=r"key_018, key_019\. Layouts"):
        recognise(keys[:20], OPTICAL_LAYOUTS)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600
