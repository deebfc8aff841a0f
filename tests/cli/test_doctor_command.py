"""``axion-stage3 doctor`` says what is there and what is wrong, and nothing that is secret."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli_workbench import check_document

from axion_stage3 import __version__
from axion_stage3.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: object) -> tuple[int, dict[str, Any]]:
        code = run(["doctor", "--json", *map(str, words)])
        return code, check_document(capsys.readouterr().out, "doctor")

    return call


def test_a_whole_installation(doctor: Any, tmp_path: Path) -> None:
    code, document = doctor(tmp_path)

    assert (code, document["problems"], document["axion_stage3"]) == (0, [], __version__)
    required = {each["name"]: each for each in document["packages"] if each["extra"] is None}
    assert required["torch"]["version"]
    assert required["torch"]["wanted"].startswith(">=")
    assert document["extras"]["plots"] is True
    assert document["devices"][0]["name"] == "cpu"
    assert len(document["checkpoint_sha256"]) == 64
    assert document["folder"]["can_write"] is True
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(doctor: Any, tmp_path: Path) -> None:
    code, document = doctor(tmp_path / "missing")

    assert (code, document["folder"]["can_write"]) == (3, False)
    assert "No such file" in document["problems"][0]


def test_a_package_that_is_missing_and_a_torch_that_cannot_be_loaded(
    doctor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axion_stage3.inference import installation_check

    monkeypatch.setattr(installation_check, "_installed_version", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, document = doctor(tmp_path)

    assert (code, document["devices"], document["extras"]["plots"]) == (3, [], False)
    assert "numpy is not installed." in document["problems"]
    assert any("torch cannot be loaded" in problem for problem in document["problems"])


def test_it_can_be_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "ada.lovelace"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AXION_STAGE3_ADDRESS", "secret-host:6379")

    assert run(["doctor", str(home)]) == 0
    text = capsys.readouterr().out
    assert "AXION_STAGE3_ADDRESS" in text
    assert "secret-host" not in text
    assert "ada.lovelace" not in text
    assert "No problem was found." in text
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str) -> None:
    """The script of each shell, and what the program answers when the shell asks it."""
    program = "from axion_stage3.cli.app import main; main()"
    asked = {
        "bash": {"COMP_WORDS": "axion-stage3 infer --samp", "COMP_CWORD": "2"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "axion-stage3 infer --samp"},
        "fish": {
            "_TYPER_COMPLETE_ARGS": "axion-stage3 infer --samp",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    }[shell]
    answers = []
    for action, more in (("source", {}), ("complete", asked)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"_AXION_STAGE3_COMPLETE": f"{action}_{shell}", "PATH": "/usr/bin:/bin", **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)

    assert "axion-stage3" in answers[0]
    assert "--sampler" in answers[1]
    assert "--samples" in answers[1]
