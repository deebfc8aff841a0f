from __future__ import annotations

import hashlib
import io
import json
import math
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_mutations import mutated_checkpoints

from axion_stage3.diffusion.checkpoint import (
    BUNDLED_CHECKPOINT,
    load_checkpoint,
    save_checkpoint,
)
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.errors import CheckpointError, CheckpointNotFoundError

SMALL = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)
CONFIG = {"timesteps": 7, "schedule": {"sigma_max": 2.0, "sigma_min": 0.1, "rho": 4.0}}
SUFFIXES = (".pt", ".safetensors")


def saved(folder: Path, suffix: str = ".pt") -> Path:
    torch.manual_seed(3)
    path = folder / f"model{suffix}"
    save_checkpoint(path, GroundingNetwork(SMALL), epoch=28, config=CONFIG)
    return path


def document(folder: Path) -> dict[str, Any]:
    loaded = torch.load(saved(folder), weights_only=True)
    assert isinstance(loaded, dict)
    return loaded


def written(folder: Path, entries: object) -> Path:
    path = folder / "changed.pt"
    torch.save(entries, path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    checkpoint = load_checkpoint(saved(tmp_path, suffix))
    torch.manual_seed(3)
    expected = GroundingNetwork(SMALL).state_dict()
    for name, value in checkpoint.network.state_dict().items():
        assert torch.equal(value, expected[name])
    assert (checkpoint.epoch, checkpoint.timesteps) == (28, 7)
    assert (checkpoint.schedule.sigma_max, checkpoint.schedule.rho) == (2.0, 4.0)
    assert not checkpoint.is_bundled
    assert checkpoint.sha256 == hashlib.sha256(checkpoint.path.read_bytes()).hexdigest()
    assert not checkpoint.network.training
    assert not any(weight.requires_grad for weight in checkpoint.network.parameters())


def test_without_a_path_it_is_the_bundled_one() -> None:
    bundled = load_checkpoint()
    assert bundled.is_bundled
    assert bundled.path == BUNDLED_CHECKPOINT


def test_the_format_is_told_by_the_content_whatever_the_name(tmp_path: Path) -> None:
    path = saved(tmp_path, ".safetensors").rename(tmp_path / "model.pt")
    assert load_checkpoint(path).epoch == 28


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_checkpoints_are_equal_files_with_one_hash(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (load_checkpoint(saved(tmp_path / name, suffix)) for name in "ab")
    assert first.sha256 == second.sha256


def test_the_guides_entries_are_there(tmp_path: Path) -> None:
    entries = document(tmp_path)
    assert {"model_state_dict", "epoch", "config"} <= entries.keys()
    assert entries["config"]["timesteps"] == 7


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "missing.pt")
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path)


def test_a_checkpoint_from_before_there_was_an_equalizer_has_none(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    without = replace(SMALL, equalizer_members=0, gate_members=0, draw_members=0)
    save_checkpoint(path, GroundingNetwork(without), epoch=1, config=CONFIG)
    entries = torch.load(path, weights_only=True)
    for name in ("equalizer_members", "gate_members", "draw_members"):
        del entries["config"]["network"][name]
    network = load_checkpoint(written(tmp_path, entries)).network
    fitted = network.equalizer, network.gate_calibration, network.draw_calibration
    assert fitted == (None, None, None)


def test_missing_and_unexpected_weights_are_named(tmp_path: Path) -> None:
    entries = document(tmp_path)
    state = entries["model_state_dict"]
    state["somewhere.else"] = state.pop("encoder.stem.bias")
    with pytest.raises(CheckpointError, match=r"1 missing .*stem.bias.*1 unexpected .*somewhere"):
        load_checkpoint(written(tmp_path, entries))
    state["encoder.stem.bias"] = state["somewhere.else"]
    with pytest.raises(CheckpointError, match="0 missing, 1 unexpected"):
        load_checkpoint(written(tmp_path, entries))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_more_than_512_mib_is_refused_unread(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    with path.open("wb") as stream:
        stream.truncate(512 * 2**20 + 1)
    with pytest.raises(CheckpointError, match=r"has 536,870,913 bytes; at most"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e.pop("model_state_dict"), "no entry 'model_state_dict'"),
        (lambda e: e.pop("config"), "no entry 'config'"),
        (lambda e: e["config"].pop("network"), "'network' does not describe"),
        (lambda e: e["config"].update(timesteps=0), "'timesteps' is 0"),
        (lambda e: e["config"].update(timesteps="10"), "'timesteps' is '10'"),
        (lambda e: e["config"]["network"].update(widths=[8, 8, 10**6]), "size 'widths'"),
        (lambda e: e["config"]["network"].update(widths=[8, 8]), "size 'widths'"),
        (lambda e: e["config"]["network"].update(blocks=[1, 1, 0, 1, 1]), "size 'blocks'"),
        (lambda e: e["config"]["network"].update(blocks=[1, 1, 65, 1, 1]), "size 'blocks'"),
        (lambda e: e["config"]["network"].update(denoiser_blocks=0), "size 'denoiser_blocks'"),
        (
            lambda e: e["config"]["network"].update(equalizer_members=-1),
            "size 'equalizer_members'",
        ),
        (
            lambda e: e["config"]["network"].update(equalizer_members=10**6),
            "size 'equalizer_members'",
        ),
        (lambda e: e["config"]["network"].update(gate_members=True), "size 'gate_members'"),
        (lambda e: e["config"]["network"].update(draw_members=1.5), "size 'draw_members'"),
        (lambda e: e["config"].update(units=torch.zeros(2)), "other things than plain values"),
        (lambda e: e["config"].update(schedule={"sigma_max": -1}), "'schedule'"),
        (lambda e: e["config"].update(schedule={"speed": 1}), "'schedule'"),
        (lambda e: e["config"].update(schedule={"sigma_max": math.inf}), "'schedule'"),
        (lambda e: e["config"].update(schedule={"rho": math.nan}), "'schedule'"),
        (lambda e: e["config"].update(schedule={"rho": 10**400}), "'schedule'"),
        (lambda e: e["config"].update(schedule=[1, 2]), "'schedule'"),
        (lambda e: e["config"].update(timesteps=1001), "'timesteps' is 1001"),
        (lambda e: e["config"].update(timesteps=True), "'timesteps' is True"),
        (lambda e: e["config"].update(format=2), "is of format 2; this version reads 1"),
        (lambda e: e["config"].update(grounding_reference={"format": 1}), "grounding reference"),
        (lambda e: e.update(epoch=-1), "'epoch' is -1"),
        (lambda e: e.update(model_state_dict=[1, 2]), "not a dictionary of tensors"),
        (lambda e: e["model_state_dict"].update(extra=1.5), "not a dictionary of tensors"),
        (
            lambda e: e["model_state_dict"].update({"encoder.stem.bias": torch.zeros(3)}),
            r"has shape \(3,\), not \(8,\)",
        ),
        (
            lambda e: e["model_state_dict"]["encoder.stem.bias"].fill_(float("nan")),
            "not made of finite",
        ),
    ],
)
def test_unfit_entries_are_refused_with_the_reason(
    tmp_path: Path, change: Any, reason: str
) -> None:
    entries = document(tmp_path)
    change(entries)
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(written(tmp_path, entries))


