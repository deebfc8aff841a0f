"""STAC items and their collection: what a catalogue needs to know about exported rasters.

STAC 1.1 with the extensions projection 2.0, eo 2.0, raster 2.0 and processing 1.2. The time of
acquisition stands in no tile, so that it must be given.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import axion_stage3
from axion_stage3.errors import TileGeoreferenceError, UsageError
from axion_stage3.rasters.geotiff_writing import as_crs
from axion_stage3.rasters.rasterio_access import require_rasterio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from axion_stage3.rasters.raster_bands import BandFacts, StoredType
    from axion_stage3.tiles.georeference import Georeference

STAC_VERSION: Final = "1.1.0"
_EXTENSIONS: Final = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "eo/v2.0.0", "raster/v2.0.0", "processing/v1.2.0")
)
_COG_TYPE: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_EDGE_POINTS: Final = 5
_DEGREE_DIGITS: Final = 7


@dataclass(frozen=True, slots=True)
class AcquisitionTime:
    """When the scene was seen.

    Attributes:
        start: UTC.
        end: UTC; the same for a single moment.
    """

    start: datetime
    end: datetime

    @property
    def properties(self) -> dict[str, str | None]:
        """The entries of an item."""
        if self.start == self.end:
            return {"datetime": _stamp(self.start)}
        return {
            "datetime": None,
            "start_datetime": _stamp(self.start),
            "end_datetime": _stamp(self.end),
        }


@dataclass(frozen=True, slots=True)
class StacSubject:
    """What an item is about.

    Attributes:
        item_id: Its id.
        georeference: Where it lies.
        size: Height and width, in pixels.
        facts: What its bands are.
        stored_type: How they are stored.
        assets: Role (``data``, ``thumbnail``) to file name beside the item.
    """

    item_id: str
    georeference: Georeference
    size: tuple[int, int]
    facts: tuple[BandFacts, ...]
    stored_type: StoredType
    assets: Mapping[str, str]


def parse_acquisition_time(text: str | None) -> AcquisitionTime:
    """Read a date, a time, or an interval of two with a slash between.

    Args:
        text: Such as ``2017-06-13``, ``2017-06-13T10:10:31Z`` or ``2017-06-01/2017-06-30``.

    Raises:
        UsageError: It is missing, or no time.
    """
    hint = "Give --datetime 2017-06-13, 2017-06-13T10:10:31Z, or an interval with a slash."
    if not text:
        raise UsageError(
            "STAC items need the time of acquisition, which the tiles do not hold.", hint=hint
        )
    first, _, second = text.partition("/")
    try:
        start, end = _moment(first), _moment(second or first)
    except ValueError:
        raise UsageError(f"{text!r} is no time.", hint=hint) from None
    if end < start:
        raise UsageError(f"{text!r} ends before it begins.", hint=hint)
    return AcquisitionTime(start, end)


def item_id_of(tile_name: str) -> str:
    """The id of a tile's item: its name without extension, folders joined by two underscores."""
    return re.sub(r"[^\w.~-]", "_", tile_name.rpartition(".")[0].replace("/", "__")) or "tile"


def stac_item(
    subject: StacSubject, when: AcquisitionTime, processing: Mapping[str, str], collection: str
) -> dict[str, Any]:
    """Make the item of one raster.

    Args:
        subject: What it is about.
        when: When the scene was seen.
        processing: Facts about the run, for ``processing:lineage``.
        collection: Href of the collection, relative to the item.

    Raises:
        TileGeoreferenceError: The CRS is not known, or has no way to geographic coordinates.
    """
    geometry, bbox = _footprint(subject.georeference, subject.size)
    a, b, c, d, e, f = subject.georeference.transform
    lineage = ", ".join(f"{key} {value}" for key, value in processing.items())
    links = [
        {"rel": rel, "href": collection, "type": "application/json"}
        for rel in ("root", "parent", "collection")
    ]
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(_EXTENSIONS),
        "id": subject.item_id,
        "collection": COLLECTION_ID,
        "geometry": geometry,
        "bbox": bbox,
        "properties": {
            **when.properties,
            **_projection(subject.georeference.crs),
            "proj:shape": list(subject.size),
            "proj:transform": [a, b, c, d, e, f],
            **_ground_distance(subject.georeference),
            "processing:level": "L3",
            "processing:lineage": f"SAR grounding of a synthetic optical tile: {lineage}",
            "processing:software": {"axion-stage3": axion_stage3.__version__},
        },
        "links": links,
        "assets": _assets(subject),
    }


COLLECTION_ID: Final = "axion-stage3"


