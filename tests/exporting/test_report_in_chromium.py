"""The report in a real browser: silent, complete, and usable with mouse and keyboard."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from headless_chromium import find_chromium, open_browser

from axion_stage3.exporting.visualization import visualize_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headless_chromium import Page

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: the HTML report is not checked in a browser"
)

VISIBLE_NAMES = (
    "[...document.querySelectorAll('#tile-table tbody tr')]"
    ".filter((row) => row.offsetParent !== null).map((row) => row.cells[0].textContent)"
)
FOCUS = "document.activeElement.textContent.trim() || document.activeElement.id"


@pytest.fixture(scope="module")
def report(pictured_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the run, alone in a folder."""
    into = tmp_path_factory.mktemp("report")
    visualize_run(
        pictured_run, into=into, parts={"report"}, truth_dir=pictured_run.parent / "truth"
    )
    return into / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None
    with open_browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    """The report, freshly opened on a wide screen."""
    browser.show_as(1280)
    browser.open(report)
    return browser


def sorted_by(page: Page, heading: str) -> list[str]:
    """Click a heading and return the column."""
    return page.evaluate(
        "(() => {const headings = [...document.querySelectorAll('#tile-table th')];"
        f"const place = headings.findIndex((cell) => cell.textContent === {heading!r});"
        "headings[place].querySelector('button').click();"
        "return [...document.querySelectorAll('#tile-table tbody tr')]"
        ".map((row) => row.cells[place].textContent);})()"
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("is_dark", [False, True])
def test_it_opens_in_silence_and_fits(
    browser: Page, report: Path, width: int, is_dark: bool
) -> None:
    browser.show_as(width, is_dark=is_dark)
    browser.open(report)
    assert browser.complaints == []
    outside = [url for url in browser.requests if not url.startswith("data:")]
    assert outside == [report.as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, paper[4:-1].split(","))) / 3
    assert brightness < 60 if is_dark else brightness > 200


def test_long_paths_are_broken_on_a_phone(
    browser: Page, pictured_run: Path, tmp_path: Path
) -> None:
    output_dir = Path(shutil.copytree(pictured_run, tmp_path / "outputs"))
    summary = output_dir / "inference_summary.json"
    document = json.loads(summary.read_text())
    document["failed_tiles"][0]["reason"] = f"{'very_long_folder/' * 9}tile.npz cannot be read."
    document["failed_tiles"][0]["hint"] = "x" * 90
    summary.write_text(json.dumps(document))
    visualize_run(output_dir, into=tmp_path, parts={"report"}, with_findings=False)
    browser.show_as(390)
    browser.open(tmp_path / "report.html")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_picture_is_there(page: Page) -> None:
    pictures = page.evaluate(
        "[...document.images].map((image) => image.complete && image.naturalWidth > 0)"
    )
    assert len(pictures) > 20
    assert all(pictures)


def test_text_has_contrast_in_light_and_dark(browser: Page, report: Path) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 for text."""
    contrast = """
        (() => {
          const luminance = (colour) => {
            const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
              .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
          };
          const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const colour = getComputedStyle(at).backgroundColor;
              if (colour !== "rgba(0, 0, 0, 0)") return colour;
            }
            return "rgb(255, 255, 255)";
          };
          const low = [];
          for (const element of document.querySelectorAll("main *, header *, footer *")) {
            const hasText = [...element.childNodes].some(
              (node) => node.nodeType === 3 && node.textContent.trim());
            if (!hasText || element.offsetParent === null) continue;
            const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance);
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) low.push(`${element.tagName} ${element.className} ${ratio}`);
          }
          return low;
        })()
    """
    for is_dark in (False, True):
        browser.show_as(1280, is_dark=is_dark)
        browser.open(report)
        assert browser.evaluate(contrast) == []


def test_search_narrows_the_table(page: Page) -> None:
    assert page.evaluate(f"{VISIBLE_NAMES}.length") == 9
    page.evaluate("document.getElementById('tile-search').focus()")
    page.type("SOUTH")
    assert page.evaluate(VISIBLE_NAMES) == ["south/tile_10.npz"]
    assert page.evaluate("document.getElementById('tile-count').textContent") == "1 of 9 tiles"
    page.evaluate("document.getElementById('tile-search').value = ''")
    page.type("failed")
    assert page.evaluate(VISIBLE_NAMES) == ["north/tile_03.npz"]
    page.type(" nothing")
    assert page.evaluate(VISIBLE_NAMES) == []


def test_headings_sort_the_table(page: Page) -> None:
    down = sorted_by(page, "mean change")
    numbers = [float(cell) for cell in down[:-1]]
    assert numbers == sorted(numbers, reverse=True)
    assert down[-1] == "-"
    up = sorted_by(page, "mean change")
    assert [float(cell) for cell in up[:-1]] == numbers[::-1]
    assert up[-1] == "-"
    assert page.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
    names = sorted_by(page, "Tile")
    assert [name for name in names if name.startswith("north")] == [
        f"north/tile_{place:02d}.npz" for place in range(7)
    ]


def test_long_tables_are_shown_in_parts(browser: Page, pictured_run: Path, tmp_path: Path) -> None:
    """Rows beyond the first hundred come on demand; searching looks at all of them."""
    output_dir = Path(shutil.copytree(pictured_run, tmp_path / "outputs"))
    statistics = output_dir / "tile_statistics.json"
    row = json.loads(statistics.read_text())[0]
    rows = [{**row, "tile_name": f"tile_{place:03d}.npz"} for place in range(250)]
    statistics.write_text(json.dumps(rows))
    visualize_run(output_dir, into=tmp_path, parts={"report"}, with_findings=False)
    browser.open(tmp_path / "report.html")
    assert browser.evaluate(f"{VISIBLE_NAMES}.length") == 100
    browser.evaluate("document.getElementById('tile-more').click()")
    assert browser.evaluate(f"{VISIBLE_NAMES}.length") == 200
    browser.evaluate("document.getElementById('tile-more').click()")
    assert browser.evaluate(f"{VISIBLE_NAMES}.length") == 251
    assert browser.evaluate("document.getElementById('tile-more').hidden")
    browser.evaluate("document.getElementById('tile-search').focus()")
    browser.type("_249")
    assert browser.evaluate(VISIBLE_NAMES) == ["tile_249.npz"]


def test_it_can_be_used_with_the_keyboard_alone(page: Page) -> None:
    page.press("Tab")
    assert page.evaluate(FOCUS) == "Skip to the report"
    page.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")
    for _ in range(40):
        page.press("Tab")
        if page.evaluate(FOCUS) == "tile-search":
            break
    page.type("north")
    assert page.evaluate(f"{VISIBLE_NAMES}.length") == 7
    for _ in range(3):
        page.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "BUTTON":
            break
    assert page.evaluate(FOCUS) == "Tile"
    page.press("Enter")
    assert page.evaluate(VISIBLE_NAMES) == [f"north/tile_{place:02d}.npz" for place in range(7)]
    page.press(" ")
    assert page.evaluate("document.querySelector('[aria-sort]').ariaSort") == "descending"


def test_hostile_names_run_nothing(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('img:not([alt])').length") == 0
    assert page.evaluate("document.scripts.length") == 1
    # What escaping might miss the policy stops: a handler put into the page does not run.
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', "
        '\'<img src="data:,x" onerror="window.wasRun = true">\')'
    )
    page.evaluate("new Promise((done) => setTimeout(done, 300))")
    assert page.evaluate("window.wasRun") is None
