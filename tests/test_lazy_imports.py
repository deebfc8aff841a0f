"""What is quick stays quick: the package and its help load no heavy library."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("torch", "numpy", "safetensors", "matplotlib", "fsspec", "s3fs")


def modules_after(statement: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter has loaded after a statement."""
    program = (
        "import sys\n"
        "try:\n"
        f"    {statement}\n"
        "finally:\n"
        "    print('\\nLOADED', *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import axion_stage3",
        "import axion_stage3.cli.app",
        "from axion_stage3.cli.app import run; assert run(['--help']) == 0",
        "from axion_stage3.cli.app import run; assert run(['infer', '--help']) == 0",
        "from axion_stage3.cli.app import run; assert run(['--version']) == 0",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    assert modules_after(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize("room", ["tiles", "statistics", "runs"])
def test_a_room_without_torch(room: str) -> None:
    every_module = (
        "import importlib, pkgutil, axion_stage3."
        f"{room} as room; [importlib.import_module(m.name) "
        "for m in pkgutil.iter_modules(room.__path__, room.__name__ + '.')]"
    )
    assert "torch" not in modules_after(every_module)


def test_the_package_offers_its_functions_by_name() -> None:
    import axion_stage3

    assert set(dir(axion_stage3)) == set(axion_stage3.__all__)
    offered = [getattr(axion_stage3, name) for name in axion_stage3.__all__[1:]]
    assert all(each == axion_stage3.__version__ or callable(each) for each in offered)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = axion_stage3.missing  # type: ignore[attr-defined]


def test_every_command_is_also_a_function() -> None:
    import axion_stage3

    functions = {
        "infer": {"run_inference", "ground", "plan_run"},
        "merge": {"merge_run"},
        "train": {"train"},
        "evaluate": {"evaluate_folders", "evaluate_surrogates"},
        "stats": {"run_statistics", "compare_runs"},
        "visualize": {"visualize_run"},
        "validate": {"validate_inputs", "validate_run"},
        "inspect-tile": {"inspect_tile"},
        "explain": {"explain_findings"},
        "doctor": {"check_installation"},
        "benchmark": {"run_benchmark", "BenchmarkPlan"},
    }

    for names in functions.values():
        assert names <= set(axion_stage3.__all__)


def test_what_looks_at_tiles_and_runs_needs_no_torch() -> None:
    names = "inspect_tile, validate_inputs, validate_run, run_statistics, compare_runs, "
    names += "visualize_run, explain_findings, CheckOptions, LoadOptions, InferenceConfig"

    assert "torch" not in modules_after(f"from axion_stage3 import {names}")


def test_folders_may_be_given_as_text(tmp_path: Path) -> None:
    import axion_stage3 as package
    from axion_stage3.testing.run_factories import make_run

    output_dir = str(make_run(tmp_path, ["north/a.npz", "b.npz"]))
    folders = {"opt_v2_dir": str(tmp_path / "opt_v2"), "s1_dir": str(tmp_path / "s1")}

    inputs = package.validate_inputs(**folders)
    assert [result.tile for result in inputs] == ["b.npz", "north/a.npz"]
    assert len(list(package.validate_run(output_dir, **folders))) == 2
    assert package.inspect_tile("a", output_dir=output_dir, **folders).report.tile == "north/a.npz"
    statistics = package.run_statistics(output_dir, recompute=True, **folders)
    assert statistics.table.names == ("b.npz", "north/a.npz")
    assert package.compare_runs(output_dir, output_dir).n_equal == 2
    into = str(tmp_path / "pictures")
    drawn = package.visualize_run(output_dir, into=into, parts={"report"}, **folders)
    assert drawn.report == f"{into}/report.html"
    truth = {"truth_dir": str(tmp_path / "truth"), "opt_v2_dir": folders["opt_v2_dir"]}
    assert len(package.evaluate_folders(**truth, opt_final_dir=output_dir).tiles) == 2
