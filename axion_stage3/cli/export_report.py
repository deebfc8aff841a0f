"""What ``axion-stage3 export`` says it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.exporting.wording import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axion_stage3.exporting.run_export import Export

_MAX_LISTED: Final = 20


def export_lines(result: Export) -> Iterator[str]:
    """Where everything was written, and which tiles could not be exported."""
    if result.mosaic is not None:
        yield f"Mosaic of {counted(result.n_tiles, 'tile')}: {printable(result.mosaic)}"
    else:
        yield f"Exported {counted(result.n_exported, 'tile')} to {printable(result.output_dir)}/"
    if result.n_kept:
        yield f"Already there: {result.n_kept:,}"
    if result.bands:
        yield f"Bands: {', '.join(result.bands)}"
    if result.collection is not None:
        yield f"STAC collection: {printable(result.collection)}"
    for tile in result.failed[:_MAX_LISTED]:
        yield f"Not exported: {printable(tile.tile_name)}: {printable(tile.reason)}"
        if tile.hint:
            yield f"  Hint: {printable(tile.hint)}"
    if result.n_failed > _MAX_LISTED:
        yield f"... and {result.n_failed - _MAX_LISTED:,} more"
