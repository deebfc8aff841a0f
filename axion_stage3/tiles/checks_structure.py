"""Checks of what a file is: readable, understood, of the right shape and type.

They need the headers of the file alone, no pixel. Whatever ``infer`` refuses by these rules
(tile_loading.py) is an error here, and a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.errors import TileLayoutError
from axion_stage3.tiles.bands import MIN_TILE_PX
from axion_stage3.tiles.findings import Finding, FindingKind, Severity, Subject
from axion_stage3.tiles.georeference import GEOREFERENCE_KEYS
from axion_stage3.tiles.layouts import (
    OPTICAL_LAYOUTS,
    OUTPUT_LAYOUTS,
    RADAR_LAYOUTS,
    TRUTH_LAYOUTS,
    Layout,
    recognise,
)
from axion_stage3.tiles.npz_reader import DEFAULT_BYTE_BUDGET

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from axion_stage3.errors import TileGeoreferenceError, TileReadError
    from axion_stage3.tiles.npz_reader import MemberHeader

LARGE_MEMBER_BYTES: Final = 1 << 20
LARGE_MEMBER_RATIO: Final = 4.0
"""A member that is no band is oversized if it has more bytes than both limits allow: 1 MiB, and
four times the bands of the tile."""

_SHOWN_KEYS: Final = 8
_COMPANION_KEYS: Final = frozenset(("valid_mask", "opt_final_std"))
_LAYOUTS_OF: Final[Mapping[Subject, Sequence[Layout]]] = {
    "opt_v2": OPTICAL_LAYOUTS,
    "s1": RADAR_LAYOUTS,
    "opt_final": OUTPUT_LAYOUTS,
}
KNOWN_KEYS: Final = (_COMPANION_KEYS | GEOREFERENCE_KEYS).union(
    *(layout.keys for layout in (*OPTICAL_LAYOUTS, *RADAR_LAYOUTS, *OUTPUT_LAYOUTS, *TRUTH_LAYOUTS))
)
"""Every key that this project reads or writes."""

UNREADABLE_FILE: Final = FindingKind(
    id="AX-T001",
    severity=Severity.ERROR,
    title="The file cannot be read",
    measured="Whether the file is a whole NPZ: zip directory, headers, sizes and checksums.",
    meaning="It is missing, truncated, damaged, or not an NPZ at all. infer fails this tile.",
    remedy="Copy the file again from where it came from, or make it again.",
)
NO_LAYOUT: Final = FindingKind(
    id="AX-T002",
    severity=Severity.ERROR,
    title="No key layout that is understood",
    measured="The keys in the NPZ, against the three layouts of opt_v2 and the three of s1.",
    meaning="The bands cannot be found in the file. infer fails this tile.",
    remedy="Rename the keys: opt_v2, or s2_b2, s2_b3, s2_b4, s2_b8; s1, or s1_vv, s1_vh.",
)
WRONG_BAND_COUNT: Final = FindingKind(
    id="AX-T003",
    severity=Severity.ERROR,
    title="Wrong number of bands",
    measured="The first axis of the array: 4 for optical tiles, 2 for radar tiles.",
    meaning="A band is missing or there are too many. infer fails this tile.",
    remedy="Store blue, green, red, nir (B2, B3, B4, B8) or VV, VH, bands first.",
)
WRONG_RANK: Final = FindingKind(
    id="AX-T004",
    severity=Severity.ERROR,
    title="Wrong number of axes",
    measured="The rank: (band, y, x) for a stacked array, (y, x) for one array per band.",
    meaning="The array is not one tile: often an axis of the batch or of the band was left in.",
    remedy="Store one tile per file; numpy.squeeze removes axes of length 1.",
)
UNEVEN_BANDS: Final = FindingKind(
    id="AX-T005",
    severity=Severity.ERROR,
    title="Bands of one tile differ in size",
    measured="Height and width of each band array.",
    meaning="The bands lie on different grids, such as 10 m and 20 m. infer fails this tile.",
    remedy="Resample all bands to one grid of 10 m.",
)
TILE_TOO_SMALL: Final = FindingKind(
    id="AX-T006",
    severity=Severity.ERROR,
    title="Tile too small",
    measured=f"Height and width; at least {MIN_TILE_PX} px each.",
    meaning="There is too little context for the network. infer fails this tile.",
    remedy=f"Cut tiles of {MIN_TILE_PX} px or more; 120 or 256 px are usual.",
)
SIZES_DIFFER: Final = FindingKind(
    id="AX-T007",
    severity=Severity.ERROR,
    title="The tiles of a pair differ in size",
    measured="Height and width of opt_v2, s1 and opt_final.",
    meaning="They do not lie on one grid. infer fails this tile.",
    remedy="Cut both on one grid, or give --resample-s1 where both cover the same ground.",
)
UNUSABLE_TYPE: Final = FindingKind(
    id="AX-T008",
    severity=Severity.ERROR,
    title="Type of number that is not read",
    measured="The dtype: integers and float16, float32, float64 are read.",
    meaning="Objects, text, complex numbers, booleans and long doubles are no pixels, or differ "
    "from machine to machine. infer fails this tile.",
    remedy="Store float32: array.astype('float32').",
)
MIXED_TYPES: Final = FindingKind(
    id="AX-T009",
    severity=Severity.WARNING,
    title="Types that depend on the machine or differ between bands",
    measured="Byte order and dtype of the bands.",
    meaning="The tile is read correctly here, but other programs may read other values, and bands "
    "of different precision make results that are hard to reproduce.",
    remedy="Store all bands as little-endian float32: array.astype('<f4').",
)
CONVERTED_TYPE: Final = FindingKind(
    id="AX-T010",
    severity=Severity.INFO,
    title="Stored as another type than float32",
    measured="The dtype of the bands.",
    meaning="It is converted to float32 when it is read; float16 keeps about three digits.",
    remedy="Nothing needs to be done; float32 saves the conversion.",
)
FOREIGN_MEMBERS: Final = FindingKind(
    id="AX-T011",
    severity=Severity.INFO,
    title="Keys that are not used",
    measured="Keys of the NPZ that belong to no layout.",
    meaning="They are not read and do not come into the output.",
    remedy="Nothing needs to be done, unless a band hides under a wrong name.",
)
OVERSIZED_MEMBER: Final = FindingKind(
    id="AX-T012",
    severity=Severity.WARNING,
    title="Oversized key",
    measured="Bytes of a key that is no band: above 1 MiB and above 4 times the tile's bands; or "
    f"bands of more than {DEFAULT_BYTE_BUDGET >> 30} GiB, which is an error.",
    meaning="It makes reading and copying slow. Bands above the limit are refused by infer.",
    remedy="Leave the key out, or store it in a file of its own.",
)
SEVERAL_LAYOUTS: Final = FindingKind(
    id="AX-T013",
    severity=Severity.WARNING,
    title="More than one key layout",
    measured="The layouts whose keys are all in the file.",
    meaning="Only the first of them is used; the others may hold something else.",
    remedy="Store the bands once.",
)
NO_PARTNER: Final = FindingKind(
    id="AX-T014",
    severity=Severity.WARNING,
    title="Tile without a partner",
    measured="File names in the two folders, at any depth.",
    meaning="infer leaves this tile out: there is no file of this name in the other folder.",
    remedy="Give both files of a pair the same name.",
)
UNUSED_FILE: Final = FindingKind(
    id="AX-T015",
    severity=Severity.WARNING,
    title="File that is not used",
    measured="Name and kind of the files that end in .npz.",
    meaning="infer leaves it out: its name is unsafe, or it is a link that leads elsewhere.",
    remedy="Rename the file, or copy it into the folder in place of the link.",
)
BAD_GEOREFERENCE: Final = FindingKind(
    id="AX-T016",
    severity=Severity.ERROR,
    title="Georeference that cannot be used",
    measured="The keys crs (one text) and transform (six numbers): both or neither, and readable.",
    meaning="Where the tile lies would be lost or wrong. infer fails this tile.",
    remedy="Store numpy.array('EPSG:32633') as crs and a, b, c, d, e, f as transform, or leave out "
    "both.",
)
GEOREFERENCES_DIFFER: Final = FindingKind(
    id="AX-T017",
    severity=Severity.ERROR,
    title="The tiles of a pair lie at different places",
    measured="CRS and corners of opt_v2 and s1, to a hundredth of a pixel.",
    meaning="They show different places, or one of them says so wrongly. infer fails this tile.",
    remedy="Correct the georeference, or cut both tiles on one grid.",
)


def bad_georeference(error: TileGeoreferenceError, subject: Subject) -> Finding:
    """The finding for a georeference that was refused."""
    kind = GEOREFERENCES_DIFFER if subject == "pair" else BAD_GEOREFERENCE
    return kind.found(subject, error.message, advice=error.hint)


def unreadable(error: TileReadError, subject: Subject) -> Finding:
    """The finding for a file that the reader refused."""
    return UNREADABLE_FILE.found(subject, error.message, advice=error.hint)


def check_layout(names: Collection[str], subject: Subject) -> list[Finding]:
    """Check that the bands can be found, and only in one place.

    Args:
        names: Keys of the NPZ.
        subject: Which kind of tile it is to be.
    """
    layouts = _LAYOUTS_OF[subject]
    try:
        recognised = recognise(names, layouts)
    except TileLayoutError as error:
        advice = _advice_for_keys_of_another_kind(names, subject) or error.hint
        return [NO_LAYOUT.found(subject, error.message, advice=advice)]
    if subject == "opt_final":  # its two keys are aliases, and both are written
        return []
    others = [each for each in layouts if each != recognised and set(each.keys) <= set(names)]
    if not others:
        return []
    listed = "; ".join(", ".join(each.keys) for each in others)
    return [
        SEVERAL_LAYOUTS.found(
            subject, f"{', '.join(recognised.keys)} is used; the file also has {listed}."
        )
    ]


def _advice_for_keys_of_another_kind(names: Collection[str], subject: Subject) -> str:
    """What to do where the keys are those of another kind of tile; empty if they are not."""
    kinds = [
        kind
        for kind, layouts in _LAYOUTS_OF.items()
        if kind != subject and any(set(layout.keys) <= set(names) for layout in layouts)
    ]
    if not kinds:
        return ""
    if subject == "opt_final":
        return f"It is an input tile ({kinds[0]}): check it with --opt-v2-dir and --s1-dir."
    if "opt_final" in kinds:
        return "It is an output of a run, not an input: give the folder of the input tiles."
    return f"It is an {kinds[0]} tile: were --opt-v2-dir and --s1-dir swapped?"


def check_shapes(
    headers: Mapping[str, MemberHeader], layout: Layout, bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Check rank, band count and size.

    Args:
        headers: Headers of the file.
        layout: The layout that was recognised.
        bands: Names of the bands that the tile must have.
        subject: Which kind of tile it is.
    """
    shapes = {key: headers[key].shape for key in layout.keys}
    listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
    rank = 3 if layout.is_stacked else 2
    if any(len(shape) != rank for shape in shapes.values()):
        wanted = f"({len(bands)}, H, W)" if layout.is_stacked else "(H, W) for each band"
        return [WRONG_RANK.found(subject, f"The shape is {listed}; {wanted} is needed.")]
    if layout.is_stacked:
        n_bands, *_ = shape = shapes[layout.keys[0]]
        if n_bands != len(bands):
            return [_wrong_band_count(shape, layout.keys[0], bands, subject)]
    elif len(set(shapes.values())) > 1:
        return [UNEVEN_BANDS.found(subject, f"The bands differ in size: {listed}.")]
    height, width = shapes[layout.keys[0]][-2:]
    if min(height, width) < MIN_TILE_PX:
        return [
            TILE_TOO_SMALL.found(
                subject,
                f"The tile is {height} x {width} px; {MIN_TILE_PX} px each way are needed.",
                figures={"height_px": height, "width_px": width},
            )
        ]
    return []


