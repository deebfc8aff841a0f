"""The bands of an exported tile: opt_final, and what is wanted beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import TileLayoutError
from axion_stage3.rasters.raster_bands import OPTICAL_FACTS, BandFacts, RasterBands, std_facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from axion_stage3.runs.run_folder import RunTile
    from axion_stage3.statistics.spectral_indices import SpectralIndex

_WIDE_STEP: Final = 1e-2
_NARROW: Final = 3.2


@dataclass(frozen=True, slots=True)
class Layers:
    """What a raster holds beside opt_final.

    Attributes:
        has_std: Whether it holds the standard deviation of each band over the draws.
        has_change: Whether it holds the mean over the bands of |opt_final - opt_v2|.
        indices: Spectral indices of opt_final.
    """

    has_std: bool = False
    has_change: bool = False
    indices: tuple[SpectralIndex, ...] = ()

    @property
    def facts(self) -> tuple[BandFacts, ...]:
        """What the bands are, in their order."""
        facts = list(OPTICAL_FACTS)
        if self.has_std:
            facts += std_facts()
        if self.has_change:
            description = "change by Stage 3: mean over the bands of |opt_final - opt_v2|"
            facts.append(BandFacts("change", description, "reflectance"))
        return (*facts, *map(_index_facts, self.indices))

    def of(self, tile: RunTile) -> RasterBands:
        """Gather the bands of a tile; pixels that had been filled hold no data.

        Raises:
            TileLayoutError: A layer is wanted that the tile does not have.
        """
        stacks: list[NDArray[np.float32]] = [tile.opt_final]
        if self.has_std:
            if tile.opt_final_std is None:
                raise TileLayoutError(
                    f"{tile.name} has no opt_final_std.",
                    hint="Leave out --std, or run infer with --samples 8.",
                    tile_name=tile.name,
                )
            stacks.append(tile.opt_final_std)
        if self.has_change:
            if tile.opt_v2 is None:
                raise TileLayoutError(
                    f"The opt_v2 of {tile.name} is not at hand, so that its change is not known.",
                    hint="Leave out --change, or give --opt-v2-dir.",
                    tile_name=tile.name,
                )
            stacks.append(np.abs(tile.opt_final - tile.opt_v2).mean(axis=0, keepdims=True))
        stacks += [index(tile.opt_final)[np.newaxis] for index in self.indices]
        pixels = np.concatenate(stacks).astype(np.float32, copy=False)
        if tile.valid_mask is not None:
            pixels[:, ~tile.valid_mask] = np.nan
        return RasterBands(pixels, self.facts)


def _index_facts(index: SpectralIndex) -> BandFacts:
    is_narrow = max(map(abs, index.display_range)) < _NARROW
    return BandFacts(
        index.name,
        f"{index.title}: {index.formula}",
        integer_scale=1e-4 if is_narrow else _WIDE_STEP,
    )