def test_what_needs_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "was_run"

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    path = written(tmp_path, {"model_state_dict": Hostile()})
    with pytest.raises(CheckpointError, match="pickled code"):
        load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content", [b"", b"text, not a checkpoint", b"PK\x03\x04 broken", b"\x80\x02}q\x00."]
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_foreign_files_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="foreign"):
        load_checkpoint(path)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="not a safetensors checkpoint of axion-stage3"):
        load_checkpoint(path)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "n_files", [300, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_mutated_checkpoints_load_or_are_refused_with_our_error(
    tmp_path: Path, suffix: str, n_files: int
) -> None:
    path = saved(tmp_path, suffix)
    n_refused = 0
    seconds = 0.0
    for content in mutated_checkpoints(path.read_bytes(), 0, n_files):
        path.write_bytes(content)
        started = time.process_time()
        try:
            load_checkpoint(path)
        except CheckpointError:
            n_refused += 1
        seconds += time.process_time() - started
    assert n_refused > n_files * 0.8
    # Two such tests: 20,000 files in a minute.
    assert seconds < n_files * 30 / 10_000 + 2, f"{n_files} files took {seconds:.0f} s"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_changed_bit_in_a_weight_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*checksum"):
        load_checkpoint(path)


def test_safetensors_without_a_checksum_are_accepted(tmp_path: Path) -> None:
    data = saved(tmp_path, ".safetensors").read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    facts = json.loads(header["__metadata__"]["axion_stage3"])
    del facts["weights_sha256"]
    header["__metadata__"]["axion_stage3"] = json.dumps(facts)
    text = json.dumps(header).encode()
    path = tmp_path / "older.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + n_header :])
    assert load_checkpoint(path).epoch == 28


def test_a_pt_file_that_would_inflate_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(10**7))
    assert path.stat().st_size < 20_000
    with pytest.raises(CheckpointError, match="not stored as it is"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "weight",
    [
        torch.zeros(8, device="meta"),
        torch.zeros(8).to_sparse(),
        torch.zeros(8, dtype=torch.complex64),
        torch.zeros(8, dtype=torch.int64),
        torch.zeros(8).to(torch.float8_e4m3fn),
        torch.full((8,), 1e300, dtype=torch.float64),
    ],
    ids=str,
)
def test_weights_that_are_no_plain_numbers_are_refused(tmp_path: Path, weight: object) -> None:
    entries = document(tmp_path)
    entries["model_state_dict"]["encoder.stem.bias"] = weight
    with pytest.raises(CheckpointError, match="not made of finite"):
        load_checkpoint(written(tmp_path, entries))


def test_a_hostile_size_costs_no_memory(tmp_path: Path) -> None:
    entries = document(tmp_path)
    entries["config"]["network"].update(widths=[1024, 1024, 1024], blocks=[64] * 5)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_checkpoint(written(tmp_path, entries))


def test_half_precision_weights_are_accepted(tmp_path: Path) -> None:
    entries = document(tmp_path)
    halves = {name: value.half() for name, value in entries["model_state_dict"].items()}
    entries["model_state_dict"] = halves
    network = load_checkpoint(written(tmp_path, entries)).network
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, halves[name].float())


def test_the_metadata_of_safetensors_is_readable_json(tmp_path: Path) -> None:
    data = saved(tmp_path, ".safetensors").read_bytes()
    header = json.loads(io.BytesIO(data[8 : 8 + int.from_bytes(data[:8], "little")]).read())
    facts = json.loads(header["__metadata__"]["axion_stage3"])
    assert facts["epoch"] == 28
    assert facts["config"]["network"]["widths"] == [8, 8, 8]