def _wrong_band_count(
    shape: tuple[int, ...], key: str, bands: Sequence[str], subject: Subject
) -> Finding:
    advice = ""
    if shape[-1] == len(bands):
        advice = f"The bands come last; put them first: numpy.moveaxis({key}, -1, 0)."
    return WRONG_BAND_COUNT.found(
        subject,
        f"{key} has the shape {shape}: {shape[0]} bands where {len(bands)} are needed "
        f"({', '.join(bands)}).",
        advice=advice,
        figures={"n_bands": shape[0], "n_bands_needed": len(bands)},
    )


def check_types(
    headers: Mapping[str, MemberHeader], layout: Layout, subject: Subject
) -> list[Finding]:
    """Check the types of the bands: read at all, portable, float32."""
    types = {key: headers[key].descr for key in layout.keys}
    listed = ", ".join(f"{key} {descr[:20]!r}" for key, descr in types.items())
    dtypes = [headers[key].dtype for key in layout.keys]
    if any(dtype is None or dtype.kind == "b" for dtype in dtypes):
        return [UNUSABLE_TYPE.found(subject, f"The type is {listed}.")]
    if len(set(types.values())) > 1 or any(descr.startswith(">") for descr in types.values()):
        return [MIXED_TYPES.found(subject, f"The types are {listed}.")]
    if any(dtype != "float32" for dtype in dtypes):
        return [CONVERTED_TYPE.found(subject, f"The tile is stored as {dtypes[0]}.")]
    return []