def require_extent(item: Any) -> None:
    """Make sure that an item says where and when it is, as a collection needs it.

    Args:
        item: What was read from a file.

    Raises:
        ValueError: It does not say so.
        TypeError: It is no item.
        LookupError: It is no item.
    """
    box = item["bbox"]
    if len(box) != 4 or not all(-180 <= edge <= 180 for edge in box):
        raise ValueError("It has no box.")
    if not all(isinstance(moment, str) for moment in _times(item)):
        raise ValueError("It has no time.")


def stac_collection(items: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Make the collection of some items.

    Args:
        items: Href and document of each item, at least one.
    """
    links: list[dict[str, str]] = [
        {"rel": "root", "href": "./collection.json", "type": "application/json"}
    ]
    boxes, times = [], []
    for href, item in items:
        links.append({"rel": "item", "href": href, "type": "application/geo+json"})
        boxes.append(item["bbox"])
        times += _times(item)
    west, south = (min(box[i] for box in boxes) for i in (0, 1))
    east, north = (max(box[i] for box in boxes) for i in (2, 3))
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": COLLECTION_ID,
        "title": "Grounded optical tiles",
        "description": "Synthetic optical tiles, corrected where the radar contradicts them "
        "(axion-stage3). They are estimates, not acquisitions.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[west, south, east, north]]},
            "temporal": {"interval": [[min(times), max(times)]]},
        },
        "links": links,
    }


def _times(item: Mapping[str, Any]) -> list[str]:
    """When an item begins and ends."""
    properties = item["properties"]
    moment = properties["datetime"]
    return [properties.get("start_datetime", moment), properties.get("end_datetime", moment)]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _projection(crs: str) -> dict[str, Any]:
    if re.fullmatch(r"[A-Z]+:\d+", crs):
        return {"proj:code": crs}
    return {"proj:code": None, "proj:wkt2": as_crs(crs).to_wkt(version="WKT2_2019")}


def _ground_distance(georeference: Georeference) -> dict[str, float]:
    """The size of a pixel on the ground, where the CRS has it."""
    is_projected = as_crs(georeference.crs).is_projected
    return {"gsd": math.hypot(*georeference.transform[::3][:2])} if is_projected else {}


def _footprint(
    georeference: Georeference, size: tuple[int, int]
) -> tuple[dict[str, Any], list[float]]:
    """Outline in geographic coordinates, with points along its edges, and its box."""
    corners = [tuple(corner) for corner in georeference.corners(*size).tolist()]
    outline = []
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        for step in range(_EDGE_POINTS):
            share = step / _EDGE_POINTS
            outline.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    rasterio = require_rasterio()
    warp = require_rasterio("rasterio.warp")
    try:
        xs, ys = zip(*outline, strict=True)
        longitudes, latitudes = warp.transform(as_crs(georeference.crs), "EPSG:4326", xs, ys)
    except (rasterio.errors.RasterioError, ValueError) as error:
        raise TileGeoreferenceError(
            f"{georeference} cannot be brought into geographic coordinates: {error}.",
            hint="Check the CRS of the tile, or give --georeference.",
        ) from error
    points = [
        [round(x, _DEGREE_DIGITS), round(y, _DEGREE_DIGITS)]
        for x, y in zip(longitudes, latitudes, strict=True)
    ]
    points.reverse()  # GeoJSON runs counterclockwise
    ring = [*points, points[0]]
    box = [min(x for x, _ in ring), min(y for _, y in ring)]
    box += [max(x for x, _ in ring), max(y for _, y in ring)]
    return {"type": "Polygon", "coordinates": [ring]}, box


def _assets(subject: StacSubject) -> dict[str, Any]:
    is_integer = subject.stored_type == "int16"
    bands = []
    for band in subject.facts:
        entry: dict[str, Any] = {
            "name": band.name,
            "description": band.description,
            "unit": band.unit,
        }
        if is_integer:
            entry |= {"raster:scale": band.integer_scale, "raster:offset": 0.0}
        if band.common_name:
            entry["eo:common_name"] = band.common_name
            entry["eo:center_wavelength"] = band.wavelength_um
        bands.append(entry)
    assets: dict[str, Any] = {
        "data": {
            "href": f"./{subject.assets['data']}",
            "type": _COG_TYPE,
            "title": "Grounded optical tile",
            "roles": ["data"],
            "data_type": subject.stored_type,
            "nodata": -32768 if is_integer else "nan",
            "raster:sampling": "area",
            "bands": bands,
        }
    }
    if "thumbnail" in subject.assets:
        assets["thumbnail"] = {
            "href": f"./{subject.assets['thumbnail']}",
            "type": "image/png",
            "title": "Natural colours",
            "roles": ["thumbnail"],
        }
    return assets
