"""The numbers that describe a scene which is only ever seen strip by strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from axion_stage3.statistics.image_quality import ndvi
from axion_stage3.statistics.tile_statistics import TILE_NAME
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


@dataclass(slots=True)
class SceneStatistics:
    """Sums over the pixels with data; strips may come in any order.

    Attributes:
        n_pixels: Number of pixels with data.
        sums: Sum of each band.
        squares: Sum of the squares of each band.
        lows: Least value of each band.
        highs: Greatest value of each band.
        changes: Sum of |opt_final - opt_v2| of each band.
        change_max: Greatest of these.
        ndvi_sum: Sum of the vegetation index.
        radar_sums: Sum of vv and vh, in dB.
    """

    n_pixels: int
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    changes: NDArray[np.float64]
    change_max: float
    ndvi_sum: float
    radar_sums: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        opt_final: NDArray[np.float32],
        opt_v2: NDArray[np.float32],
        s1: NDArray[np.float32],
        is_valid: NDArray[np.bool_],
    ) -> Self:
        """Sum up one strip.

        Args:
            opt_final: (4, y, x) reflectance.
            opt_v2: (4, y, x) reflectance.
            s1: (2, y, x) backscatter in dB.
            is_valid: (y, x), which pixels count.
        """
        pixels = opt_final[:, is_valid].astype(np.float64)
        change = np.abs(pixels - opt_v2[:, is_valid])
        has_any = pixels.shape[1] > 0
        return cls(
            n_pixels=pixels.shape[1],
            sums=pixels.sum(axis=1),
            squares=np.square(pixels).sum(axis=1),
            lows=pixels.min(axis=1) if has_any else np.full(len(pixels), np.inf),
            highs=pixels.max(axis=1) if has_any else np.full(len(pixels), -np.inf),
            changes=change.sum(axis=1),
            change_max=float(change.max()) if has_any else 0.0,
            ndvi_sum=float(ndvi(pixels).sum()),
            radar_sums=s1[:, is_valid].sum(axis=1, dtype=np.float64),
        )

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """Join the sums of strips, at least one, in their order."""
        first, *others = parts
        for part in others:
            first = cls(
                n_pixels=first.n_pixels + part.n_pixels,
                sums=first.sums + part.sums,
                squares=first.squares + part.squares,
                lows=np.minimum(first.lows, part.lows),
                highs=np.maximum(first.highs, part.highs),
                changes=first.changes + part.changes,
                change_max=max(first.change_max, part.change_max),
                ndvi_sum=first.ndvi_sum + part.ndvi_sum,
                radar_sums=first.radar_sums + part.radar_sums,
            )
        return first

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays of numbers, to be kept in a file."""
        return {f"sum_{name}": np.asarray(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `as_arrays`.

        Raises:
            KeyError: An array is missing.
        """
        values: dict[str, Any] = {name: np.asarray(arrays[f"sum_{name}"]) for name in cls.__slots__}
        values["n_pixels"] = int(values["n_pixels"])
        values["change_max"] = float(values["change_max"])
        values["ndvi_sum"] = float(values["ndvi_sum"])
        return cls(**values)

    def describe(self, name: str) -> dict[str, float | str]:
        """The fields of `tile_statistics`, for a scene; empty but for the name without any data."""
        n, n_bands = self.n_pixels, len(self.sums)
        if n == 0:
            return {TILE_NAME: name}
        means = self.sums / n
        variances = np.maximum(self.squares / n - means**2, 0)
        mean = float(self.sums.sum() / (n * n_bands))
        variance = max(float(self.squares.sum() / (n * n_bands)) - mean**2, 0.0)
        statistics: dict[str, float | str] = {
            TILE_NAME: name,
            "opt_final_mean": mean,
            "opt_final_std": variance**0.5,
            "change_mean": float(self.changes.sum() / (n * n_bands)),
            "change_max": self.change_max,
        }
        per_band = {
            "mean": means,
            "std": np.sqrt(variances),
            "min": self.lows,
            "max": self.highs,
            "change_mean": self.changes / n,
        }
        for quantity, values in per_band.items():
            for band, value in zip(OPTICAL_BANDS, values, strict=True):
                statistics[f"{band}_{quantity}"] = float(value)
        statistics["ndvi_mean"] = self.ndvi_sum / n
        for band, total in zip(RADAR_BANDS, self.radar_sums, strict=True):
            statistics[f"{band}_mean"] = float(total / n)
        return statistics
