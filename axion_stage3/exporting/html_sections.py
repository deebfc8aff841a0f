"""The parts of a run's report, each as HTML; empty where there is nothing to say."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.exporting.html_charts import histogram_chart, shares_chart
from axion_stage3.exporting.html_text import escaped, facts, section, table
from axion_stage3.exporting.png import data_uri
from axion_stage3.exporting.statistics_plots import HISTOGRAM_FIELDS
from axion_stage3.exporting.wording import counted, decimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from axion_stage3.exporting.report_content import PicturedTile, RunReport
    from axion_stage3.inspection.validation_summary import FindingCount, FindingRemedy

MOST_ROWS: Final = 5000
"""Tiles that the table lists; a page with more could hardly be scrolled."""

_COLUMNS: Final = {
    "change_mean": "mean change",
    "change_max": "max change",
    "opt_final_mean": "mean",
    "opt_final_std": "std",
    "ndvi_mean": "NDVI",
}
_FACTS_OF_RUN: Final = (
    "checkpoint", "timesteps", "sampler", "samples", "seed", "precision", "batch_size",
    "opt_v2_dir", "s1_dir", "opt_scale", "s1_units", "fill_invalid", "resample_s1",
)  # fmt: skip


_DOING: Final = {
    "read": " while it was read,",
    "compute": " while it was computed,",
    "check": " while it was checked,",
    "write": " while it was written,",
}


def key_figures(report: RunReport) -> str:
    """The numbers that say how the run went."""
    summary, aggregate = report.summary, report.statistics.aggregate_stats
    entries = []
    if summary:
        entries += [
            ("tiles", f"{summary['total_tiles']:,}"),
            ("written", f"{summary['processed']:,}"),
            ("failed", f"{summary['failed']:,}"),
            ("success", f"{summary['success_rate']:.1%}"),
            ("tiles per second", f"{summary['tiles_per_second']:.2f}"),
            ("processing time", duration(summary["processing_time_seconds"])),
        ]
        for word in ("skipped", "pending"):
            if summary.get(word):
                entries.append((word, f"{summary[word]:,}"))
    else:
        known = report.statistics.table
        entries.append(("tiles", f"{len(known.names) + len(known.unusable):,}"))
    entries += [
        ("mean output value", decimal(aggregate["opt_final_mean"])),
        ("mean change", decimal(aggregate["change_mean"])),
        ("largest change", decimal(aggregate["change_max"])),
    ]
    if report.scores:
        entries += _truth_figures(report)
    if report.n_unscored:
        entries.append(("not compared with the truth", f"{report.n_unscored:,}"))
    return facts(entries, "figures")


def failures(report: RunReport) -> str:
    """Which tiles failed, and why."""
    failed = report.summary.get("failed_tiles", [])
    if not failed:
        return ""
    items = "".join(
        f"<li><h3>{escaped(tile.get('tile_name', ''))}</h3><p>{escaped(tile.get('reason', ''))}"
        f"{_hint(tile.get('hint', ''))}</p>"
        f'<p class="note">{escaped(tile.get("outcome", "failed"))}'
        f"{_DOING.get(str(tile.get('phase')), '')} "
        f"<code>{escaped(tile.get('error_code', ''))}</code></p></li>"
        for tile in failed
    )
    n_more = report.summary.get("failed_tiles_omitted", 0)
    more = f"<p>{counted(n_more, 'more tile')} failed; the journals have them all.</p>"
    return section(
        "failed", "Failed tiles", f'<ul class="failed">{items}</ul>', more * bool(n_more)
    )


def findings(report: RunReport) -> str:
    """What the checks found, the worst first."""
    if report.findings is None:
        return ""
    if not report.findings:
        return section("findings", "Findings", "<p>The checks found nothing.</p>")
    return section("findings", "Findings", *map(_finding, report.findings))


def galleries(report: RunReport) -> str:
    """Tiles with pictures."""
    if not report.galleries:
        return ""
    note = (
        '<p class="note">Optical pictures of one tile share one stretch. '
        "S1: VV magenta, VH green. Change: mean over the bands of |opt_final - opt_v2|, "
        '<span class="ramp" aria-hidden="true"></span> '
        f"0 to {report.brightest_change:g} reflectance.</p>"
    )
    blocks = [
        f"<h3>{escaped(gallery.title)}</h3><p>{escaped(gallery.explanation)}</p>"
        f'<div class="gallery">{"".join(_card(tile) for tile in gallery.tiles)}</div>'
        for gallery in report.galleries
    ]
    return section("pictures", "Tiles to look at", note, *blocks)


def distributions(report: RunReport) -> str:
    """Histograms of the main statistics."""
    columns = report.statistics.table.columns
    charts = [
        histogram_chart(label, columns[name])
        for name, (label, _) in HISTOGRAM_FIELDS.items()
        if name in columns
    ]
    if not any(charts):
        return ""
    note = "<p>One value per tile; reflectance on the scale 0 to 1, NDVI on -1 to 1.</p>"
    body = f'<div class="charts">{"".join(charts)}</div>'
    return section("distributions", "Distributions", note, body)


def throughput(report: RunReport) -> str:
    """Where the time went."""
    seconds = report.summary.get("stage_seconds") or {}
    if not seconds:
        return ""
    note = "<p>Time of all tiles together; stages run side by side, so that their sum can exceed "
    note += "the processing time.</p>"
    return section("time", "Where the time went", note, shares_chart(seconds))


def all_tiles(report: RunReport) -> str:
    """The table of tiles, with its controls."""
    names = report.statistics.table.names
    rows = list(_tile_rows(report))
    if not rows:
        return ""
    headings = ["Tile", "Outcome", *_shown_columns(report).values()]
    if report.scores:
        headings += ["RMSE", "RMSE of opt_v2"]
    n_more = len(names) - sum(1 for row in rows if row[1] == "written")
    note = (
        f"<p>{counted(n_more, 'tile')} with less change left out; "
        "<code>tile_statistics.json</code> (or <code>.jsonl</code>) has them all.</p>"
    )
    controls = (
        '<div class="controls" id="tile-controls" hidden>'
        '<label for="tile-search">Search</label>'
        '<input id="tile-search" type="search" autocomplete="off" spellcheck="false" '
        'placeholder="name or outcome">'
        '<output id="tile-count" for="tile-search"></output></div>'
    )
    return section(
        "tiles",
        "All tiles",
        note if n_more else "",
        controls,
        table(headings, rows, caption="All tiles", n_texts=2, identifier="tile-table"),
        '<p><button type="button" id="tile-more" hidden>Show more</button></p>',
    )


def provenance(report: RunReport) -> str:
    """How the run was made."""
    manifest = report.manifest
    if not manifest:
        return ""
    configuration, versions = (
        entry if isinstance(entry, dict) else {}
        for entry in (manifest.get("configuration"), manifest.get("versions"))
    )
    entries = [
        (word.replace("_", " "), str(manifest[word]))
        for word in ("state", "started_at", "finished_at", "device", "part")
        if manifest.get(word) is not None
    ]
    entries += [
        (name, str(configuration[name]))
        for name in _FACTS_OF_RUN
        if configuration.get(name) is not None
    ]
    entries.append(("checkpoint sha256", str(manifest.get("checkpoint_sha256", ""))))
    entries += [(name, str(word)) for name, word in versions.items()]
    words = manifest.get("command")
    command = shlex.join(map(str, words)) if isinstance(words, list) else ""
    return section(
        "provenance",
        "How the run was made",
        f"<pre><code>{escaped(command)}</code></pre>" if command else "",
        facts(entries, "provenance"),
    )


def duration(seconds: float) -> str:
    """``41.2 s``, ``3 min 5 s``, ``2 h 4 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _truth_figures(report: RunReport) -> list[tuple[str, str]]:
    scores = list(report.scores.values())
    mean = sum(score.opt_final for score in scores) / len(scores)
    entries = [("RMSE to the truth", decimal(mean))]
    pairs = [score for score in scores if score.opt_v2 is not None]
    if pairs:
        before = sum(score.opt_v2 or 0.0 for score in pairs) / len(pairs)
        n_better = sum(score.opt_final < (score.opt_v2 or 0.0) for score in pairs)
        entries += [
            ("RMSE of opt_v2", decimal(before)),
            ("nearer than opt_v2", f"{n_better / len(pairs):.0%}"),
        ]
    return entries


