"""Hypothesis strategies for tiles and journals, honest ones and damaged ones.

They need Hypothesis: ``pip install 'axion-stage3[testing]'``. Nothing else in the package does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import MissingExtraError
from axion_stage3.runs.journal_lines import encode_outcome
from axion_stage3.runs.outcome import OUTCOME_NAMES, TileOutcome
from axion_stage3.testing.tile_factories import SyntheticTile, make_tile
from axion_stage3.tiles.layouts import OPTICAL_LAYOUTS, RADAR_LAYOUTS

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as nps
except ImportError as error:
    raise MissingExtraError(
        "The strategies need Hypothesis, which is not installed.",
        hint="pip install 'axion-stage3[testing]'",
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    StoredArrays = Mapping[str, NDArray[Any]]

_SMALLEST_PX: Final = 16
_MOST_PX: Final = 40
_TILE_DTYPES: Final = ("<f4", ">f4", "<f8", ">f8", "<f2")
_WILD_VALUES: Final = (0.0, -1.0, 1e-30, 1e30, 5000.0, math.nan, math.inf, -math.inf)
_DIGESTS: Final = ("a" * 16, "b" * 16)


def synthetic_tiles() -> st.SearchStrategy[SyntheticTile]:
    """Tiles that look like real ones, of 16 to 40 px a side."""
    sizes = st.integers(_SMALLEST_PX, _MOST_PX)
    return st.builds(make_tile, st.integers(0, 2**32), sizes, sizes)


@st.composite
def honest_pairs(draw: st.DrawFn) -> tuple[StoredArrays, StoredArrays]:
    """Draw what the two files of a good pair hold: any key layout, floating-point type and order.

    Returns:
        The arrays of the opt_v2 file and of the s1 file, by key.
    """
    tile = draw(synthetic_tiles())
    stored = []
    for bands, layouts in ((tile.opt_v2, OPTICAL_LAYOUTS), (tile.s1, RADAR_LAYOUTS)):
        layout = draw(st.sampled_from(layouts))
        array = bands.astype(draw(st.sampled_from(_TILE_DTYPES)))
        array = np.asfortranarray(array) if draw(st.booleans()) else array
        pieces = (array,) if layout.is_stacked else tuple(array)
        stored.append(dict(zip(layout.keys, pieces, strict=True)))
    return stored[0], stored[1]


@st.composite
def spoiled_pairs(draw: st.DrawFn) -> tuple[StoredArrays, StoredArrays]:
    """Draw a pair in which something is changed: values, types, shapes or keys, or nothing.

    A reader must load it or refuse it with a `TileError`.

    Returns:
        The arrays of the opt_v2 file and of the s1 file, by key.
    """
    optical, radar = (dict(arrays) for arrays in draw(honest_pairs()))
    for _ in range(draw(st.integers(0, 3))):
        arrays = draw(st.sampled_from((optical, radar)))
        if not arrays:
            continue
        key = draw(st.sampled_from(sorted(arrays)))
        array = arrays.pop(key)
        kind = draw(st.sampled_from(("value", "key", "plain", "cut", "rank", "scale", "drop")))
        if kind == "value":
            arrays[key] = array.copy()
            place = draw(st.integers(0, max(0, array.size - 1)))
            value = _cast_value(draw(st.sampled_from(_WILD_VALUES)), array.dtype)
            arrays[key].flat[place : place + 1] = value
        elif kind == "key":
            arrays[draw(array_keys())] = array
        elif kind == "plain":
            arrays[key] = draw(plain_arrays())
        elif kind == "cut":
            arrays[key] = np.atleast_1d(array)[..., : draw(st.integers(0, 20))]
        elif kind == "rank":
            arrays[key] = array[np.newaxis] if draw(st.booleans()) else array[..., np.newaxis]
        elif kind == "scale":
            with np.errstate(all="ignore"):
                scaled = array.astype(np.float64) * draw(st.sampled_from((0, 10_000, -1)))
                arrays[key] = scaled.astype(array.dtype)
    return optical, radar


def array_keys() -> st.SearchStrategy[str]:
    """Keys that an array in an NPZ may have."""
    return st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)


@st.composite
def plain_arrays(draw: st.DrawFn) -> NDArray[Any]:
    """Draw a small array of any plain numbers: any bit pattern, NaN payloads included."""
    dtype = draw(_plain_dtypes())
    shape = draw(nps.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    content = random.integers(0, 256, math.prod(shape) * dtype.itemsize).astype(np.uint8)
    if dtype.kind == "b":
        content &= 1
    return content.view(dtype).reshape(shape)


def npz_contents() -> st.SearchStrategy[dict[str, NDArray[Any]]]:
    """What an NPZ file may hold: up to four plain arrays by key."""
    return st.dictionaries(array_keys(), plain_arrays(), max_size=4)


def tile_names() -> st.SearchStrategy[str]:
    """Names that a tile may have: up to two sub-folders, letters of any script, spaces."""
    letters = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))
    parts = st.text(letters.filter(lambda sign: sign not in "/\\"), min_size=1, max_size=12)
    visible = parts.filter(lambda part: not part.startswith("."))
    return st.lists(visible, min_size=1, max_size=3).map(lambda path: "/".join(path) + ".npz")


def outcomes(
    tiles: st.SearchStrategy[str] | None = None,
) -> st.SearchStrategy[TileOutcome]:
    """What may become of a tile.

    Args:
        tiles: Names; three fixed ones if left out, so that later outcomes meet earlier ones.
    """
    texts = st.text(st.characters(codec=None), min_size=1, max_size=12)
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
    inputs = st.sampled_from(("5" * 16, "6" * 16))
    return st.builds(
        TileOutcome,
        tile=st.sampled_from(("a.npz", "b.npz", "sub/ü.npz")) if tiles is None else tiles,
        outcome=st.sampled_from(OUTCOME_NAMES),
        fingerprint=st.tuples(st.sampled_from(_DIGESTS), inputs).map("-".join),
        phase=st.sampled_from((None, "read", "write")),
        message=texts | st.just(',"statistics":{}'),
        output_bytes=st.integers(0, 2**40),
        statistics=st.none() | st.dictionaries(texts, numbers, max_size=3),
        stage_seconds=st.dictionaries(st.sampled_from(("read", "statistics")), st.floats(0, 9)),
    )


def journals() -> st.SearchStrategy[list[list[TileOutcome]]]:
    """The outcomes of one to three sessions on one output folder, the oldest session first."""
    return st.lists(st.lists(outcomes(), max_size=5), min_size=1, max_size=3)


@st.composite
def damaged_journals(draw: st.DrawFn) -> tuple[list[list[TileOutcome]], list[bytes]]:
    """Draw the outcomes of sessions, and their journal files after an accident.

    Cut short, with flipped bytes, with a piece of one file inside another.

    Returns:
        What was written, and what is left of each file.
    """
    written = draw(journals())
    encoded = [b"".join(encode_outcome(o, 1.0) for o in lines) for lines in written]
    left = []
    for content in encoded:
        other = draw(st.sampled_from(encoded))
        cut = draw(st.integers(0, len(content)))
        damaged = bytearray(content[:cut] + other[draw(st.integers(0, len(other))) :])
        for _ in range(draw(st.integers(0, 2)) if damaged else 0):
            damaged[draw(st.integers(0, len(damaged) - 1))] ^= draw(st.integers(1, 255))
        left.append(bytes(damaged))
    return written, left


def _plain_dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    floats = st.sampled_from("<>").flatmap(lambda order: nps.floating_dtypes(endianness=order))
    integers = nps.integer_dtypes(endianness=">") | nps.unsigned_integer_dtypes()
    dtypes: st.SearchStrategy[np.dtype[Any]] = floats | integers | nps.boolean_dtypes()
    return dtypes.filter(lambda dtype: dtype.itemsize <= 8)


def _cast_value(value: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(dtype)
