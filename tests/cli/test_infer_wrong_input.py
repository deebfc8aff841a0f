"""Wrong input: one clear message, the documented exit code, no traceback, inputs untouched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cli_workbench import state_of

from axion_stage3.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable

OPT_V2 = Path("stage2_outputs/tile_001.npz")
S1 = Path("tiles/s1/tile_001.npz")
CHECKPOINT = Path("checkpoints/stage3/best_model.pt")
OPTIONS = {
    "--checkpoint": str(CHECKPOINT),
    "--opt-v2-dir": "stage2_outputs/",
    "--s1-dir": "tiles/s1/",
    "--output-dir": "outputs",
}

pytestmark = pytest.mark.usefixtures("workspace")


def infer(*extra: str, **changed: str) -> int:
    """Run ``infer`` on the workspace, with some options changed."""
    options = OPTIONS | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return run(["infer", *(word for item in options.items() for word in item), *extra])


def optical() -> np.ndarray:
    """The optical tile of the first pair, (4, H, W), whatever its layout."""
    with np.load(OPT_V2) as tile:
        bands = np.stack([tile[key] for key in tile.files])
    return bands.reshape(4, *bands.shape[-2:])


def radar() -> np.ndarray:
    """The radar tile of the first pair, (2, H, W)."""
    with np.load(S1) as tile:
        bands = np.stack([tile[key] for key in tile.files])
    return bands.reshape(2, *bands.shape[-2:])


def as_nan(array: np.ndarray) -> np.ndarray:
    """The array with one pixel that is no number."""
    array[0, 3, 4] = np.nan
    return array


TILE_FAULTS: dict[str, tuple[Callable[[], object], list[str]]] = {
    "a text file": (lambda: OPT_V2.write_text("no tile\n"), ["stage2_outputs/tile_001.npz"]),
    "truncated": (lambda: OPT_V2.write_bytes(OPT_V2.read_bytes()[:-200]), ["tile_001.npz"]),
    "missing keys": (
        lambda: np.savez(OPT_V2, red=optical()[0], green=optical()[1]),
        ["red", "green", "opt_v2", "s2_b2", "opt_v2_b8"],
    ),
    "three bands": (lambda: np.savez(OPT_V2, opt_v2=optical()[:3]), ["(3, ", "4"]),
    "NaN": (lambda: np.savez(OPT_V2, opt_v2=as_nan(optical())), ["--fill-invalid"]),
    "NaN in the radar": (lambda: np.savez(S1, s1=as_nan(radar())), ["--fill-invalid"]),
    "all zero": (lambda: np.savez(OPT_V2, opt_v2=0 * optical()), ["zero"]),
    "digital numbers": (lambda: np.savez(OPT_V2, opt_v2=1e4 * optical()), ["--opt-scale 10000"]),
    "linear": (lambda: np.savez(S1, s1=10 ** (radar() / 10)), ["--s1-units linear"]),
    "another size": (
        lambda: np.savez(S1, s1=radar()[:, :60, :64]),
        ["60", "64", "--resample-s1"],
    ),
}


@pytest.mark.parametrize("fault", TILE_FAULTS)
def test_a_bad_tile_fails_with_its_reason(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = TILE_FAULTS[fault]
    make()
    before = state_of("stage2_outputs", "tiles")

    assert infer() == 3

    err = capsys.readouterr().err
    warning = err.partition("⚠ Warning: 1 tile failed:\n  - tile_001.npz\n")[2]
    assert warning, err
    assert [word for word in words if word not in warning] == []
    assert "Traceback" not in err
    assert all(len(line) <= 80 for line in err.splitlines())
    assert "  Processed: 2\n" in err
    assert {path.name for path in Path("outputs").glob("*.npz")} == {"tile_002.npz", "tile_003.npz"}
    (failed,) = json.loads(Path("outputs/inference_summary.json").read_text())["failed_tiles"]
    assert failed["tile_name"] == "tile_001.npz"
    assert failed["error_code"].startswith("AX-E4")
    assert state_of("stage2_outputs", "tiles") == before


def test_quiet_still_names_the_tiles_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    OPT_V2.write_text("no tile\n")

    assert infer("--quiet") == 3

    assert capsys.readouterr().err.startswith("⚠ Warning: 1 tile failed:\n  - tile_001.npz\n")


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("NaN", ["--fill-invalid"]),
        ("NaN in the radar", ["--fill-invalid"]),
        ("digital numbers", ["--opt-scale", "10000"]),
        ("linear", ["--s1-units", "linear"]),
        ("another size", ["--resample-s1"]),
    ],
)
def test_the_option_that_a_message_names_helps(fault: str, remedy: list[str]) -> None:
    for path in (*Path("stage2_outputs").glob("*"), *Path("tiles/s1").glob("*")):
        if path.name != "tile_001.npz":
            path.unlink()
    TILE_FAULTS[fault][0]()

    assert infer(*remedy) == 0

    with np.load("outputs/tile_001.npz") as tile:
        assert np.isfinite(tile["opt_final"]).all()
        if remedy == ["--fill-invalid"]:
            assert not tile["valid_mask"][3, 4]
            assert tile["valid_mask"].sum() == tile["valid_mask"].size - 1


def rename_all() -> None:
    for number, path in enumerate(Path("tiles/s1").iterdir()):
        path.rename(path.with_name(f"tile_00{number}_s1.npz"))


def empty(folder: str) -> None:
    for path in Path(folder).iterdir():
        path.unlink()


def save_foreign_checkpoint() -> None:
    import torch

    document = torch.load(CHECKPOINT, weights_only=True)
    weights = {f"module.{name}": value for name, value in document["model_state_dict"].items()}
    torch.save({**document, "model_state_dict": weights}, CHECKPOINT)


def save_pickled_checkpoint() -> None:
    import torch

    torch.save({"model_state_dict": {}, "epoch": 1, "config": Path("x")}, CHECKPOINT)


RUN_FAULTS: dict[str, tuple[Callable[[], object], dict[str, str], int, list[str]]] = {
    "no opt_v2 folder": (lambda: None, {"opt_v2_dir": "nowhere"}, 4, ["nowhere"]),
    "no s1 folder": (lambda: None, {"s1_dir": "nowhere"}, 4, ["nowhere"]),
    "a file for a folder": (lambda: None, {"s1_dir": str(S1)}, 4, [str(S1)]),
    "empty opt_v2 folder": (lambda: empty("stage2_outputs"), {}, 4, ["stage2_outputs"]),
    "empty s1 folder": (lambda: empty("tiles/s1"), {}, 4, ["tiles/s1"]),
    "no pairs": (
        rename_all,
        {},
        4,
        ["No matching tile pairs found between stage2_outputs/ and tiles/s1/", "tile_001_s1.npz"],
    ),
    "output is a file": (lambda: None, {"output_dir": str(CHECKPOINT)}, 6, [str(CHECKPOINT)]),
    "output below a file": (lambda: None, {"output_dir": f"{CHECKPOINT}/x"}, 6, [str(CHECKPOINT)]),
    "no checkpoint": (lambda: None, {"checkpoint": "nowhere.pt"}, 5, ["nowhere.pt"]),
    "corrupt checkpoint": (
        lambda: CHECKPOINT.write_bytes(CHECKPOINT.read_bytes()[:2000]),
        {},
        5,
        [str(CHECKPOINT)],
    ),
    "foreign checkpoint": (save_foreign_checkpoint, {}, 5, ["missing", "unexpected"]),
    "pickled checkpoint": (save_pickled_checkpoint, {}, 5, ["pickle"]),
    "no timesteps": (lambda: None, {"timesteps": "0"}, 2, ["--timesteps is 0"]),
    "output in an input": (lambda: None, {"output_dir": "tiles/s1/out"}, 2, ["overlap"]),
    "no such file": (lambda: None, {"config": "nowhere.toml"}, 2, ["nowhere.toml"]),
}


@pytest.mark.parametrize("fault", RUN_FAULTS)
def test_what_ends_a_run_is_one_message(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, changed, code, words = RUN_FAULTS[fault]
    make()
    before = state_of("stage2_outputs", "tiles")

    assert infer("--quiet", **changed) == code

    streams = capsys.readouterr()
    message, *hints = streams.err.splitlines()
    assert message.startswith("Error AX-E")
    assert [word for word in words if word not in message] == []
    assert len(hints) == 1
    assert hints[0].startswith("  Hint: ")
    assert streams.out == ""
    assert state_of("stage2_outputs", "tiles") == before


def test_cuda_without_cuda(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")

    assert infer(device="cuda") == 7

    err = capsys.readouterr().err
    assert err.startswith("Error AX-E700: ")
    assert "--device cpu" in err


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="pathlib takes circles of links")
@pytest.mark.parametrize("option", ["opt_v2_dir", "output_dir"])
def test_a_circle_of_links_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop").symlink_to("loop")
    assert infer(**{option: "loop"}) == 2
    assert "The links of loop lead in a circle.\n" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="the folder in use cannot be removed")
def test_a_working_directory_that_is_gone_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path.cwd().rmdir()
    assert infer() == 4
    assert "The working directory is not there any more." in capsys.readouterr().err


def test_missing_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["infer"]) == 2

    err = capsys.readouterr().err
    for option in ("--opt-v2-dir", "--s1-dir", "--output-dir"):
        assert f"{option} is missing" in err


def test_another_configuration_in_the_same_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("--quiet") == 0
    before = state_of("outputs")

    assert infer("--quiet", timesteps="3") == 6

    err = capsys.readouterr().err
    assert "timesteps: 10 -> 3" in err
    assert "--existing overwrite" in err
    tiles = [name for name in before if name.endswith(".npz")]
    assert {name: state_of("outputs")[name] for name in tiles} == {n: before[n] for n in tiles}


def test_max_failures_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2, 3):
        Path(f"stage2_outputs/tile_00{number}.npz").write_text("no tile\n")

    assert infer("--max-failures", "0", "--io-threads", "1") == 3

    err = capsys.readouterr().err
    assert "Inference Stopped (too many tiles failed" in err
    assert "  Not processed: " in err


def test_failed_tiles_are_retried_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    good = OPT_V2.read_bytes()
    OPT_V2.write_text("no tile\n")
    assert infer("--quiet") == 3
    OPT_V2.write_bytes(good)

    assert infer("--retry-failed") == 0

    assert "Processing tiles: 1/1" in capsys.readouterr().err
    assert Path("outputs/tile_001.npz").is_file()


def test_the_program_as_a_process() -> None:
    # Options are checked before torch is imported, so this is quick.
    command = [sys.executable, "-X", "importtime", "-m", "axion_stage3", "infer"]
    words = [word for item in OPTIONS.items() for word in item]
    done = subprocess.run(
        [*command, *words, "--timesteps", "0"], capture_output=True, text=True, check=False
    )

    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert done.stdout == ""
    assert said[0].startswith("Error AX-E200: ")
    assert said[1].startswith("  Hint: ")
    assert len(said) == 2
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
