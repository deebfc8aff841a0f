"""``axion-stage3 evaluate``: opt_v2 and opt_final against the truth."""

from __future__ import annotations

from axion_stage3.cli import evaluation_options, options


def evaluate(
    truth_dir: evaluation_options.TruthDir = None,
    opt_v2_dir: evaluation_options.OptV2Dir = None,
    opt_final_dir: evaluation_options.OptFinalDir = None,
    s1_dir: evaluation_options.S1Dir = None,
    data_dir: evaluation_options.ScenesDir = None,
    split_file: evaluation_options.GroupsFile = None,
    family: evaluation_options.Families = None,
    method: evaluation_options.Method = None,
    checkpoint: options.Checkpoint = None,
    timesteps: options.Timesteps = None,
    seed: options.Seed = None,
    samples: evaluation_options.Draws = None,
    device: options.Device = None,
    csv_file: evaluation_options.Csv = None,
    parquet_file: evaluation_options.Parquet = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Compare opt_v2 and opt_final with the truth, with intervals over scenes.

    Either folders of tiles (--truth-dir, --opt-v2-dir and --opt-final-dir, or
    --s1-dir to run the checkpoint on the fly), or held-out scenes with
    simulated Stage 2 outputs (--data-dir and --split-file). Tiles that cannot
    be evaluated are left out and named; the exit code is then 3.

    For example:

      axion-stage3 evaluate --truth-dir t/ --opt-v2-dir s2/ --opt-final-dir out/
    """
    given = dict(locals())
    from axion_stage3.cli.evaluation_choice import evaluate_given
    from axion_stage3.cli.evaluation_report import (
        evaluation_table,
        say_what_is_missing,
        write_csv,
        write_parquet,
    )
    from axion_stage3.cli.output import Output
    from axion_stage3.cli.path_values import require_file_places
    from axion_stage3.exporting.statistics_files import require_pyarrow
    from axion_stage3.storage.locations import refuse_inputs

    # What is missing is said before tiles are evaluated for minutes.
    require_file_places(csv_file, parquet_file)
    inputs = truth_dir, opt_v2_dir, s1_dir, data_dir, split_file
    refuse_inputs(inputs, (csv_file, parquet_file))
    if parquet_file is not None:
        require_pyarrow()
    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    result = evaluate_given(given, output.progress)
    if csv_file is not None:
        write_csv(result, csv_file)
    if parquet_file is not None:
        write_parquet(result, parquet_file)
    if json_document:
        output.document(result.as_document())
    else:
        output.data(evaluation_table(result))
    say_what_is_missing(result, output)
    raise SystemExit(3 if result.left_out else 0)
