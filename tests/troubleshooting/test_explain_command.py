"""``axion-stage3 explain`` and what is generated from the catalogue."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from inspection_bench import NAME, Bench

from axion_stage3.cli.app import run
from axion_stage3.inspection.findings_page import FINDINGS_PAGE, findings_page
from axion_stage3.tiles.checks import CATALOGUE, kind_of

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("spelling", ["AX-T007", "ax-t007", "T007", "7"])
def test_one_finding_in_full(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", spelling]) == 0

    text = capsys.readouterr().out
    kind = CATALOGUE["AX-T007"]
    assert text.startswith(f"AX-T007 error: {kind.title}\n")
    flowing = " ".join(text.split())
    for part in (kind.measured, kind.meaning, kind.remedy):
        assert part in flowing
    assert max(map(len, text.splitlines())) <= 80


def test_list_names_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0

    text = capsys.readouterr().out
    assert re.findall(r"^  (AX-T\d+)", text, re.MULTILINE) == list(CATALOGUE)
    assert max(map(len, text.splitlines())) <= 80


def test_unknown_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "AX-T0071"]) == 2
    assert "AX-T007" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["explain"], ["validate", "--ignore"]])
def test_the_code_of_an_error_is_no_finding(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "AX-E402"]) == 2
    said = capsys.readouterr().err
    assert "'AX-E402' is the code of an error" in said
    assert "docs/errors.md" in said
    assert "Near it" not in said


def test_ids_are_well_formed_and_texts_are_sentences() -> None:
    for finding_id, kind in CATALOGUE.items():
        assert re.fullmatch(r"AX-T\d{3}", finding_id)
        assert kind_of(finding_id) is kind
        assert kind.title[0].isupper() or kind.title.startswith("opt_")
        for text in (kind.measured, kind.meaning, kind.remedy):
            assert text.endswith("."), (finding_id, text)


def test_the_page_is_fresh() -> None:
    written = FINDINGS_PAGE.read_text(encoding="utf-8")

    assert written == findings_page(), "stale: run python -m axion_stage3.inspection.findings_page"


def _schema(command: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{command}.schema.json").read_bytes())
    return schema


def _check(command: str, text: str) -> None:
    jsonschema.validate(json.loads(text), _schema(command))


def test_explain_document_fits_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["AX-T020", "AX-T021"]):
        run(["explain", "--json", *arguments])
        _check("explain", capsys.readouterr().out)


def test_inspection_fits_its_schema(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(bench.truth)
    stray = tmp_path / "stray.npz"
    stray.write_text("not a tile")
    for arguments in ([NAME, "--output-dir", str(bench.output_dir)], [str(stray)]):
        run(["inspect-tile", "--json", *arguments])
        _check("inspect-tile", capsys.readouterr().out)
    bench.run(None)
    run(["inspect-tile", "--json", NAME, "--output-dir", str(bench.output_dir)])
    _check("inspect-tile", capsys.readouterr().out)


def test_validation_fits_its_schema(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.opt_v2[0] = 0.1
    bench.run(None)
    folders = ["--opt-v2-dir", str(bench.opt_v2_dir), "--s1-dir", str(bench.s1_dir)]
    for arguments in ([str(bench.output_dir)], folders):
        run(["validate", "--format", "json", *arguments])
        _check("validate", capsys.readouterr().out)


def test_schema_refuses_what_it_does_not_describe(capsys: pytest.CaptureFixture[str]) -> None:
    run(["explain", "--json", "AX-T001"])
    document = json.loads(capsys.readouterr().out)
    document["findings"][0]["surprise"] = 1

    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(document, _schema("explain"))
