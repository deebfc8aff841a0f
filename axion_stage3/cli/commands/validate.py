"""``axion-stage3 validate``: check the inputs of a run before it, or its outputs after it."""

from __future__ import annotations

from axion_stage3.cli import inspection_options, options


def validate(
    output_dir: inspection_options.RunDir = None,
    opt_v2_dir: options.RunOptV2Dir = None,
    s1_dir: options.RunS1Dir = None,
    opt_scale: options.OptScale = None,
    opt_offset: options.OptOffset = None,
    s1_units: options.S1Units = None,
    fill_invalid: options.FillInvalid = None,
    resample_s1: options.ResampleS1 = None,
    report_format: inspection_options.Format = "text",
    min_severity: inspection_options.MinSeverity = "info",
    ignore: inspection_options.Ignore = None,
    fail_on: inspection_options.FailOn = "error",
    save: inspection_options.Save = None,
    load: inspection_options.Load = None,
    workers: inspection_options.Workers = None,
    checkpoint: inspection_options.RangeCheckpoint = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Check whole folders of tiles, and say what is wrong and what to do.

    Before a run: pairing, files, layouts, shapes, units, pixels, and whether
    both tiles of a pair show the same place. After a run, with its output
    folder: failed tiles, and the outputs.

    Exit code 3 where a finding reaches --fail-on.

    For example:

      axion-stage3 validate --opt-v2-dir stage2/ --s1-dir s1/
      axion-stage3 validate outputs/ --format jsonl
    """
    given = dict(locals())
    from axion_stage3.cli.check_options import check_options, require_result_place
    from axion_stage3.cli.output import Output
    from axion_stage3.cli.validation_console import open_saved, open_validation, report
    from axion_stage3.errors import UsageError
    from axion_stage3.inspection.validation_summary import FindingFilter
    from axion_stage3.tiles.checks import kind_of
    from axion_stage3.tiles.findings import Severity

    if json_document and report_format not in ("text", "json"):
        raise UsageError(
            f"--json contradicts --format {report_format}.", hint="Leave one of them out."
        )
    ignored = frozenset(kind_of(finding_id).id for finding_id in ignore or ())
    wanted = FindingFilter(Severity.of_word(min_severity), ignored)
    require_result_place(save, given)
    source = (
        open_saved(load, output_dir, opt_v2_dir, s1_dir)
        if load is not None
        else open_validation(
            output_dir,
            opt_v2_dir,
            s1_dir,
            check_options(given),
            workers,
        )
    )
    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    summary = report(output, source, "json" if json_document else report_format, wanted, save)
    is_reached = fail_on != "never" and summary.reaches(Severity.of_word(fail_on))
    raise SystemExit(3 if is_reached else 0)
