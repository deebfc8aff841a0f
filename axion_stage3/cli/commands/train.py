"""``axion-stage3 train``: make a checkpoint from tiles with their truth."""

from __future__ import annotations

from axion_stage3.cli import options, training_options


def train(
    data_dir: training_options.DataDir = None,
    split_file: training_options.SplitFile = None,
    output_dir: training_options.TrainingOutputDir = None,
    max_steps: training_options.MaxSteps = None,
    max_minutes: training_options.MaxMinutes = None,
    batch_size: training_options.TrainingBatchSize = None,
    precision: training_options.TrainingPrecision = None,
    seed: training_options.TrainingSeed = None,
    device: options.Device = None,
    config_file: options.ConfigFile = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Train a checkpoint from your own tiles.

    Without real Stage 2 outputs (opt_v2/), the faults of Stage 2 are simulated
    from the truth and the radar. Training that was interrupted goes on when
    the same command is given again. The output folder receives the best and
    the last checkpoint, a log (training_log.jsonl), the effective configuration
    (training_config.json, for --config) and, in validation/, a picture of the
    same held-out tiles (S1, opt_v2, opt_final, truth) each time.

    For example:

      axion-stage3 train --data-dir d/ --split-file d/tiles.csv --output-dir t/
    """
    from axion_stage3.cli.output import Output
    from axion_stage3.cli.path_values import required
    from axion_stage3.cli.training_report import TrainingConsole, result_lines
    from axion_stage3.config import resolve_config
    from axion_stage3.training.training_config import TrainingConfig
    from axion_stage3.training.training_run import train as run_training

    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    given = {
        "max_steps": max_steps,
        "max_minutes": max_minutes,
        "batch_size": batch_size,
        "precision": precision,
        "seed": seed,
    }
    resolved = resolve_config(TrainingConfig, given, config_file=config_file)
    folder = required(output_dir, "--output-dir")
    with TrainingConsole(output, folder / "validation") as console:
        result = run_training(
            resolved.config,
            data_dir=required(data_dir, "--data-dir"),
            split_file=required(split_file, "--split-file"),
            output_dir=folder,
            device=device or "auto",
            observer=console,
        )
    for line in result_lines(result):
        output.note(line)
    if json_document:
        output.document(result.as_document())
    raise SystemExit(result.exit_code)