def _hint(hint: str) -> str:
    return f'<br><span class="hint">{escaped(hint)}</span>' if hint else ""


def _finding(count: FindingCount) -> str:
    remedies = "".join(map(_remedy, count.remedies))
    severity = escaped(count.severity)
    return (
        f'<details class="finding"><summary><span class="badge {severity}">{severity}</span> '
        f"<code>{escaped(count.id)}</code> {escaped(count.title)} "
        f'<span class="count">{counted(count.n_tiles, "tile")}</span></summary>'
        f"{remedies}</details>"
    )


def _remedy(remedy: FindingRemedy) -> str:
    examples = "".join(
        f"<li><b>{escaped(example.tile)}</b> {escaped(example.message)}</li>"
        for example in remedy.examples
    )
    n_more = remedy.n_tiles - len(remedy.examples)
    more = f"<li>and {n_more:,} more</li>" if n_more > 0 else ""
    return f"<p>{escaped(remedy.advice)}</p><ul>{examples}{more}</ul>"


def _card(tile: PicturedTile) -> str:
    pictures = "".join(
        f'<figure><img src="{data_uri(picture.image)}" '
        f'width="{picture.image.shape[1]}" height="{picture.image.shape[0]}" '
        f'alt="{escaped(picture.caption)} of {escaped(tile.name)}">'
        f"<figcaption>{escaped(picture.caption)}</figcaption></figure>"
        for picture in tile.pictures
    )
    trouble = f"<p>It cannot be shown: {escaped(tile.trouble)}</p>" if tile.trouble else ""
    numbers = facts([(label, decimal(value)) for label, value in tile.facts], "numbers")
    return (
        f"<article><h4>{escaped(tile.name)}</h4>"
        f'<div class="pictures">{pictures}</div>{trouble}{numbers}</article>'
    )


def _shown_columns(report: RunReport) -> Mapping[str, str]:
    columns = report.statistics.table.columns
    return {name: label for name, label in _COLUMNS.items() if name in columns}


def _tile_rows(report: RunReport) -> Iterator[list[str]]:
    """Cells of each row: failed tiles first, then the most changed."""
    statistics_table, shown = report.statistics.table, _shown_columns(report)
    n_numbers = len(shown) + (2 if report.scores else 0)
    failed: list[Any] = report.summary.get("failed_tiles", [])
    for tile in failed:
        name, outcome = tile.get("tile_name", ""), tile.get("outcome", "failed")
        yield [escaped(name), escaped(outcome), *["-"] * n_numbers]
    changes = statistics_table.columns.get("change_mean")
    order = (
        range(len(statistics_table.names)) if changes is None else (-changes).argsort(kind="stable")
    )
    for place in list(order)[:MOST_ROWS]:
        name = statistics_table.names[place]
        cells = [decimal(float(statistics_table.columns[column][place])) for column in shown]
        if report.scores:
            score = report.scores.get(name)
            cells.append(decimal(score.opt_final if score else None))
            cells.append(decimal(score.opt_v2 if score else None))
        yield [escaped(name), "written", *cells]