def check_members(
    headers: Mapping[str, MemberHeader], layout: Layout, subject: Subject
) -> list[Finding]:
    """Check for keys that do not belong into a tile, and for keys that are too large."""
    band_bytes = sum(headers[key].n_bytes for key in layout.keys)
    findings = []
    if band_bytes > DEFAULT_BYTE_BUDGET:
        findings.append(
            OVERSIZED_MEMBER.found(
                subject,
                f"The bands take {band_bytes:,} bytes; at most {DEFAULT_BYTE_BUDGET:,} are read.",
                figures={"n_bytes": band_bytes},
                advice="Cut the scene into tiles, such as 256 x 256 px.",
                severity=Severity.ERROR,
            )
        )
    limit = max(LARGE_MEMBER_BYTES, LARGE_MEMBER_RATIO * band_bytes)
    others = [header for key, header in headers.items() if key not in layout.keys]
    findings += [
        OVERSIZED_MEMBER.found(
            subject,
            f"The key {_printable(header.name)} takes {header.n_bytes:,} bytes, "
            f"the bands {band_bytes:,}.",
            figures={"n_bytes": header.n_bytes},
        )
        for header in others
        if header.n_bytes > limit
    ]
    foreign = [_printable(header.name) for header in others if header.name not in KNOWN_KEYS]
    if foreign:
        more = f" and {len(foreign) - _SHOWN_KEYS} more" if len(foreign) > _SHOWN_KEYS else ""
        findings.append(
            FOREIGN_MEMBERS.found(
                subject,
                f"Not used: {', '.join(foreign[:_SHOWN_KEYS])}{more}.",
                figures={"n_keys": len(foreign)},
            )
        )
    return findings


