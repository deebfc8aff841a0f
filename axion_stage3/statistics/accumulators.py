"""Sums and aggregates that do not depend on order or partition, down to the last bit.

Floating-point addition is not associative, so two shards merged and one pass would disagree in the
last digits. Every finite float64 is an integer times 2^-1074, so a sum kept as one Python integer
is exact: addition is associative and commutative again, equal sums have equal states, and one
rounding is made, at the end.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GUIDE_FIELDS: Final = ("opt_final_mean", "opt_final_std", "change_mean", "change_max")
"""Fields of ``aggregate_stats`` that the guide names; always there, null if no tile was written."""

_EXPONENT: Final = 1074
_MAX_SHIFT: Final = 971
_MANTISSA_BITS: Final = 53
_HALF_BITS: Final = 27
_MOST_WAITING: Final = 128
_SUM_PATTERN: Final = re.compile(r"(-?)0x([0-9a-f]{1,600})p([+-]?\d{1,4})")


class ExactSum:
    """The exact sum of finite float64 values, in units of 2^-1074.

    Args:
        units: Sum so far, as a count of 2^-1074.
    """

    __slots__ = ("_units",)

    def __init__(self, units: int = 0) -> None:
        self._units = units

    def add_all(self, values: Sequence[float]) -> None:
        """Add finite values; a hundred at once take a tenth of the time of a hundred calls.

        Raises:
            OverflowError: A value is not finite.
        """
        fractions, exponents = np.frexp(values)
        if not np.isfinite(fractions).all():
            raise OverflowError("a value that is not finite has no exact sum")
        mantissas = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
        # In halves, so that no sum of a million leaves the 64 bits.
        high, low = mantissas >> _HALF_BITS, mantissas & (2**_HALF_BITS - 1)
        for exponent in np.unique(exponents).tolist():
            is_like = exponents == exponent
            total = (int(high[is_like].sum()) << _HALF_BITS) + int(low[is_like].sum())
            shift = exponent - _MANTISSA_BITS + _EXPONENT
            # Numbers below the normal ones end in as many zeros as they are shifted down.
            self._units += total << shift if shift >= 0 else total >> -shift

    def merge(self, other: ExactSum) -> None:
        """Add everything that another sum holds."""
        self._units += other._units

    def mean(self, count: int) -> float:
        """Return the sum divided by ``count``, rounded once."""
        return float(Fraction(self._units, count << _EXPONENT))

    def to_text(self) -> str:
        """Return the sum exactly, as an odd hexadecimal integer and a power of two."""
        if self._units == 0:
            return "0x0p0"
        twos = (self._units & -self._units).bit_length() - 1
        return f"{self._units >> twos:#x}p{twos - _EXPONENT}"

    @classmethod
    def from_text(cls, text: str) -> ExactSum:
        """Read what :meth:`to_text` wrote.

        Raises:
            ValueError: The text is something else.
        """
        match = _SUM_PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:80]!r} is not an exact sum")
        shift = int(match[3]) + _EXPONENT
        if not 0 <= shift <= _EXPONENT + _MAX_SHIFT + 64:
            raise ValueError(f"{text[:80]!r} is out of the range of float64 sums")
        return cls(int(match[1] + match[2], 16) << shift)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExactSum) and self._units == other._units

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ExactSum.from_text({self.to_text()!r})"


@dataclass(slots=True)
class FieldSummary:
    """What is kept of one field over many tiles.

    Attributes:
        count: Number of tiles that have the field.
        total: Exact sum of its values.
        least: Smallest value.
        greatest: Largest value.
    """

    count: int = 0
    total: ExactSum = field(default_factory=ExactSum)
    least: float = math.inf
    greatest: float = -math.inf

    def add_all(self, values: Sequence[float]) -> None:
        """Take in finite values, at least one."""
        self.total.add_all(values)
        self.count += len(values)
        self.least = min(self.least, *values)
        self.greatest = max(self.greatest, *values)

    def merge(self, other: FieldSummary) -> None:
        """Take in all values of another summary."""
        self.total.merge(other.total)
        self.count += other.count
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)

    def value(self, name: str) -> float:
        """Return the aggregate: the extreme for ``*_max`` and ``*_min``, the mean for all else."""
        if name.endswith("_max"):
            return self.greatest
        if name.endswith("_min"):
            return self.least
        return self.total.mean(self.count)


class RunAggregate:
    """Statistics of a run, built tile by tile, shard by shard, in any order.

    Any partition of the tiles, added and merged in any order, gives an equal aggregate: the same
    state, the same document and the same results, bit for bit.
    """

    def __init__(self) -> None:
        self.n_tiles = 0
        self._folded: dict[str, FieldSummary] = {}
        # What was added last: many values are summed far faster than one by one.
        self._waiting: defaultdict[str, list[float]] = defaultdict(list)
        self._n_waiting = 0

    def add(self, statistics: Mapping[str, float | str]) -> None:
        """Take in the statistics of one tile; fields that are texts are left out.

        Raises:
            InputError: A value is not finite; nothing of the tile is taken in.
        """
        values = {
            name: float(value) for name, value in statistics.items() if not isinstance(value, str)
        }
        for name, value in values.items():
            if not math.isfinite(value):
                tile_name = str(statistics.get("tile_name", "?"))
                raise InputError(
                    f"Statistic {name!r} of tile {tile_name} is {value}; it cannot be aggregated.",
                    hint="Recompute it from the tile's arrays with `axion-stage3 stats`.",
                    tile_name=tile_name,
                )
        self.n_tiles += 1
        for name, value in values.items():
            # + 0.0 turns -0.0 into 0.0: which of the two min() returns depends on the order.
            self._waiting[name].append(value + 0.0)
        self._n_waiting += 1
        if self._n_waiting >= _MOST_WAITING:
            self._fold()

    def merge(self, other: RunAggregate) -> None:
        """Take in all tiles of another aggregate."""
        self.n_tiles += other.n_tiles
        for name, summary in other._fold().items():
            self._folded.setdefault(name, FieldSummary()).merge(summary)

    def result(self) -> dict[str, float | int | None]:
        """Return the guide's ``aggregate_stats`` and more.

        Returns:
            ``opt_final_mean``, ``opt_final_std``, ``change_mean`` (means over the tiles),
            ``change_max`` (greatest over the tiles), each None if there is no tile; ``n_tiles``;
            then all other fields by name: greatest for ``*_max``, smallest for ``*_min``, mean for
            all else.
        """
        values = {name: summary.value(name) for name, summary in sorted(self._fold().items())}
        result: dict[str, float | int | None] = {
            name: values.pop(name, None) for name in GUIDE_FIELDS
        }
        return {**result, "n_tiles": self.n_tiles, **values}

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as a JSON document; sums are exact texts."""
        return {
            "n_tiles": self.n_tiles,
            "fields": {
                name: {
                    "count": summary.count,
                    "total": summary.total.to_text(),
                    "min": summary.least,
                    "max": summary.greatest,
                }
                for name, summary in sorted(self._fold().items())
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunAggregate:
        """Read what :meth:`to_json` returned.

        Raises:
            InputError: The document is something else.
        """
        aggregate = cls()
        try:
            aggregate.n_tiles = _count(document["n_tiles"])
            for name, entry in document["fields"].items():
                summary = FieldSummary(
                    count=_count(entry["count"]),
                    total=ExactSum.from_text(entry["total"]),
                    least=_finite(entry["min"]),
                    greatest=_finite(entry["max"]),
                )
                if not 1 <= summary.count <= aggregate.n_tiles:
                    raise ValueError(f"field {name!r} counts {summary.count} tiles")
                if not summary.least <= summary.total.mean(summary.count) <= summary.greatest:
                    raise ValueError(f"field {name!r} has its mean outside its extremes")
                aggregate._folded[name] = summary
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"Not the saved state of a run's aggregate statistics: {error}.",
                hint="Recompute it from the run's outputs with `axion-stage3 stats`.",
            ) from error
        return aggregate

    def _fold(self) -> dict[str, FieldSummary]:
        """Take in what waits; returns all fields."""
        for name, values in self._waiting.items():
            self._folded.setdefault(name, FieldSummary()).add_all(values)
        self._waiting.clear()
        self._n_waiting = 0
        return self._folded

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunAggregate) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _finite(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)  # type: ignore[arg-type]
