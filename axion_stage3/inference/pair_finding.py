"""Which pairs a run is about, and where they lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from axion_stage3.errors import UsageError
from axion_stage3.rasters.raster_pairing import find_raster_pairs, has_rasters
from axion_stage3.storage.locations import ObjectUrl
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
        UsageError: GeoTIFFs are to be read or written in an object store.
    """
    pairing = _find_pairs(config)
    if config.georeference is None:
        return pairing
    table = read_georeference_table(config.georeference)
    table.require_any(pair.name for pair in pairing.pairs)
    placed = (replace(pair, georeference=table.find(pair.name)) for pair in pairing.pairs)
    return replace(pairing, pairs=tuple(placed))


def _find_pairs(config: InferenceConfig) -> Pairing:
    opt_v2_dir, s1_dir, output_dir = config.opt_v2_dir, config.s1_dir, config.output_dir
    if isinstance(opt_v2_dir, ObjectUrl) or not has_rasters(opt_v2_dir):
        return find_pairs(opt_v2_dir, s1_dir, output_dir=output_dir)
    if isinstance(s1_dir, ObjectUrl) or isinstance(output_dir, ObjectUrl):
        raise UsageError(
            f"{opt_v2_dir} holds GeoTIFFs, which are read and written on disks only.",
            hint="Give local paths for all folders, or tiles as NPZ.",
        )
    return find_raster_pairs(opt_v2_dir, s1_dir, output_dir=output_dir)
