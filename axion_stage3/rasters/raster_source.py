"""An optical or radar raster, open for reading part by part."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from axion_stage3.errors import TileGeoreferenceError, TileShapeError
from axion_stage3.rasters.product_units import RasterFacts, facts_of
from axion_stage3.rasters.rasterio_access import as_read_error, gdal_session, open_geotiff
from axion_stage3.tiles.georeference import Georeference
from axion_stage3.tiles.tile_loading import USABLE_RANGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from axion_stage3.tiles.window import Window


class RasterSource:
    """The bands of one raster in one file or several; a context manager.

    Args:
        paths: Its files: one with all bands, or one a band in the order of the bands.
        bands: Names of the bands.
        kind: ``optical`` or ``radar``, for messages.

    Attributes:
        path: The first file.
        size: Height and width, in pixels.
        georeference: Where it lies; north-up.
        facts: What its tags say.

    Raises:
        TileReadError: A file is not a GeoTIFF.
        TileShapeError: It has other bands, or files of different sizes.
        TileGeoreferenceError: It has no CRS, is rotated or south-up, or its files differ.
    """

    def __init__(self, paths: Sequence[Path], bands: Sequence[str], kind: str) -> None:
        self.path = paths[0]
        self._bands = bands
        self._kind = kind
        self._paths = paths
        with ExitStack() as stack:
            stack.enter_context(gdal_session())
            self._datasets = [stack.enter_context(open_geotiff(path)) for path in paths]
            self._check_bands()
            height, width = self._datasets[0].shape
            self.size = (int(height), int(width))
            self.georeference = self._common_place()
            self.facts: RasterFacts = facts_of(self._datasets, self.path)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Read a part as it is stored.

        A pixel holds no data where the raster says so, where it is not a usable number, and where
        all bands are exactly 0, which is how products fill what was not seen.

        Args:
            window: The part, inside the raster.

        Returns:
            (band, y, x) float32; NaN where there is no data.

        Raises:
            TileReadError: A file is damaged there.
        """
        rows_columns = ((window.top, window.bottom), (window.left, window.right))
        stacks = []
        for path, dataset in zip(self._paths, self._datasets, strict=True):
            with as_read_error(path), np.errstate(over="ignore", invalid="ignore"):
                pixels = dataset.read(window=rows_columns).astype(np.float32)
                is_valid = dataset.read_masks(window=rows_columns) > 0
            is_valid &= (pixels > USABLE_RANGE[0]) & (pixels < USABLE_RANGE[1])
            pixels[~is_valid] = np.nan
            stacks.append(pixels)
        stored = np.concatenate(stacks)
        stored[:, ~stored.any(axis=0)] = np.nan
        return stored

    def _check_bands(self) -> None:
        n_bands = sum(dataset.count for dataset in self._datasets)
        wanted = ", ".join(self._bands)
        if n_bands != len(self._bands):
            raise TileShapeError(
                f"The {self._kind} raster {self.path} has {n_bands} band"
                f"{'' if n_bands == 1 else 's'}; {len(self._bands)} are needed: {wanted}.",
                hint="Store them in one file in this order, or one file a band with names that end "
                "in _B02, _B03, _B04, _B08 or _VV, _VH.",
                path=self.path,
            )
        for dataset in self._datasets[1:]:
            if dataset.shape != self._datasets[0].shape:
                raise TileShapeError(
                    f"The bands of the {self._kind} raster {self.path} differ in size: "
                    f"{self._datasets[0].shape} and {dataset.shape} ({dataset.name}).",
                    hint="Resample them to one grid of 10 m.",
                    path=self.path,
                )

    def _common_place(self) -> Georeference:
        first, *others = (self._place(dataset) for dataset in self._datasets)
        for other in others:
            if not first.covers_same_ground(other, self.size, self.size):
                raise TileGeoreferenceError(
                    f"The bands of the {self._kind} raster {self.path} lie at different places: "
                    f"{first} and {other}.",
                    hint="Cut them on one grid.",
                    path=self.path,
                )
        return first

    def _place(self, dataset: Any) -> Georeference:
        where = f"The {self._kind} raster {dataset.name}"
        if dataset.crs is None:
            points = dataset.gcps[0]
            raise TileGeoreferenceError(
                f"{where} has no coordinate reference system (CRS)"
                + (
                    f", only {len(points)} ground control points: it is in radar geometry."
                    if points
                    else "."
                ),
                hint="Correct it for the terrain (RTC), which puts it on a map grid."
                if points
                else "Give it one: gdal_edit.py -a_srs EPSG:32633 FILE.",
                path=dataset.name,
            )
        try:
            place = Georeference.of(dataset.crs.to_string(), dataset.transform)
        except ValueError as error:
            raise TileGeoreferenceError(
                f"{where} has a georeference that cannot be used: {error}.",
                hint="Write it anew: gdal_edit.py -a_srs and -a_ullr.",
                path=dataset.name,
            ) from error
        if place.is_rotated:
            raise TileGeoreferenceError(
                f"{where} is rotated: it lies at {place}.",
                hint="Warp it to a grid that runs along the axes: gdalwarp IN.tif OUT.tif.",
                path=dataset.name,
            )
        if not place.is_north_up:
            raise TileGeoreferenceError(
                f"{where} is south-up (or mirrored): it lies at {place}, and the network was "
                "trained on rasters whose rows run from north to south.",
                hint="Turn it over: gdalwarp IN.tif OUT.tif.",
                path=dataset.name,
            )
        return place
