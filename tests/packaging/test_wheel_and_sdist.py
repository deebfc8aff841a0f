"""What is shipped: the wheel and the sdist hold what they should, and the wheel works alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TILES = ROOT / "examples" / "tiles"
PACKAGE_FILES = {
    f"axion_stage3/{path.relative_to(ROOT / 'axion_stage3').as_posix()}"
    for path in (ROOT / "axion_stage3").rglob("*")
    if path.is_file() and path.suffix != ".pyc"
}
BESIDE_IT = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "PKG-INFO"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {name for name in names if ".dist-info/" not in name} == PACKAGE_FILES
    assert {
        "axion_stage3/py.typed",
        "axion_stage3/checkpoints/reference.safetensors",
        "axion_stage3/checkpoints/LICENCE.md",
        "axion_stage3/exporting/page/report.css",
    } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_holds_the_package_and_no_tests_or_data(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()} - {".gitignore"}

    assert names == PACKAGE_FILES | BESIDE_IT


def test_the_wheel_alone_grounds_the_examples(distributions: Path, tmp_path: Path) -> None:
    """In an environment of its own that borrows the dependencies, but not the checkout."""
    (wheel,) = distributions.glob("*.whl")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    target = sysconfig.get_path("purelib", vars={"base": str(environment)})
    # A path that is named in a .pth file has its own .pth files left unread: the editable
    # installation of the checkout is one of those.
    Path(target, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    run(*install, "--no-deps", "--force-reinstall", str(wheel), cwd=tmp_path)
    program = environment / "bin" / "axion-stage3"

    folders = ["--opt-v2-dir", TILES / "opt_v2", "--s1-dir", TILES / "s1", "--output-dir", "out"]
    document = json.loads(
        run(program, "infer", *folders, "--timesteps", "1", "--quiet", "--json", cwd=tmp_path)
    )

    assert document["summary"]["processed"] == len(list(TILES.glob("opt_v2/*.npz")))
    installed = json.loads(run(program, "doctor", "--json", cwd=tmp_path))
    assert Path(installed["location"]) == Path(target, "axion_stage3")
    assert installed["problems"] == []


def run(*command: object, cwd: Path) -> str:
    """Run a program outside the checkout; what it wrote to standard output."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ | {"HOME": str(cwd / "nobody")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
