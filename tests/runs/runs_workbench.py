"""A small stand-in for the pipeline: real files, a real output folder, no pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from axion_stage3.errors import InvalidOutputError, TileReadError
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.session import RunFacts, RunSession
from axion_stage3.tiles.pairing import TilePair

if TYPE_CHECKING:
    from axion_stage3.runs.resume import ExistingPolicy

CHECKPOINT = "c" * 64


def facts(seed: int = 0, **changes: object) -> RunFacts:
    configuration = {"timesteps": 10, "sampler": "2m", "seed": seed, "batch_size": 4}
    shard = changes.pop("shard", None)
    return RunFacts(
        command=("axion-stage3", "infer"),
        configuration={**configuration, **changes},
        checkpoint_sha256=CHECKPOINT,
        device="cpu",
        seed=seed,
        part=shard,
    )


class Workbench:
    """Input folders, an output folder, and a fake run that writes what it was told to compute."""

    def __init__(self, root: Path, n_tiles: int = 4) -> None:
        self.root = root
        self.output_dir = root / "out"
        for folder in ("opt_v2", "s1"):
            (root / folder).mkdir(parents=True)
        self.pairs = tuple(self.add_pair(f"tile_{i:03d}.npz") for i in range(n_tiles))

    def add_pair(self, name: str) -> TilePair:
        pair = TilePair(name, self.root / "opt_v2" / name, self.root / "s1" / name)
        pair.opt_v2_path.write_bytes(b"optical of " + name.encode())
        pair.s1_path.write_bytes(b"radar of " + name.encode())
        return pair

    def change_input(self, pair: TilePair) -> None:
        pair.opt_v2_path.write_bytes(pair.opt_v2_path.read_bytes() + b"!")

    def output(self, pair: TilePair) -> Path:
        return self.output_dir / pair.name

    def content(self, pair: TilePair, seed: int = 0) -> bytes:
        """What a correct output of this input under this seed is; all have one size."""
        digest = hashlib.sha256(pair.opt_v2_path.read_bytes()).hexdigest()
        return f"{seed} {digest}".encode()

    def open(
        self,
        run: RunFacts | None = None,
        *,
        existing: ExistingPolicy = "resume",
        retry_failed: bool = False,
        pairs: tuple[TilePair, ...] | None = None,
    ) -> RunSession:
        return RunSession.open(
            self.output_dir,
            run or facts(),
            self.pairs if pairs is None else pairs,
            existing=existing,
            retry_failed=retry_failed,
        )

    def write(self, session: RunSession, pair: TilePair) -> TileOutcome:
        """Process one tile as far as its output file; the outcome is for the journal."""
        fingerprint = session.fingerprint(pair)
        seed = session.manifest.seed
        size = self.output(pair).write_bytes(self.content(pair, seed))
        value = int(pair.name[5:8]) / 7 + seed
        return TileOutcome(
            pair.name,
            "written",
            fingerprint,
            seconds=0.01,
            output_bytes=size,
            statistics={
                "tile_name": pair.name,
                "opt_final_mean": value,
                "opt_final_std": value / 3,
                "change_mean": value / 9,
                "change_max": value,
            },
            stage_seconds={"read": 0.25, "compute": 0.5},
        )

    def fail(self, session: RunSession, pair: TilePair, *, is_invalid: bool = False) -> TileOutcome:
        error = (
            InvalidOutputError("NaN in opt_final.")
            if is_invalid
            else TileReadError("Not an NPZ file.", hint="Look at it.")
        )
        return TileOutcome.of_error(
            pair.name,
            error,
            phase="check" if is_invalid else "read",
            fingerprint=session.fingerprint(pair),
        )

    def run(
        self,
        run: RunFacts | None = None,
        *,
        existing: ExistingPolicy = "resume",
        retry_failed: bool = False,
        failing: tuple[str, ...] = (),
        stop_after: int | None = None,
    ) -> RunSession:
        """A whole session; with ``stop_after`` it is left as a SIGKILL leaves it."""
        session = self.open(run, existing=existing, retry_failed=retry_failed)
        for pair in session.plan.to_do[:stop_after]:
            outcome = (
                self.fail(session, pair) if pair.name in failing else self.write(session, pair)
            )
            session.record(outcome)
        if stop_after is None:
            session.close("finished", 3 if failing else 0)
        else:
            kill(session)
        return session


def n_open_handles() -> int:
    """How many files this process has open; 0 where the system does not tell."""
    handles = Path("/proc/self/fd")
    return len(list(handles.iterdir())) if handles.is_dir() else 0


def kill(session: RunSession) -> None:
    """Leave a session as a SIGKILL does: no closing line; the lease of a dead process goes."""
    session._lease.release()
