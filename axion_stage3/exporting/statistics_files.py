"""The statistics of a run's tiles as CSV and as Parquet, one row a tile."""

from __future__ import annotations

import csv
import io
import logging
import math
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.atomic_write import real_path, write_bytes
from axion_stage3.optional_imports import import_extra
from axion_stage3.statistics.tile_statistics import TILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from axion_stage3.runs.statistics_table import StatisticsTable

_ROWS_AT_ONCE: Final = 1000
_log: Final = logging.getLogger(__name__)


def write_csv(path: Path, table: StatisticsTable) -> None:
    """Write a CSV file (UTF-8, comma, one header line); a field that a tile lacks is empty.

    Numbers have all their digits: reading them back gives the same floats.

    Args:
        path: The file; its folder must exist.
        table: The statistics.

    Raises:
        OutputError: The file cannot be written.
    """
    write_bytes(real_path(path), _csv_pieces(table))
    _log.debug("%d tiles written to %s", len(table.names), path)


def write_parquet(path: Path, table: StatisticsTable) -> None:
    """Write a Parquet file: ``tile_name`` as text, all else as float64, null where it is lacking.

    Args:
        path: The file; its folder must exist.
        table: The statistics.

    Raises:
        MissingExtraError: pyarrow is not installed.
        OutputError: The file cannot be written.
    """
    pyarrow, parquet = require_pyarrow()
    columns = {TILE_NAME: pyarrow.array(table.names, pyarrow.string())}
    for name, values in table.columns.items():
        columns[name] = pyarrow.array(values, pyarrow.float64(), from_pandas=True)
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    write_bytes(real_path(path), buffer.getvalue())
    _log.debug("%d tiles written to %s", len(table.names), path)


def require_pyarrow() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises:
        MissingExtraError: They are not installed.
    """
    pyarrow, parquet = (
        import_extra(module, extra="parquet", need="Parquet files need")
        for module in ("pyarrow", "pyarrow.parquet")
    )
    return pyarrow, parquet


def _csv_pieces(table: StatisticsTable) -> Iterator[bytes]:
    columns = [values.tolist() for values in table.columns.values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([TILE_NAME, *table.columns])
    for start in range(0, len(table.names) or 1, _ROWS_AT_ONCE):
        for index in range(start, min(start + _ROWS_AT_ONCE, len(table.names))):
            values = (column[index] for column in columns)
            cells = ("" if math.isnan(value) else repr(value) for value in values)
            writer.writerow([table.names[index], *cells])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
