"""The report as a document: complete, self-contained, and safe whatever the tiles are called."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from axion_stage3.exporting import html_sections
from axion_stage3.exporting.html_charts import axis_labels
from axion_stage3.exporting.html_report import report_html
from axion_stage3.exporting.html_sections import duration
from axion_stage3.exporting.report_content import (
    gather_report,
    known_statistics,
    measure_against_truth,
)
from axion_stage3.exporting.run_pictures import brightest_change
from axion_stage3.inspection.validation_summary import (
    FindingCount,
    FindingExample,
    FindingRemedy,
)
from axion_stage3.runs.run_folder import RunFolder

HOSTILE = "<img src=x onerror=alert(1)>&\"'$x^2$ 名.npz"
SCRIPT = "</script><script>alert(2)</script>"
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What stands in a page: elements with attributes, texts by element, unclosed elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return "\n".join(self.texts.get(tag, []))


def html_of(output_dir: Path, *, truth_dir: Path | None = None, findings: object = ()) -> str:
    folder = RunFolder(output_dir)
    statistics = known_statistics(folder)
    scores = {}
    if truth_dir is not None:
        scores = measure_against_truth(folder, statistics.table.names, truth_dir)
    report = gather_report(
        folder, statistics, truth_dir=truth_dir, scores=scores, findings=findings
    )  # type: ignore[arg-type]
    return report_html(report)


@pytest.fixture(scope="module")
def html(pictured_run: Path) -> str:
    return html_of(pictured_run, truth_dir=pictured_run.parent / "truth")


@pytest.fixture
def own_run(pictured_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictured_run.parent, tmp_path / "own")) / pictured_run.name


def test_it_says_what_the_run_said(html: str, pictured_run: Path) -> None:
    page = Page(html)
    summary = json.loads((pictured_run / "inference_summary.json").read_text())
    figures = page.text("dd").split("\n")
    assert "9" in figures
    assert f"{summary['success_rate']:.1%}" in figures
    assert f"{summary['tiles_per_second']:.2f}" in figures
    assert f"{summary['aggregate_stats']['change_mean']:.4f}" in figures
    assert "red is NaN in 14 px." in page.text("p")
    assert "--fill-invalid fills them." in page.text("span")
    assert "AX-E415" in page.text("code")
    assert "axion-stage3 infer --output-dir" in page.text("code")
    rows = page.text("td")
    for name in json.loads((pictured_run / "tile_statistics.json").read_text()):
        assert name["tile_name"] in rows


def test_it_needs_nothing_from_outside(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "action", "data", "poster", "background"):
            if name in attributes and tag != "img":
                pytest.fail(f"{tag} asks for {attributes[name][:80]}")
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert {link["href"] for link in page.all("link")} == {"data:,"}
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert "url(" not in page.text("style")
    assert "@import" not in page.text("style")


def test_its_policy_allows_its_own_script_and_style_and_nothing_else(html: str) -> None:
    page = Page(html)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for element in ("script", "style"):
        digest = hashlib.sha256(page.text(element).encode()).digest()
        assert f"{element}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert not any("style" in attributes for _, attributes in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_links_lead_to_parts_that_are_there(html: str) -> None:
    page = Page(html)
    anchors = {attributes.get("id") for _, attributes in page.elements}
    assert {link["href"][1:] for link in page.all("a")} <= anchors
    labelled = {attributes["aria-labelledby"] for attributes in page.all("section")}
    assert labelled <= anchors
    assert len([attributes for _, attributes in page.elements if "id" in attributes]) == len(
        anchors - {None}
    )


def test_pictures_and_charts_are_described(html: str) -> None:
    page = Page(html)
    assert len(page.all("img")) > 20
    assert all(image["alt"] for image in page.all("img"))
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) == 8
    assert all("median" in chart["aria-label"] for chart in charts)


def test_with_truth_it_shows_the_worst_and_the_best(html: str, pictured_run: Path) -> None:
    page = Page(html)
    for title in ("Worst tiles", "Best tiles", "Most changed tiles"):
        assert title in page.text("h3")
    assert "truth" in page.text("figcaption")
    without = Page(html_of(pictured_run))
    assert "Worst tiles" not in without.text("h3")
    assert "truth" not in without.text("figcaption")


def test_hostile_names_stay_text(html: str, own_run: Path) -> None:
    assert HOSTILE in Page(html).text("td")
    assert not any("onerror" in attributes for _, attributes in Page(html).elements)
    path = own_run / "tile_statistics.json"
    document = json.loads(path.read_text())
    for place, name in enumerate((SCRIPT, "\u202egnp.evil", "\x00\x1b[2J", "'\"><svg onload=1>")):
        document.append({**document[0], "tile_name": name, "change_mean": 5.0 + place})
    path.write_text(json.dumps(document))
    spoiled = html_of(own_run)
    page = Page(spoiled)
    assert len(page.all("script")) == 1
    assert not any("onload" in attributes for _, attributes in page.elements)
    assert SCRIPT in page.text("td")
    assert not re.search("[\u202e\x00\x1b]", spoiled)


def test_findings_are_shown_with_advice_and_examples(pictured_run: Path) -> None:
    finding = FindingCount(
        id="AX-T999",
        severity="warning",
        title=f"Something {SCRIPT}",
        n_tiles=8,
        remedies=(
            FindingRemedy("Do that.", 7, (FindingExample(HOSTILE, "opt_v2", "Half of it."),)),
            FindingRemedy("Do this.", 1, (FindingExample("a.npz", "s1", "All of it."),)),
        ),
    )
    page = Page(html_of(pictured_run, findings=[finding]))
    assert "AX-T999" in page.text("code")
    advice = page.text("p")
    assert advice.index("Do that.") < advice.index("Do this.")
    assert HOSTILE in page.text("b")
    assert "and 6 more" in page.text("li")
    assert "8 tiles" in page.text("span")
    nothing = Page(html_of(pictured_run, findings=[]))
    assert "The checks found nothing." in nothing.text("p")
    unasked = Page(html_of(pictured_run, findings=None))
    assert "Findings" not in unasked.text("h2")


def test_a_run_that_was_cut_short_is_told_from_its_journals(own_run: Path) -> None:
    for name in ("inference_summary.json", "tile_statistics.json"):
        (own_run / name).unlink()
    page = Page(html_of(own_run))
    assert "red is NaN in 14 px." in page.text("p")
    assert HOSTILE in page.text("td")


def test_a_folder_of_outputs_alone_has_a_report(own_run: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_run / "runs")
    for name in ("inference_summary.json", "tile_statistics.json"):
        (own_run / name).unlink()
    page = Page(html_of(own_run))
    assert len(page.all("img")) == 6
    assert "Failed tiles" not in page.text("h2")


@pytest.mark.parametrize(
    "summary",
    [
        "[]",
        "{}",
        '{"total_tiles": 1, "processed": "many"}',
        json.dumps(
            {
                **dict.fromkeys(("total_tiles", "processed", "failed", "tiles_per_second"), 9),
                **dict.fromkeys(("success_rate", "processing_time_seconds"), 0.9),
                "failed_tiles": [3, {}, "x"],
                "stage_seconds": {"read": "long"},
                "skipped": None,
            }
        ),
    ],
)
def test_a_foreign_summary_is_taken_as_far_as_it_goes(own_run: Path, summary: str) -> None:
    (own_run / "inference_summary.json").write_text(summary)
    manifest = own_run / "runs" / "run-manifest.json"
    manifest.write_text('{"configuration": 7, "versions": [], "command": "infer", "state": {}}')
    assert Page(html_of(own_run)).text("td")


def test_a_damaged_tile_is_named_where_its_picture_would_be(own_run: Path) -> None:
    (own_run / "south/tile_10.npz").write_bytes(b"damaged")
    page = Page(html_of(own_run))
    assert "It cannot be shown" in page.text("p")


def test_a_long_table_ends_where_it_says(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_sections, "MOST_ROWS", 50)
    path = own_run / "tile_statistics.json"
    row = json.loads(path.read_text())[0]
    rows = [
        {**row, "tile_name": f"t{place:06d}.npz", "change_mean": 1 / (place + 1)}
        for place in range(70)
    ]
    path.write_text(json.dumps(rows))
    page = Page(html_of(own_run))
    cells = page.text("td")
    assert "20 tiles with less change left out" in page.text("p")
    assert "t000049.npz" in cells
    assert "t000050.npz" not in cells


def test_equal_runs_give_equal_reports(pictured_run: Path) -> None:
    assert html_of(pictured_run) == html_of(pictured_run)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (185, "3 min 5 s"), (7440, "2 h 4 min"), (3600, "1 h 0 min")],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("changes", "brightest"),
    [
        ([], 0.01),
        ([0.0003, float("nan")], 0.01),
        ([0.0035] * 12, 0.02),
        ([0.01] * 19 + [0.9], 0.05),
        ([0.3], 1.0),
    ],
)
def test_changes_are_shown_on_the_scale_of_the_run(changes: list[float], brightest: float) -> None:
    assert brightest_change(changes) == brightest


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [
        ((0.02, 0.0363, 0.14), ("0.020", "0.036", "0.140")),
        ((0.0002, 0.000282, 0.0011), ("0.000200", "0.000282", "0.001100")),
        ((-20.0, -11.5, 3.0), ("-20.00", "-11.50", "3.00")),
        ((0.5, 0.5, 0.5), ("0.50", "0.50", "0.50")),
    ],
)
def test_an_axis_tells_its_ends_apart(
    numbers: tuple[float, float, float], labels: tuple[str, str, str]
) -> None:
    assert axis_labels(*numbers) == labels
