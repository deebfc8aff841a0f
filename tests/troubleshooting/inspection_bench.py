"""Folders of tiles and runs, made in a moment, for the tests of this room."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from axion_stage3.errors import TileReadError
from axion_stage3.inspection.validation import validate_inputs, validate_run
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.session import RunFacts, RunSession
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.pairing import TilePair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.inspection.finding_record import FindingRecord
    from axion_stage3.inspection.tile_checks import CheckOptions

EXAMPLE_TILES = Path(__file__).parents[2] / "examples" / "tiles"
NAME = "tile_001.npz"
SIZE = 96


class Bench:
    """A folder with opt_v2/ and s1/, and an output folder, to be damaged at will."""

    def __init__(self, root: Path, seed: int = 3) -> None:
        self.root = root
        self.opt_v2_dir, self.s1_dir, self.output_dir = root / "opt_v2", root / "s1", root / "out"
        tile = make_tile(seed, SIZE)
        self.opt_v2, self.s1, self.truth = tile.opt_v2, tile.s1, tile.truth
        for folder in (self.opt_v2_dir, self.s1_dir):
            folder.mkdir()

    def write(
        self,
        opt_v2: Mapping[str, np.ndarray[Any, Any]] | np.ndarray[Any, Any] | None = None,
        s1: Mapping[str, np.ndarray[Any, Any]] | np.ndarray[Any, Any] | None = None,
        name: str = NAME,
    ) -> None:
        """Write a pair; a side that is left out is clean."""
        optical = self.opt_v2 if opt_v2 is None else opt_v2
        radar = self.s1 if s1 is None else s1
        _save(self.opt_v2_dir / name, {"opt_v2": optical} if _is_array(optical) else optical)
        _save(self.s1_dir / name, {"s1": radar} if _is_array(radar) else radar)

    def findings(self, options: CheckOptions | None = None) -> list[FindingRecord]:
        """What `validate_inputs` finds in the folders."""
        results = validate_inputs(self.opt_v2_dir, self.s1_dir, options)
        return [finding for result in results for finding in result.findings]

    def write_output(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write an output without any run, and clean inputs."""
        self.write()
        self.output_dir.mkdir(exist_ok=True)
        _save(self.output_dir / NAME, arrays)

    def run(
        self, opt_final: np.ndarray[Any, Any] | None = None, **configuration: object
    ) -> RunSession:
        """Do what a run does with one tile: it writes ``opt_final``, or fails without one."""
        self.write()
        pair = TilePair(NAME, self.opt_v2_dir / NAME, self.s1_dir / NAME)
        facts = RunFacts(
            command=("axion-stage3", "infer", "--opt-v2-dir", str(self.opt_v2_dir)),
            configuration={
                "opt_v2_dir": str(self.opt_v2_dir),
                "s1_dir": str(self.s1_dir),
                "output_dir": str(self.output_dir),
                "timesteps": 10,
                "sampler": "2m",
                "seed": 7,
                "opt_scale": 1.0,
                "fill_invalid": False,
                **configuration,
            },
            checkpoint_sha256="c" * 64,
            device="cpu",
            seed=7,
        )
        with RunSession.open(self.output_dir, facts, [pair], existing="overwrite") as session:
            session.record(self._outcome(pair, session.fingerprint(pair), opt_final))
            return session

    def _outcome(
        self, pair: TilePair, fingerprint: str, opt_final: np.ndarray[Any, Any] | None
    ) -> TileOutcome:
        if opt_final is None:
            error = TileReadError("The disk coughed.", hint="Give it tea.")
            return TileOutcome.of_error(pair.name, error, phase="read", fingerprint=fingerprint)
        size = write_npz(self.output_dir / NAME, {"opt_final": opt_final}, {"opt_v3": "opt_final"})
        return TileOutcome(
            pair.name,
            "written",
            fingerprint,
            seconds=0.5,
            output_bytes=size,
            statistics=tile_statistics(pair.name, opt_final, self.opt_v2, self.s1),
            stage_seconds={"read": 0.1, "compute": 0.4},
        )

    def run_findings(self) -> list[FindingRecord]:
        """What `validate_run` finds in the output folder."""
        results = validate_run(self.output_dir)
        return [finding for result in results for finding in result.findings]


def ids(findings: list[FindingRecord]) -> set[str]:
    """The ids of findings."""
    return {finding.id for finding in findings}


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def _save(path: Path, arrays: Any) -> None:
    # numpy's own writer: it also stores what the project's writer would refuse.
    np.savez_compressed(path, **arrays)
