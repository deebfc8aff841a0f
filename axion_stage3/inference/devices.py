"""Which device computes, in which precision, and with how many threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch

from axion_stage3.errors import ResourceError, UsageError

Precision = Literal["auto", "fp32", "bf16", "fp16"]

_N_CUDA_WORKERS: Final = 2
_MAX_REASON_LENGTH: Final = 200
_MOST_CPU_WORKERS: Final = 8
_OUT_OF_MEMORY_TEXTS: Final = (
    "can't allocate memory",  # the CPU allocator of torch
    "could not create a primitive",  # oneDNN, whose convolutions run on the CPU
    "could not execute a primitive",
)
"""On the CPU torch raises a plain RuntimeError, which only its text tells apart."""
_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device to compute on.

    Args:
        name: ``auto`` (CUDA if there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: The name means no device.
        ResourceError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(
            f"Unknown device {name!r}.", hint="Use --device auto, cpu, cuda or cuda:N."
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            f"Device {name!r} was asked for, but torch {torch.__version__} sees no CUDA device.",
            hint="Use --device cpu, or install a CUDA build of torch and a driver for it.",
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"Device {name!r} was asked for, but there are {torch.cuda.device_count()} CUDA "
            "devices, counted from 0.",
            hint="Use --device cuda:0, or another number below that count.",
        )
    return device


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of the network: ``auto`` is float16 on CUDA and float32 on the CPU.

    Float16 is as fast as bfloat16 and rounds an eighth as coarsely, and GPUs before Ampere know
    nothing else; no feature comes near its end (65,504): on wild values they reach 365.

    Raises:
        UsageError: The name means no precision.
    """
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise UsageError(
            f"Unknown precision {name!r}.", hint="Use --precision auto, fp32, bf16 or fp16."
        )
    return _DTYPES[name]


def precision_name(dtype: torch.dtype) -> str:
    """Return the option's word for a dtype, the inverse of :func:`resolve_precision`."""
    return next(name for name, value in _DTYPES.items() if value == dtype)


@dataclass(frozen=True, slots=True)
class Workers:
    """How the compute stage shares the machine.

    Attributes:
        n_workers: Batches that are computed at the same time.
        n_threads: Threads of torch within each of them.
    """

    n_workers: int
    n_threads: int


def plan_workers(device: torch.device, n_tiles: int) -> Workers:
    """Share out the threads that torch was given.

    On the CPU, tiles side by side beat one tile on all cores: operators on small tiles spend much
    of their time waiting for the slowest thread, the more so beside reading and writing. On CUDA
    a second worker prepares and fetches its batch while the device computes the first one's.

    Args:
        device: The device that computes.
        n_tiles: Number of tiles of the run.
    """
    n_threads = torch.get_num_threads()
    if device.type != "cpu":
        return Workers(_N_CUDA_WORKERS if device.type == "cuda" else 1, n_threads)
    n_workers = max(1, min(n_threads, n_tiles, _MOST_CPU_WORKERS))
    return Workers(n_workers, max(1, n_threads // n_workers))


def free_memory(device: torch.device) -> None:
    """Give memory that torch keeps for later back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that device or main memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in _OUT_OF_MEMORY_TEXTS)
    )


def brief_reason(error: BaseException) -> str:
    """Kind and first line of an error of torch, whose messages often fill a screen."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:_MAX_REASON_LENGTH]}"
