"""A tile as it stands in its file, with what the checks of the file say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import TileGeoreferenceError, TileReadError
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS
from axion_stage3.tiles.checks_structure import (
    bad_georeference,
    check_layout,
    check_members,
    check_shapes,
    check_types,
    unreadable,
)
from axion_stage3.tiles.findings import Finding, Severity, Subject, worst
from axion_stage3.tiles.georeference import Georeference, read_georeference
from axion_stage3.tiles.layouts import (
    OPTICAL_LAYOUTS,
    OUTPUT_LAYOUTS,
    RADAR_LAYOUTS,
    Layout,
    recognise,
)
from axion_stage3.tiles.npz_reader import MemberHeader, NpzArchive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from axion_stage3.storage.locations import Location

LAYOUTS: Final[Mapping[Subject, Sequence[Layout]]] = {
    "opt_v2": OPTICAL_LAYOUTS,
    "s1": RADAR_LAYOUTS,
    "opt_final": OUTPUT_LAYOUTS,
}
"""The key layouts of each kind of tile."""

BANDS: Final[Mapping[Subject, tuple[str, ...]]] = {
    "opt_v2": OPTICAL_BANDS,
    "s1": RADAR_BANDS,
    "opt_final": OPTICAL_BANDS,
}
"""The bands of each kind of tile."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTile:
    """A tile as it stands in its file.

    Attributes:
        subject: Which kind of tile it is.
        path: The file.
        headers: Headers of all its arrays; empty if it cannot be read.
        layout: The key layout; None if none was recognised.
        findings: What the checks of the file found.
        stored: (band, y, x) float32, values as stored; None if they cannot be used at all.
        companions: Further arrays that were asked for and are there, by key, as float32.
        georeference: Where the tile lies; None if it does not say, or not so that it can be used.
    """

    subject: Subject
    path: Location
    headers: Mapping[str, MemberHeader]
    layout: Layout | None
    findings: tuple[Finding, ...]
    stored: NDArray[np.float32] | None
    companions: Mapping[str, NDArray[np.float32]]
    georeference: Georeference | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return BANDS[self.subject]

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels; None if the tile cannot be used."""
        if self.stored is None:
            return None
        height, width = self.stored.shape[1:]
        return height, width


def read_stored_tile(
    path: Location, subject: Subject, *, companions: Collection[str] = ()
) -> StoredTile:
    """Open a tile and check its file. Never raises: what is wrong is a finding.

    Args:
        path: The NPZ file; it need not exist.
        subject: Which kind of tile it is to be.
        companions: Keys of further arrays to read where they are there.
    """
    headers: dict[str, MemberHeader] = {}
    findings: list[Finding] = []
    layout: Layout | None = None
    stored: NDArray[np.float32] | None = None
    others: dict[str, NDArray[np.float32]] = {}
    georeference: Georeference | None = None
    try:
        with NpzArchive(path) as archive:
            headers = archive.headers()
            findings = check_layout(headers, subject)
            if not findings or worst(findings) != Severity.ERROR:
                layout = recognise(headers, LAYOUTS[subject])
                findings += check_shapes(headers, layout, BANDS[subject], subject)
                findings += check_types(headers, layout, subject)
                findings += check_members(headers, layout, subject)
            if layout is not None and worst(findings) != Severity.ERROR:
                stored = _as_float32(archive.read(layout.keys), layout)
                wanted = [key for key in companions if key in headers]
                others = {key: _single(array) for key, array in archive.read(wanted).items()}
                georeference = read_georeference(archive, path)
    except TileGeoreferenceError as error:
        findings.append(bad_georeference(error, subject))
    except TileReadError as error:
        findings.append(unreadable(error, subject))
        stored = None
    return StoredTile(subject, path, headers, layout, tuple(findings), stored, others, georeference)


def _as_float32(arrays: Mapping[str, NDArray[Any]], layout: Layout) -> NDArray[np.float32]:
    """The bands as one array (band, y, x)."""
    if layout.is_stacked:
        return _single(arrays[layout.keys[0]])
    return np.stack([_single(arrays[key]) for key in layout.keys])


def _single(array: NDArray[Any]) -> NDArray[np.float32]:
    """As float32; what that cannot hold becomes infinite, and is found as such."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, dtype=np.float32)
