"""SAR grounding of synthetic optical tiles: Stage 3 of a SAR-to-optical pipeline.

The names below are loaded when they are first used, so that importing the package is quick and
needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axion_stage3.inference.grounding_run import run_inference as run_inference
    from axion_stage3.inference.predictor import ground as ground

__version__ = "0.1.0"

_HOMES = {
    "ground": "axion_stage3.inference.predictor",
    "run_inference": "axion_stage3.inference.grounding_run",
}

__all__ = ["__version__", "ground", "run_inference"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
