"""SAR grounding of synthetic optical tiles: Stage 3 of a SAR-to-optical pipeline.

The names below are loaded when they are first used, so that importing the package is quick and
needs no torch; of the functions, only those that run or judge a checkpoint need it at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axion_stage3.benchmarking.benchmark import BenchmarkPlan as BenchmarkPlan
    from axion_stage3.benchmarking.benchmark import run_benchmark as run_benchmark
    from axion_stage3.config import InferenceConfig as InferenceConfig
    from axion_stage3.errors import AxionError as AxionError
    from axion_stage3.exporting.run_export import export_run as export_run
    from axion_stage3.exporting.visualization import visualize_run as visualize_run
    from axion_stage3.inference.grounding_run import run_inference as run_inference
    from axion_stage3.inference.installation_check import check_installation as check_installation
    from axion_stage3.inference.predictor import ground as ground
    from axion_stage3.inference.run_plan import plan_run as plan_run
    from axion_stage3.inspection.explanation import explain_findings as explain_findings
    from axion_stage3.inspection.tile_checks import CheckOptions as CheckOptions
    from axion_stage3.inspection.tile_inspection import inspect_tile as inspect_tile
    from axion_stage3.inspection.validation import validate_inputs as validate_inputs
    from axion_stage3.inspection.validation import validate_run as validate_run
    from axion_stage3.runs.merging import merge_run as merge_run
    from axion_stage3.runs.run_comparison import compare_runs as compare_runs
    from axion_stage3.runs.run_statistics import run_statistics as run_statistics
    from axion_stage3.tiles.tile_loading import LoadOptions as LoadOptions
    from axion_stage3.training.evaluation_run import GroundingOptions as GroundingOptions
    from axion_stage3.training.evaluation_run import evaluate_folders as evaluate_folders
    from axion_stage3.training.evaluation_run import evaluate_surrogates as evaluate_surrogates
    from axion_stage3.training.training_config import TrainingConfig as TrainingConfig
    from axion_stage3.training.training_run import train as train

__version__ = "0.1.0"

_HOMES = {
    "AxionError": "errors",
    "BenchmarkPlan": "benchmarking.benchmark",
    "CheckOptions": "inspection.tile_checks",
    "GroundingOptions": "training.evaluation_run",
    "InferenceConfig": "config",
    "LoadOptions": "tiles.tile_loading",
    "TrainingConfig": "training.training_config",
    "check_installation": "inference.installation_check",
    "compare_runs": "runs.run_comparison",
    "evaluate_folders": "training.evaluation_run",
    "evaluate_surrogates": "training.evaluation_run",
    "export_run": "exporting.run_export",
    "explain_findings": "inspection.explanation",
    "ground": "inference.predictor",
    "inspect_tile": "inspection.tile_inspection",
    "merge_run": "runs.merging",
    "plan_run": "inference.run_plan",
    "run_benchmark": "benchmarking.benchmark",
    "run_inference": "inference.grounding_run",
    "run_statistics": "runs.run_statistics",
    "train": "training.training_run",
    "validate_inputs": "inspection.validation",
    "validate_run": "inspection.validation",
    "visualize_run": "exporting.visualization",
}

__all__ = [
    "AxionError",
    "BenchmarkPlan",
    "CheckOptions",
    "GroundingOptions",
    "InferenceConfig",
    "LoadOptions",
    "TrainingConfig",
    "__version__",
    "check_installation",
    "compare_runs",
    "evaluate_folders",
    "evaluate_surrogates",
    "explain_findings",
    "export_run",
    "ground",
    "inspect_tile",
    "merge_run",
    "plan_run",
    "run_benchmark",
    "run_inference",
    "run_statistics",
    "train",
    "validate_inputs",
    "validate_run",
    "visualize_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
