"""What is quick stays quick: the package and its help load no heavy library."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "safetensors", "matplotlib")


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

    assert callable(axion_stage3.run_inference)
    assert callable(axion_stage3.ground)
    assert {"run_inference", "ground"} <= set(dir(axion_stage3))
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = axion_stage3.missing  # type: ignore[attr-defined]
