"""Training sets, synthetic and of a few real tiles; a configuration that trains in seconds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from finished_training import Finished, make_trainer

from axion_stage3.runs.interruption import Interruption
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training import surrogate_families, training_material
from axion_stage3.training.dataset import SplitEntry, TrainingTile, load_tiles
from axion_stage3.training.radar_generator import DrawCounts
from axion_stage3.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from axion_stage3.training.trainer import Trainer

EXAMPLES = Path(__file__).parents[2] / "examples" / "tiles"
N_TRAIN, N_VAL = 4, 2


@pytest.fixture(scope="session")
def example_tiles(tmp_path_factory: pytest.TempPathFactory) -> list[TrainingTile]:
    """The real tiles of the examples, each a group of its own."""
    data_dir = tmp_path_factory.mktemp("examples")
    (data_dir / "s1").symlink_to(EXAMPLES / "s1")
    (data_dir / "s2_truth").symlink_to(EXAMPLES / "truth")
    names = sorted(path.name for path in (EXAMPLES / "truth").glob("*.npz"))
    return load_tiles(data_dir, [SplitEntry(name, name, "train") for name in names])


@pytest.fixture(scope="session")
def shared_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set that is not to be changed."""
    folder = tmp_path_factory.mktemp("training") / "data"
    for part in ("s1", "s2_truth"):
        (folder / part).mkdir(parents=True)
    lines = ["tile,group,split"]
    for number in range(N_TRAIN + N_VAL):
        name = f"tile_{number}.npz"
        tile = make_tile(number, 48, 56)
        write_npz(folder / "s1" / name, {"s1": tile.s1})
        keys = ("s2_b2", "s2_b3", "s2_b4", "s2_b8")
        write_npz(folder / "s2_truth" / name, dict(zip(keys, tile.truth, strict=True)))
        split = "train" if number < N_TRAIN else "val"
        lines.append(f"{name},group_{number},{split}")
    (folder / "split.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def data_dir(shared_data_dir: Path, tmp_path: Path) -> Path:
    """A training set of one's own."""
    return shutil.copytree(shared_data_dir, tmp_path / "data")


@pytest.fixture(scope="session")
def config() -> TrainingConfig:
    return TrainingConfig(
        batch_size=2,
        crop_px=32,
        max_steps=6,
        warmup_steps=1,
        validate_every=3,
        generator_steps=1,
        equalizer_crops=16,
        gate_crops=0,
        draw_crops=0,
        generator_batch_size=2,
    )


@pytest.fixture(scope="module")
def little_material() -> Iterator[None]:
    """One draw of the generators for a tile, not eleven; no test of training looks at the draws."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (training_material, surrogate_families):
            patch.setattr(module, "N_DRAWS", DrawCounts(sharp=1, smooth=0))
        patch.setattr(training_material, "_BATCHES_FOR_CONSTANTS", 4)
        yield


@pytest.fixture
def start(
    little_material: None, shared_data_dir: Path, tmp_path: Path
) -> Callable[[TrainingConfig, str], Trainer]:
    """Make a trainer with its output in a folder of the given name."""
    return lambda config, name: make_trainer(shared_data_dir, config, tmp_path / name)


@pytest.fixture(scope="module")
def finished(
    little_material: None,
    shared_data_dir: Path,
    config: TrainingConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:
    """Not to be changed, and neither is its folder."""
    trainer = make_trainer(shared_data_dir, config, tmp_path_factory.mktemp("finished") / "run")
    before = {k: v.clone() for k, v in trainer.average.module.state_dict().items()}
    return Finished(trainer, before, trainer.run(Interruption()))
