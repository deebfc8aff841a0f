"""What the commands write with ``--json`` has a versioned schema in docs/schemas/, and keeps it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
from cli_workbench import check_document

from axion_stage3.cli.app import COMMANDS, command_function, run
from axion_stage3.exporting.schemas import DOCUMENTS, SCHEMAS, schema_files

if TYPE_CHECKING:
    from collections.abc import Callable

    Infer = Callable[..., tuple[int, dict[str, Any]]]

PAGE = (SCHEMAS.parent / "json.md").read_text(encoding="utf-8")


def test_every_command_with_json_has_a_schema_and_a_line_in_the_docs() -> None:
    with_json = set()
    for name in COMMANDS:
        if "json_document" in inspect.signature(command_function(name)).parameters:
            with_json.add(name.replace(" ", "-"))

    assert with_json <= set(DOCUMENTS)
    for name in DOCUMENTS:
        assert f"[{name}](schemas/{name}.schema.json)" in PAGE


@pytest.mark.parametrize("name", [f"{each}.schema.json" for each in [*DOCUMENTS, "configuration"]])
def test_the_schemas_are_fresh_and_schemas(name: str) -> None:
    text = schema_files()[name]

    assert (SCHEMAS / name).read_text(encoding="utf-8") == text, (
        "stale: run python -m axion_stage3.exporting.schemas"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.fixture
def infer(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Infer:
    def call(*arguments: object) -> tuple[int, dict[str, Any]]:
        folders = ["--opt-v2-dir", "stage2_outputs", "--s1-dir", "tiles/s1", "--output-dir", "out"]
        checkpoint = ["--checkpoint", str(workspace / "checkpoints/stage3/best_model.pt")]
        options = ["--timesteps", "1", "--quiet", "--json", *map(str, arguments)]
        code = run(["infer", *folders, *checkpoint, *options])
        return code, check_document(capsys.readouterr().out, "infer")

    return call


def test_infer(infer: Infer) -> None:
    code, document = infer()

    assert (code, document["exit_code"], document["summary"]["processed"]) == (0, 0, 3)
    assert json.loads(Path(document["summary_path"]).read_bytes()) == document["summary"]
    assert infer("--no-stats", "--existing", "overwrite")[1]["summary_path"] is None


def test_infer_with_failed_tiles(infer: Infer) -> None:
    np.savez("stage2_outputs/tile_002.npz", opt_v2=np.zeros((4, 32, 32), np.float32))

    code, document = infer("--max-failures", "1")

    (failed,) = document["summary"]["failed_tiles"]
    assert (code, failed["tile_name"], failed["phase"]) == (3, "tile_002.npz", "read")


@pytest.mark.parametrize(("entry", "value"), [("surprise", 1), ("schema_version", 2)])
def test_the_schema_refuses_what_it_does_not_describe(entry: str, value: int, infer: Infer) -> None:
    _, document = infer()

    with pytest.raises(jsonschema.ValidationError):
        check_document(json.dumps({**document, entry: value}), "infer")
