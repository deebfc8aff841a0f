"""In which units a product stores its pixels, as far as its tags say so.

Recognised, in this order: scale and offset of the bands (as GDAL has them); the quantification and
the offset of Sentinel-2 products; the unit of the bands of radar products. What tags say in part,
such as a processing baseline without its offset, is reported and not completed: a thousand digital
numbers too many are a reflectance of 0.1, which looks like haze.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from axion_stage3.errors import TileUnitsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from axion_stage3.tiles.tile_loading import LoadOptions

RadarUnits: TypeAlias = Literal["db", "linear"]

FIRST_OFFSET_BASELINE: Final = (4, 0)
"""Processing baseline since which Sentinel-2 digital numbers carry an offset (25 January 2022)."""

_QUANTIFICATION_KEYS: Final = (
    "BOA_QUANTIFICATION_VALUE",
    "L2A_BOA_QUANTIFICATION_VALUE",
    "QUANTIFICATION_VALUE",
)
_OFFSET_KEYS: Final = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_BASELINE_KEYS: Final = ("PROCESSING_BASELINE", "S2:PROCESSING_BASELINE")
_UNIT_KEYS: Final = ("UNITS", "UNIT", "BACKSCATTER_UNITS", "BACKSCATTER_UNIT", "OUTPUT_UNITS")
_DB_WORDS: Final = frozenset(("db", "decibel", "decibels"))
_LINEAR_WORDS: Final = frozenset(
    ("linear", "power", "linear power", "linear_power", "intensity", "m2/m2", "m^2/m^2")
)
_AMPLITUDE_WORDS: Final = frozenset(("amplitude", "dn", "digital number", "digital numbers"))


@dataclass(frozen=True, slots=True)
class RasterFacts:
    """What the tags of a raster say.

    Attributes:
        path: The first of its files.
        tags: Tags of the raster, keys in upper case.
        band_tags: Tags of each band, keys in upper case.
        scales: Scale of each band; 1 if there is none.
        offsets: Offset of each band; 0 if there is none.
        units: Unit of each band; empty if there is none.
        is_integer: Whether the pixels are stored as integers.
    """

    path: Path
    tags: Mapping[str, str]
    band_tags: tuple[Mapping[str, str], ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str, ...]
    is_integer: bool


@dataclass(frozen=True, slots=True)
class OpticalScaling:
    """How stored values become reflectance: ``stored * scales + offsets``.

    Attributes:
        scales: One a band.
        offsets: One a band.
        source: Where this is from, in words.
    """

    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    source: str


def facts_of(datasets: Sequence[Any], path: Path) -> RasterFacts:
    """Gather what the tags of one raster say; its files are open rasterio datasets."""
    bands = [(dataset, number) for dataset in datasets for number in dataset.indexes]
    return RasterFacts(
        path=path,
        tags={key.upper(): text for dataset in datasets for key, text in dataset.tags().items()},
        band_tags=tuple(
            {key.upper(): text for key, text in dataset.tags(number).items()}
            for dataset, number in bands
        ),
        scales=tuple(float(dataset.scales[number - 1]) for dataset, number in bands),
        offsets=tuple(float(dataset.offsets[number - 1]) for dataset, number in bands),
        units=tuple((dataset.units[number - 1] or "").strip() for dataset, number in bands),
        is_integer=all(dataset.dtypes[number - 1][:1] in "iu" for dataset, number in bands),
    )


def optical_scaling(facts: RasterFacts, options: LoadOptions) -> OpticalScaling:
    """Decide how stored values become reflectance.

    Args:
        facts: What the tags say.
        options: What the user says, which wins.

    Raises:
        TileUnitsError: The tags say half of it.
    """
    n = len(facts.scales)
    if options.opt_scale != 1 or options.opt_offset != 0:
        scale = 1 / options.opt_scale
        source = f"--opt-scale {options.opt_scale:g} --opt-offset {options.opt_offset:g}"
        return OpticalScaling((scale,) * n, (options.opt_offset * scale,) * n, source)
    if any(scale != 1 for scale in facts.scales) or any(facts.offsets):
        return OpticalScaling(facts.scales, facts.offsets, "scale and offset of the bands")
    quantification = _number(facts.tags, _QUANTIFICATION_KEYS)
    offsets = _band_offsets(facts, n)
    baseline = _baseline(facts.tags)
    if quantification is None or quantification <= 0:
        if offsets is None and (baseline is None or not facts.is_integer):
            return OpticalScaling((1.0,) * n, (0.0,) * n, "no tags: taken as reflectance")
        raise _half_said(facts.path, "no quantification value")
    if offsets is None:
        if baseline is None or baseline >= FIRST_OFFSET_BASELINE:
            raise _half_said(facts.path, _unknown_offset(baseline))
        offsets = (0.0,) * n
    scale = 1 / quantification
    return OpticalScaling(
        (scale,) * n,
        tuple(offset * scale for offset in offsets),
        f"tags: quantification {quantification:g}, offset {offsets[0]:g}",
    )


def radar_units(facts: RasterFacts, options: LoadOptions) -> tuple[RadarUnits, str]:
    """Decide in which units backscatter is stored, and say where that is from.

    Raises:
        TileUnitsError: The tags say amplitude, two things at once, or other than the option.
    """
    said = {unit for text in _unit_texts(facts) if (unit := _unit_of(text)) is not None}
    if "amplitude" in said:
        raise TileUnitsError(
            f"The radar raster {facts.path} holds amplitudes or digital numbers by its tags.",
            hint="Calibrate it to sigma0 or gamma0, in linear power or dB.",
            path=facts.path,
        )
    if len(said) > 1:
        raise TileUnitsError(
            f"The tags of the radar raster {facts.path} say both dB and linear power.",
            hint="Correct its tags, or store both bands in the same unit.",
            path=facts.path,
        )
    if said == {"db"} and options.s1_units == "linear":
        raise TileUnitsError(
            f"The radar raster {facts.path} is in dB by its tags, and --s1-units says linear.",
            hint="Leave out --s1-units linear.",
            path=facts.path,
        )
    if said == {"linear"}:
        return "linear", "tags: linear power"
    if said == {"db"}:
        return "db", "tags: dB"
    return options.s1_units, f"no tags: --s1-units {options.s1_units}"


def _band_offsets(facts: RasterFacts, n: int) -> tuple[float, ...] | None:
    """The offset of each band in digital numbers; None if the tags do not say."""
    per_band = [_number(tags, _OFFSET_KEYS) for tags in facts.band_tags]
    if all(offset is not None for offset in per_band):
        return tuple(offset for offset in per_band if offset is not None)
    common = _number(facts.tags, _OFFSET_KEYS)
    return None if common is None else (common,) * n


def _number(tags: Mapping[str, str], keys: Sequence[str]) -> float | None:
    for key in keys:
        try:
            return float(tags[key])
        except (KeyError, ValueError):
            continue
    return None


def _baseline(tags: Mapping[str, str]) -> tuple[int, int] | None:
    for key in _BASELINE_KEYS:
        match = re.fullmatch(r"\s*N?(\d{2})\.?(\d{2})\s*", tags.get(key, ""))
        if match:
            return int(match[1]), int(match[2])
    return None


def _unknown_offset(baseline: tuple[int, int] | None) -> str:
    if baseline is None:
        return "a quantification value, but neither an offset nor a processing baseline"
    return (
        f"processing baseline {baseline[0]:02d}.{baseline[1]:02d}, whose digital numbers carry an "
        "offset unless somebody has taken it off, and no offset"
    )


def _half_said(path: Path, what: str) -> TileUnitsError:
    return TileUnitsError(
        f"The tags of the optical raster {path} say half of how its values become reflectance: "
        f"{what}.",
        hint="Say it: --opt-scale 10000 --opt-offset -1000 for digital numbers with the offset of "
        "baseline 04.00 and later, --opt-scale 10000 for those without.",
        path=path,
    )


def _unit_texts(facts: RasterFacts) -> list[str]:
    texts = [unit for unit in facts.units if unit]
    for tags in (facts.tags, *facts.band_tags):
        texts += [tags[key] for key in _UNIT_KEYS if key in tags]
    return texts


def _unit_of(text: str) -> Literal["db", "linear", "amplitude"] | None:
    word = " ".join(text.lower().split())
    if word in _DB_WORDS:
        return "db"
    if word in _LINEAR_WORDS:
        return "linear"
    return "amplitude" if word in _AMPLITUDE_WORDS else None
