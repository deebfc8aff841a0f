"""Reading and writing checkpoints; whatever comes from others is hostile until checked.

``.safetensors``: the weights, and under the metadata key ``axion_stage3`` a JSON document with
``epoch``, ``config`` and ``weights_sha256`` (checksum of the weights). ``.pt``: a dictionary with
``model_state_dict``, ``epoch`` and ``config`` (at least ``timesteps`` and ``network``), read with
``weights_only=True``: a file that needs pickled code is refused.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from axion_stage3.atomic_write import write_bytes
from axion_stage3.config import MAX_TIMESTEPS
from axion_stage3.diffusion.checkpoint_formats import (
    MalformedCheckpointError,
    decode_pt,
    decode_safetensors,
    encode_safetensors,
    looks_like_safetensors,
)
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork, channels_last
from axion_stage3.diffusion.noise_schedule import NoiseSchedule
from axion_stage3.errors import CheckpointError, CheckpointNotFoundError
from axion_stage3.statistics.grounding import GroundingReference
from axion_stage3.storage.locations import Location, ObjectUrl, as_location, file_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

BUNDLED_CHECKPOINT: Final = Path(__file__).parents[1] / "checkpoints" / "reference.safetensors"
FORMAT_VERSION: Final = 1
"""Version of the configuration document; one without an entry ``format`` is of this version."""

_MAX_BYTES: Final = 512 * 2**20
_REAL_DTYPES: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_MAX_WIDTH: Final = 1024
_MAX_BLOCKS: Final = 64
_MAX_MEMBERS: Final = 64
_TRAIN_HINT: Final = (
    "Use a checkpoint written by `axion-stage3 train`,"
    " or leave --checkpoint out for the bundled one."
)


@dataclass(frozen=True)
class Checkpoint:
    """A network that is ready to ground tiles, and the facts stored with it.

    Attributes:
        network: The network in evaluation mode, float32, on the CPU.
        epoch: Epoch at which it was saved.
        timesteps: Default number of network calls per tile, the mean included.
        schedule: Noise levels that the sampler starts and ends with.
        grounding_reference: How far true pairs agree with their radar; None if it does not say.
        config: The whole configuration document (units, bands, data sets, training and the above).
        path: Where it was read from.
        sha256: Hash of the file.
        is_bundled: Whether it is the reference checkpoint of the package.
    """

    network: GroundingNetwork
    epoch: int
    timesteps: int
    schedule: NoiseSchedule
    grounding_reference: GroundingReference | None
    config: Mapping[str, Any] = field(repr=False)
    path: Location
    sha256: str
    is_bundled: bool


def load_checkpoint(path: Path | str | ObjectUrl | None = None) -> Checkpoint:
    """Read and check a checkpoint.

    Args:
        path: ``.pt`` or ``.safetensors``, a file or its URL; None for the bundled
            reference checkpoint.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointError: Not a checkpoint, corrupt, of another format, needs pickled code, or its
            weights do not fit.
    """
    source = BUNDLED_CHECKPOINT if path is None else as_location(path)
    data = _read_file(source)
    is_safetensors = source.name.endswith(".safetensors") or looks_like_safetensors(data)
    try:
        state, facts = (decode_safetensors if is_safetensors else decode_pt)(data)
    except MalformedCheckpointError as error:
        raise _refuse(source, str(error)) from error
    config: Mapping[str, Any] = facts["config"]
    _check_format(source, config)
    network = _build_network(source, state, config)
    return Checkpoint(
        network=network,
        epoch=facts["epoch"],
        timesteps=_timesteps(source, config),
        schedule=_schedule(source, config),
        grounding_reference=_grounding_reference(source, config),
        config=config,
        path=source,
        sha256=hashlib.sha256(data).hexdigest(),
        is_bundled=source == BUNDLED_CHECKPOINT,
    )


def save_checkpoint(
    path: Path, network: GroundingNetwork, *, epoch: int, config: Mapping[str, Any]
) -> None:
    """Write a checkpoint atomically, as ``.pt`` or ``.safetensors`` by its suffix.

    Args:
        path: Where to write.
        network: Weights to store.
        epoch: Epoch reached.
        config: JSON document with at least ``timesteps``; ``network`` and ``format`` are added.

    Raises:
        OutputError: The file cannot be written.
    """
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    document = {
        "format": FORMAT_VERSION,
        **config,
        "network": network.config.as_document(),
    }
    if path.suffix == ".safetensors":
        write_bytes(path, encode_safetensors(state, {"epoch": epoch, "config": document}))
        return
    buffer = io.BytesIO()
    torch.save({"model_state_dict": state, "epoch": epoch, "config": document}, buffer)
    write_bytes(path, buffer.getvalue())


def _read_file(path: Location) -> bytes:
    try:
        size = file_bytes(path)
        if size is None:
            is_folder = isinstance(path, Path) and path.is_dir()
            raise CheckpointNotFoundError(
                f"There is no checkpoint at {path}{', but a folder' if is_folder else ''}.",
                hint="Give the path of a .pt or .safetensors file; `infer` without --checkpoint "
                "uses the bundled reference checkpoint.",
                path=path,
            )
        if size > _MAX_BYTES:
            raise CheckpointError(
                f"Checkpoint {path} has {size:,} bytes; at most {_MAX_BYTES:,} are accepted.",
                hint=_TRAIN_HINT,
                path=path,
            )
        return path.read_bytes()
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"Checkpoint {path} cannot be read: {error.strerror or error}.",
            hint="Check the path and its permissions.",
            path=path,
        ) from error


def _refuse(path: Location, reason: str) -> CheckpointError:
    return CheckpointError(f"Checkpoint {path}: {reason}.", hint=_TRAIN_HINT, path=path)


def _check_format(path: Location, config: Mapping[str, Any]) -> None:
    found = config.get("format", FORMAT_VERSION)
    if found != FORMAT_VERSION:
        raise CheckpointError(
            f"Checkpoint {path} is of format {found!r:.40}; this version reads {FORMAT_VERSION}.",
            hint="Use the version of axion-stage3 that wrote it, or a newer one.",
            path=path,
        )


def _timesteps(path: Location, config: Mapping[str, Any]) -> int:
    value = config.get("timesteps")
    if type(value) is not int or not 1 <= value <= MAX_TIMESTEPS:
        raise _refuse(
            path, f"config entry 'timesteps' is {value!r}, not a number from 1 to {MAX_TIMESTEPS}"
        )
    return value


def _network_config(path: Location, config: Mapping[str, Any]) -> NetworkConfig:
    document = config.get("network")
    if isinstance(document, dict):
        # Networks from before there were these.
        document = {"equalizer_members": 0, "gate_members": 0, "draw_members": 0, **document}
    names = {entry.name for entry in fields(NetworkConfig)}
    if not isinstance(document, dict) or set(document) != names:
        raise _refuse(path, "config entry 'network' does not describe a grounding network")
    limits = {"widths": (3, _MAX_WIDTH), "blocks": (5, _MAX_BLOCKS)}
    for key, (length, most) in limits.items():
        values = document[key]
        is_fit = isinstance(values, list | tuple) and len(values) == length
        if not is_fit or not all(type(v) is int and 1 <= v <= most for v in values):
            raise _refuse(path, f"network size {key!r} is {values!r}")
    ranges = {
        "denoiser_width": (1, _MAX_WIDTH),
        "denoiser_blocks": (1, _MAX_BLOCKS),
        "equalizer_members": (0, _MAX_MEMBERS),
        "gate_members": (0, _MAX_MEMBERS),
        "draw_members": (0, _MAX_MEMBERS),
    }
    for key, (least, most) in ranges.items():
        if type(document[key]) is not int or not least <= document[key] <= most:
            raise _refuse(path, f"network size {key!r} is {document[key]!r}")
    return NetworkConfig(
        widths=tuple(document["widths"]),
        blocks=tuple(document["blocks"]),
        denoiser_width=document["denoiser_width"],
        denoiser_blocks=document["denoiser_blocks"],
        equalizer_members=document["equalizer_members"],
        gate_members=document["gate_members"],
        draw_members=document["draw_members"],
    )


def _schedule(path: Location, config: Mapping[str, Any]) -> NoiseSchedule:
    document = config.get("schedule", {})
    try:
        return NoiseSchedule(**{key: float(value) for key, value in document.items()})
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _refuse(path, f"config entry 'schedule' is unfit ({error})") from error


def _grounding_reference(path: Location, config: Mapping[str, Any]) -> GroundingReference | None:
    document = config.get("grounding_reference")
    if document is None:
        return None
    try:
        return GroundingReference.from_json(document)
    except CheckpointError as error:
        raise CheckpointError(
            f"Checkpoint {path}: {error.message}", hint=error.hint, path=path
        ) from error


def _build_network(
    path: Location, state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> GroundingNetwork:
    sizes = _network_config(path, config)
    expected = _expected_shapes(sizes)
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise _refuse(
            path,
            f"its weights do not fit the network: {len(missing)} missing"
            f"{_first(missing)}, {len(unexpected)} unexpected{_first(unexpected)}",
        )
    for name, shape in expected.items():
        _check_weight(path, name, state[name], shape)
    network = _empty_network(sizes)
    weights = {name: value.to(torch.float32).contiguous() for name, value in state.items()}
    network.load_state_dict(weights, assign=True)
    return channels_last(network.requires_grad_(requires_grad=False).eval())


def _empty_network(sizes: NetworkConfig) -> GroundingNetwork:
    # On the meta device nothing is allocated: a hostile size costs no memory before it is refused.
    with torch.device("meta"):
        return GroundingNetwork(sizes)


@lru_cache(maxsize=4)
def _expected_shapes(sizes: NetworkConfig) -> Mapping[str, torch.Size]:
    return {name: value.shape for name, value in _empty_network(sizes).state_dict().items()}


def _check_weight(path: Location, name: str, found: Tensor, shape: torch.Size) -> None:
    if found.shape != shape:
        raise _refuse(path, f"weight {name!r} has shape {tuple(found.shape)}, not {tuple(shape)}")
    # Tensors without numbers (meta), sparse ones and the like pass through weights_only.
    is_plain = found.layout == torch.strided and found.device.type == "cpu"
    is_real = is_plain and found.dtype in _REAL_DTYPES
    if not is_real or not bool(torch.isfinite(found.to(torch.float32)).all()):
        raise _refuse(path, f"weight {name!r} is not made of finite floating-point numbers")


def _first(names: list[str]) -> str:
    return f" (first: {names[0]!r})" if names else ""
