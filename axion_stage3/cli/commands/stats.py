"""``axion-stage3 stats``: what the tiles of a run come to."""

from __future__ import annotations

from axion_stage3.cli import options, statistics_options


def stats(
    output_dir: statistics_options.RunDir,
    against: statistics_options.Against = None,
    recompute: statistics_options.Recompute = False,
    top: statistics_options.Top = 10,
    opt_v2_dir: options.RunOptV2Dir = None,
    s1_dir: options.RunS1Dir = None,
    csv_file: statistics_options.CsvFile = None,
    parquet_file: statistics_options.ParquetFile = None,
    plots_dir: statistics_options.Plots = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Describe the tiles of a run, or compare two runs.

    Aggregate, spread of each field over the tiles, folders, the most and the
    least changed tiles, outliers by name; with --against the tiles that differ
    from another run. --recompute leaves out the grounding score and indices
    but NDVI, in the comparison with the summary too.

    Exit code 3 where statistics of a tile cannot be computed.

    For example:

      axion-stage3 stats outputs/ --csv tiles.csv
      axion-stage3 stats outputs/ --against outputs_timesteps_1/
    """
    from dataclasses import asdict

    from axion_stage3.cli.output import Output
    from axion_stage3.cli.path_values import require_file_places
    from axion_stage3.cli.statistics_console import compare_with_progress, describe_with_progress
    from axion_stage3.cli.statistics_report import comparison_text, statistics_text
    from axion_stage3.exporting.output_folder import require_apart
    from axion_stage3.exporting.plotting import require_matplotlib
    from axion_stage3.exporting.statistics_files import (
        require_pyarrow,
        write_csv,
        write_parquet,
    )
    from axion_stage3.exporting.statistics_plots import write_plots
    from axion_stage3.runs.run_folder import RunFolder
    from axion_stage3.runs.statistics_document import statistics_document

    # What is missing or refused is said before tiles are read for minutes.
    require_file_places(csv_file, parquet_file)
    run = RunFolder(output_dir, opt_v2_dir=opt_v2_dir, s1_dir=s1_dir)
    require_apart(run, csv_file, parquet_file, plots_dir)
    if parquet_file is not None:
        require_pyarrow()
    if plots_dir is not None:
        require_matplotlib()
    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    statistics = describe_with_progress(
        output, output_dir, recompute=recompute, opt_v2_dir=opt_v2_dir, s1_dir=s1_dir, n_listed=top
    )
    comparison = compare_with_progress(output, output_dir, against) if against else None
    if csv_file is not None:
        write_csv(csv_file, statistics.table)
    if parquet_file is not None:
        write_parquet(parquet_file, statistics.table)
    if plots_dir is not None:
        write_plots(plots_dir, statistics.table)
    if json_document:
        output.document(asdict(statistics_document(statistics, comparison)))
    else:
        output.data(statistics_text(statistics))
        if comparison is not None:
            output.data("\n" + comparison_text(comparison, top))
    raise SystemExit(3 if recompute and statistics.table.unusable else 0)
