"""Parts of a run that share one output folder: shards, and lists of tiles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

# Reports and plans name every shard, so that there must not be too many of them.
_SHARD: Final = re.compile(r"(\d{1,5})/(\d{1,5})")
_TILE_LIST: Final = re.compile(r"list ([0-9a-f]{16})")
_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``k`` of ``n`` of a run, k from 1 to n.

    Which shard a tile belongs to follows from its name and n alone, so that it stays where it is
    when tiles are added or taken away.
    """

    k: int
    n: int

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3/16``.

        Raises:
            ValueError: It is no shard.
        """
        match = _SHARD.fullmatch(text)
        shard = None if match is None else cls(int(match[1]), int(match[2]))
        if shard is None or not 1 <= shard.k <= shard.n:
            raise ValueError("give K/N with K from 1 to N, such as 3/16")
        return shard

    @property
    def label(self) -> str:
        """For file names: ``3-of-16``."""
        return f"{self.k}-of-{self.n}"

    def holds(self, name: str) -> bool:
        """Whether the tile ``name`` belongs to this shard."""
        return shard_index(name, self.n) == self.k - 1

    def may_run_beside(self, other: Part) -> bool:
        """Whether the two may write into one folder at the same time."""
        return isinstance(other, Shard) and other.n == self.n and other.k != self.k


@dataclass(frozen=True, slots=True)
class TileList:
    """The tiles of a list.

    Attributes:
        digest: 16 hexadecimal digits that follow from the names of the tiles.
    """

    digest: str

    def __str__(self) -> str:
        return f"list {self.digest}"

    @property
    def label(self) -> str:
        """For file names: ``list-`` and the digest."""
        return f"list-{self.digest}"

    def may_run_beside(self, other: Part) -> bool:
        """Whether the two may write into one folder at the same time.

        Two lists may name the same tile: it is then made twice, to the same bytes.
        """
        return isinstance(other, TileList) and other.digest != self.digest


Part = Shard | TileList


def parse_part(text: str) -> Part:
    """Read back what ``str`` made of a part.

    Raises:
        ValueError: It is no part.
    """
    match = _TILE_LIST.fullmatch(text)
    return Shard.parse(text) if match is None else TileList(match[1])


def shard_index(name: str, n_shards: int) -> int:
    """The shard of a tile, counted from 0: its name's blake2b hash (64 bits) modulo n."""
    encoded = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=_DIGEST_BYTES).digest(), "big") % n_shards