def check_sizes(
    sizes: Mapping[str, tuple[int, int]], subject: Subject = "pair", *, is_resampled: bool = False
) -> list[Finding]:
    """Check that tiles that belong together have one size.

    Args:
        sizes: Height and width in pixels, by the name of the tile, such as ``s1``.
        subject: What the finding is about.
        is_resampled: Whether infer is told to resample s1 (``--resample-s1``).
    """
    if len(set(sizes.values())) <= 1:
        return []
    listed = ", ".join(f"{name} is {size[0]} x {size[1]} px" for name, size in sizes.items())
    if is_resampled:
        advice = "--resample-s1 resamples s1."
        return [SIZES_DIFFER.found(subject, f"{listed}.", advice=advice, severity=Severity.INFO)]
    return [SIZES_DIFFER.found(subject, f"{listed}.")]


def _printable(key: str) -> str:
    return key if key.isidentifier() else repr(key)[:40]


KINDS: Final = (
    UNREADABLE_FILE,
    NO_LAYOUT,
    WRONG_BAND_COUNT,
    WRONG_RANK,
    UNEVEN_BANDS,
    TILE_TOO_SMALL,
    SIZES_DIFFER,
    UNUSABLE_TYPE,
    MIXED_TYPES,
    CONVERTED_TYPE,
    FOREIGN_MEMBERS,
    OVERSIZED_MEMBER,
    SEVERAL_LAYOUTS,
    NO_PARTNER,
    UNUSED_FILE,
    BAD_GEOREFERENCE,
    GEOREFERENCES_DIFFER,
)
"""The kinds of findings of this module, in the order of the catalogue."""
