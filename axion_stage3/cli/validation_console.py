"""``axion-stage3 validate`` at work: results stream from the engine to the report and the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.atomic_write import write_bytes
from axion_stage3.cli.validation_report import FORMATS
from axion_stage3.errors import UsageError
from axion_stage3.inspection.validation import validate_inputs, validate_run
from axion_stage3.inspection.validation_document import (
    SavedValidation,
    ValidationHeader,
    json_line,
    load_validation,
    summary_line,
)
from axion_stage3.inspection.validation_summary import SummaryBuilder
from axion_stage3.processor_cores import n_usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from axion_stage3.cli.output import Output
    from axion_stage3.cli.progress import TileProgress
    from axion_stage3.inspection.finding_record import TileFindings
    from axion_stage3.inspection.tile_checks import CheckOptions
    from axion_stage3.inspection.validation import Validation
    from axion_stage3.inspection.validation_summary import FindingFilter, ValidationSummary


def open_validation(
    output_dir: Path | None,
    opt_v2_dir: Path | None,
    s1_dir: Path | None,
    options: CheckOptions,
    n_workers: int | None,
) -> Validation:
    """Begin a validation of a run's outputs if its folder is given, else of inputs.

    Raises:
        InputError: A folder or its content cannot be used.
        UsageError: No folder was given.
    """
    workers = n_workers or n_usable_cores()
    if output_dir is not None:
        return validate_run(output_dir, opt_v2_dir=opt_v2_dir, s1_dir=s1_dir, n_workers=workers)
    return validate_inputs(opt_v2_dir, s1_dir, options, n_workers=workers)


def open_saved(path: Path, *folders: Path | None) -> SavedValidation:
    """Open a saved validation.

    Raises:
        UsageError: Folders were given too.
        InputError: The file cannot be used.
    """
    if any(folder is not None for folder in folders):
        raise UsageError(
            "--load reports saved results; no folder is checked.",
            hint="Leave the folders out, or leave --load out.",
        )
    return load_validation(path)


def report(
    output: Output,
    source: Validation | SavedValidation,
    format_name: str,
    wanted: FindingFilter,
    save: Path | None,
) -> ValidationSummary:
    """Run or reload a validation and write it; returns the summary of the wanted findings.

    Args:
        output: The sink.
        source: What to report.
        format_name: A key of ``FORMATS``.
        wanted: Which findings are reported.
        save: File for all results, as JSON Lines; None for no file.

    Raises:
        AxionError: The validation cannot go on, or the file cannot be written.
    """
    header = source.header if isinstance(source, SavedValidation) else ValidationHeader.of(source)
    report_format, builder = FORMATS[format_name](), SummaryBuilder()
    _say(output, report_format.begin(header))

    def results() -> Iterator[TileFindings]:
        with output.progress("Checking tiles", header.n_tiles) as progress:
            for result in _counted(source, progress):
                output.detail(f"{result.tile}: findings: {len(result.findings)}")
                shown = wanted.apply(result)
                builder.add(shown)
                _say(output, report_format.tile(shown))
                yield result

    if save is None:
        for _ in results():
            pass
    else:
        write_bytes(save, _saved_lines(header, results()))
    summary = builder.summary()
    _say(output, report_format.end(summary))
    return summary


def _counted(source: Iterable[TileFindings], progress: TileProgress) -> Iterator[TileFindings]:
    for result in source:
        yield result
        if result.is_checked:
            progress.advance()


def _saved_lines(header: ValidationHeader, results: Iterable[TileFindings]) -> Iterator[bytes]:
    everything = SummaryBuilder()
    yield json_line(header).encode() + b"\n"
    for result in results:
        everything.add(result)
        yield json_line(result).encode() + b"\n"
    yield summary_line(everything.summary()).encode() + b"\n"


def _say(output: Output, lines: Iterable[str]) -> None:
    for line in lines:
        output.data(line)
