"""Which pairs a run is about, and where they lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from axion_stage3.rasters.raster_pairing import find_raster_pairs, has_rasters
from axion_stage3.tiles.georeference_tables import read_georeference_table
from axion_stage3.tiles.pairing import find_pairs

if TYPE_CHECKING:
    from axion_stage3.config import InferenceConfig
    from axion_stage3.tiles.pairing import Pairing


def find_run_pairs(config: InferenceConfig) -> Pairing:
    """Find the pairs of a run, each with the georeference that a table gives it.

    A folder that holds GeoTIFFs and no NPZ file is one of rasters.

    Args:
        config: Names the folders and the table.

    Raises:
        InputError: A folder is missing, there are no pairs, or the table cannot be used.
    """
    find = find_raster_pairs if has_rasters(config.opt_v2_dir) else find_pairs
    pairing = find(config.opt_v2_dir, config.s1_dir, output_dir=config.output_dir)
    if config.georeference is None:
        return pairing
    table = read_georeference_table(config.georeference)
    table.require_any(pair.name for pair in pairing.pairs)
    placed = (replace(pair, georeference=table.find(pair.name)) for pair in pairing.pairs)
    return replace(pairing, pairs=tuple(placed))
