"""What ``axion-stage3 inspect-tile`` says about a tile, as text no wider than 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from axion_stage3.cli.text_layout import SEVERITY_COLOURS, WIDTH, indented
from axion_stage3.exporting.wording import counted, decimal, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from axion_stage3.inspection.band_statistics import BandStatistics, Histogram
    from axion_stage3.inspection.finding_record import FindingRecord
    from axion_stage3.inspection.run_story import RunStory
    from axion_stage3.inspection.tile_inspection import FileRecord, InspectionReport

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_KEY_WIDTH: Final = 20
_UNITS: Final = {"opt_v2": "reflectance", "s1": "dB", "opt_final": "reflectance"}
_PLAIN_BELOW: Final = 100
_WHOLE_BELOW: Final = 100_000
_SHOWN_SECONDS: Final = 0.005
_LEVELS: Final = ("min", "5%", "median", "mean", "95%", "max", "std")


def inspection_text(report: InspectionReport, picture: str) -> str:
    """Everything about one tile.

    Args:
        report: What was found out.
        picture: The tile as lines of text; empty for none.
    """
    sections = [typer.style(printable(report.tile), bold=True)]
    sections += ["\n".join(_file(file)) for file in report.files]
    sections += [picture] if picture else []
    sections.append("\n".join(_findings(report.findings)))
    if report.run is not None:
        sections.append("\n".join(_run(report.run)))
    return "\n\n".join(sections)


def _file(file: FileRecord) -> Iterator[str]:
    size = "not there" if file.file_bytes is None else counted(file.file_bytes, "byte")
    path = shortened(printable(file.path), WIDTH - len(file.subject) - len(size) - 5)
    yield f"{typer.style(file.subject, bold=True)}  {path} ({size})"
    if file.layout is not None:
        yield f"  Layout: {file.layout}"
    if file.members:
        yield f"  {'key':<{_KEY_WIDTH}} {'shape':<16} {'type':<6} {'bytes':>14} {'in the file':>14}"
    for member in file.members:
        key = shortened(printable(member.key), _KEY_WIDTH)
        shape = " x ".join(map(str, member.shape)) or "one number"
        use = "" if member.is_used else "  -"
        yield (
            f"  {key:<{_KEY_WIDTH}} {shape:<16} {printable(member.dtype)[:6]:<6} "
            f"{member.n_bytes:>14,} {member.compressed_bytes:>14,}{use}"
        )
    if any(not member.is_used for member in file.members):
        yield "  (-: the bands are not read from it)"
    if file.bands:
        yield ""
        yield from _band_table(file.bands)
        yield ""
        yield from _histogram_table(file.bands)


def _band_table(bands: Iterable[BandStatistics]) -> Iterator[str]:
    yield f"  {'band':<6}" + "".join(f"{level:>10}" for level in _LEVELS)
    for band in bands:
        percentiles = band.percentiles or {}
        levels = (
            band.min,
            percentiles.get("5"),
            percentiles.get("50"),
            band.mean,
            percentiles.get("95"),
            band.max,
            band.std,
        )
        yield f"  {band.band:<6}" + "".join(f"{_level(level):>10}" for level in levels)


def _histogram_table(bands: Iterable[BandStatistics]) -> Iterator[str]:
    counts = f"{'NaN':>6}{'Inf':>6}{'zero':>7}{'no data':>8}"
    yield f"  {'band':<6}{'1%':>9} {'histogram':<24} {'99%':<9}{counts}"
    for band in bands:
        histogram = band.histogram
        low, high = (None, None) if histogram is None else (histogram.low, histogram.high)
        yield (
            f"  {band.band:<6}{_level(low):>9} {_bars(histogram):<24} {_level(high):<9}"
            f"{band.n_nan:>6}{band.n_infinite:>6}{band.n_zero:>7}{band.n_no_data:>8}"
        )


def _bars(histogram: Histogram | None) -> str:
    if histogram is None:
        return "no usable pixel"
    if len(histogram.counts) == 1:
        return "one value throughout"
    most = max(histogram.counts)
    last = len(_BLOCKS) - 1
    return "".join(
        " " if count == 0 else _BLOCKS[round(last * count / most)] for count in histogram.counts
    )


def _level(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) < _PLAIN_BELOW:
        return decimal(value)
    return f"{value:.1f}" if abs(value) < _WHOLE_BELOW else f"{value:.3g}"


def _findings(findings: Iterable[FindingRecord]) -> Iterator[str]:
    yield typer.style("Findings", bold=True)
    if not findings:
        yield "  None."
    for finding in findings:
        severity = typer.style(finding.severity, fg=SEVERITY_COLOURS[finding.severity], bold=True)
        about = ", ".join((finding.subject, *finding.bands))
        yield f"  {finding.id} {severity}: {finding.title} ({about})"
        yield from indented(finding.message, 4)
        yield from indented(f"-> {finding.advice}", 4, 7)


def _run(run: RunStory) -> Iterator[str]:
    state = ", ".join(part for part in (run.state, _started(run)) if part)
    heading = f"Run {printable(run.output_dir)}"
    yield typer.style(heading, bold=True) + (f" ({state})" if state else "")
    if run.outcome is None:
        yield "  The run recorded nothing about this tile."
    else:
        outcome = run.outcome
        phase = f" in the phase {outcome.phase}" if outcome.phase else ""
        stages = ", ".join(
            f"{name.replace('_', ' ')} {seconds:.2f} s"
            for name, seconds in outcome.stage_seconds.items()
            if seconds >= _SHOWN_SECONDS
        )
        spent = f"after {outcome.seconds:.2f} s" + (f" ({stages})" if stages else "")
        yield from indented(f"Outcome: {outcome.outcome}{phase}, {spent}", 2, 4)
        if outcome.message:
            yield from indented(f"Error {outcome.error_code}: {outcome.message}", 2, 4)
        if outcome.hint:
            yield from indented(f"Hint: {outcome.hint}", 2, 4)
        if outcome.statistics:
            yield "  Recorded statistics:"
            yield from _statistics(outcome.statistics)
    if run.command:
        # Commands are not wrapped: they are there to be copied.
        yield f"  Command: {printable(run.command)}"
    if run.rerun_command:
        yield "  Run this one tile again, without touching the run:"
        yield f"    {printable(run.rerun_command)}"


def _started(run: RunStory) -> str:
    return f"started {run.started_at}" if run.started_at else ""


def _statistics(statistics: dict[str, float | int | str | None]) -> Iterator[str]:
    numbers = {name: value for name, value in statistics.items() if isinstance(value, int | float)}
    cells = [f"{name} {_level(value)}" for name, value in numbers.items()]
    width = max(map(len, cells), default=0) + 2
    per_line = max(1, (WIDTH - 4) // width)
    for start in range(0, len(cells), per_line):
        row = "".join(f"{cell:<{width}}" for cell in cells[start : start + per_line])
        yield f"    {row.rstrip()}"
