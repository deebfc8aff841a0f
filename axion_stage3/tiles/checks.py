"""The catalogue: every kind of finding, by its id.

The checks themselves stand beside their kinds, by theme: structure (the file), pixels, stripes,
optical, radar, pair, output. docs/findings.md is generated from this catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.errors import UsageError
from axion_stage3.tiles import (
    checks_optical,
    checks_output,
    checks_pair,
    checks_pixels,
    checks_radar,
    checks_stripes,
    checks_structure,
)
from axion_stage3.tiles.tile_names import nearest_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.tiles.findings import FindingKind

THEMES: Final[Mapping[str, tuple[FindingKind, ...]]] = {
    "The file": checks_structure.KINDS,
    "The pixels of any tile": (*checks_pixels.KINDS, *checks_stripes.KINDS),
    "Optical tiles": checks_optical.KINDS,
    "Radar tiles": checks_radar.KINDS,
    "Pairs": checks_pair.KINDS,
    "Outputs and runs": checks_output.KINDS,
}
"""The kinds of findings by theme."""

CATALOGUE: Final[Mapping[str, FindingKind]] = {
    kind.id: kind
    for kind in sorted((k for kinds in THEMES.values() for k in kinds), key=lambda kind: kind.id)
}
"""The kinds of findings by id, in the order of the ids."""


def kind_of(finding_id: str) -> FindingKind:
    """Look a kind of finding up.

    Args:
        finding_id: Such as ``AX-T007``, in any case; ``T007`` and ``7`` do too.

    Raises:
        UsageError: There is no such id, or it is that of an error.
    """
    wanted = finding_id.strip().upper().removeprefix("AX-").removeprefix("T")
    kind = CATALOGUE.get(f"AX-T{wanted.zfill(3)}")
    if kind is not None:
        return kind
    if wanted.startswith("E"):
        raise UsageError(
            f"{finding_id!r} is the code of an error, not of a finding.",
            hint="docs/errors.md says what each error means.",
        )
    near = nearest_names(f"AX-T{wanted}", CATALOGUE) or [min(CATALOGUE), max(CATALOGUE)]
    raise UsageError(
        f"There is no finding {finding_id!r}.",
        hint=f"Near it: {', '.join(near)}. `axion-stage3 explain` lists them all.",
    )
