"""What a run tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.resume import ResumePlan
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import Pairing


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model of a run, with everything resolved.

    Attributes:
        path: File of the checkpoint.
        is_bundled: Whether it is the reference checkpoint of the package.
        epoch: Epoch at which it was saved.
        timesteps: Calls of the network per tile, the mean included.
        device: The device that computes, such as ``cpu`` or ``cuda:0``.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        sha256: Hash of the checkpoint's file.
    """

    path: Location
    is_bundled: bool
    epoch: int
    timesteps: int
    device: str
    precision: str
    sha256: str


class RunObserver:
    """Base of observers: every method does nothing; override what is of interest.

    Methods are called one at a time, ``tile_done`` from the threads of the pipeline. What they
    raise stops the run.
    """

    def model_loading(self, device: str, timesteps: int) -> None:
        """The checkpoint has been read and is about to go on the device that was chosen."""

    def model_loaded(self, model: ModelFacts) -> None:
        """The checkpoint is on the device."""

    def pairs_found(self, pairing: Pairing) -> None:
        """The folders have been searched."""

    def tiles_selected(self, n_selected: int, n_pairs: int) -> None:
        """Only some of the pairs belong to this run; not called when all of them do."""

    def tiles_planned(self, plan: ResumePlan) -> None:
        """It is known which tiles are to do; processing begins."""

    def tile_done(self, outcome: TileOutcome) -> None:
        """A tile is written or has failed, and the journal says so."""

    def scene_begun(self, name: str, n_windows: int, methods: Mapping[str, str]) -> None:
        """A whole scene is being grounded; ``methods`` say how its values and grids are read."""

    def scene_advanced(self, n_windows: int) -> None:
        """Windows of the scene are finished."""

    def warned(self, message: str) -> None:
        """Something should be known that does not keep the run from going on."""
