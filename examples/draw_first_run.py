"""Draw the picture of the README: S1, opt_v2, opt_final and the truth of three example tiles.

    python examples/draw_first_run.py outputs/examples docs/images/first_run.png

The first argument is the output folder of the README's first command. Needs the extra `plots`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from axion_stage3.exporting.composites import common_stretch
from axion_stage3.exporting.figures import tile_figure
from axion_stage3.exporting.panels import Panel, optical_panel, radar_composite_panel
from axion_stage3.tiles.tile_loading import load_optical, load_output, load_radar

TILES = Path(__file__).parent / "tiles"
SHOWN = (
    "ben_S2B_MSIL2A_20180525T94030_55_30.npz",
    "s12cr_sample4433.npz",
    "s12cr_sample7264.npz",
)


def row(name: str, output_dir: Path) -> list[Panel]:
    """Draw the panels of one tile; all optical ones share the stretch of the truth."""
    truth = load_optical(TILES / "truth" / name)
    stretch = common_stretch([truth])
    return [
        radar_composite_panel("S1 (VV, VH)", load_radar(TILES / "s1" / name)),
        optical_panel("opt_v2", load_optical(TILES / "opt_v2" / name), stretch),
        optical_panel("opt_final", load_output(output_dir / name), stretch),
        optical_panel("truth", truth, stretch),
    ]


def main(output_dir: Path, picture: Path) -> None:
    """Write the picture as PNG."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(tile_figure([row(name, output_dir) for name in SHOWN]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output_dir", type=Path, help="output folder of the README's first command")
    parser.add_argument("picture", type=Path, help="PNG to write")
    main(**vars(parser.parse_args()))
