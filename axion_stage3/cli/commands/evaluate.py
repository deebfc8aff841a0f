"""``axion-stage3 evaluate``: opt_v2 and opt_final against the truth."""

from __future__ import annotations

from axion_stage3.cli import options, training_options


def evaluate(
    truth_dir: training_options.TruthDir = None,
    opt_v2_dir: training_options.OptV2Dir = None,
    opt_final_dir: training_options.OptFinalDir = None,
    s1_dir: training_options.S1Dir = None,
    data_dir: training_options.DataDir = None,
    split_file: training_options.SplitFile = None,
    family: training_options.Families = None,
    method: training_options.Method = None,
    checkpoint: options.Checkpoint = None,
    timesteps: options.Timesteps = None,
    seed: options.Seed = None,
    samples: options.Samples = None,
    device: options.Device = None,
    csv_file: training_options.Csv = None,
    parquet_file: training_options.Parquet = None,
    quiet: options.Quiet = False,
    json_document: options.Json = False,
) -> None:
    """Compare opt_v2 and opt_final with the truth, with intervals over scenes.

    Either folders of tiles (--truth-dir, --opt-v2-dir and --opt-final-dir, or
    --s1-dir to run the checkpoint on the fly), or held-out scenes with
    simulated Stage 2 outputs (--data-dir and --split-file).

    For example:

      axion-stage3 evaluate --truth-dir truth/ --opt-v2-dir stage2/ --opt-final-dir outputs/
    """
    from axion_stage3.cli.evaluation_report import evaluation_table, write_csv, write_parquet
    from axion_stage3.cli.output import Output
    from axion_stage3.cli.training_report import required
    from axion_stage3.training.evaluation_run import (
        GroundingOptions,
        evaluate_folders,
        evaluate_surrogates,
    )
    from axion_stage3.training.surrogate_families import FAMILIES

    output = Output(is_quiet=quiet or json_document)
    how = GroundingOptions(
        method=method or "checkpoint",
        checkpoint=checkpoint,
        timesteps=timesteps,
        seed=seed or 0,
        samples=1 if samples is None else samples,
        device=device or "auto",
    )
    if data_dir is not None:
        result = evaluate_surrogates(
            data_dir=data_dir,
            split_file=required(split_file, "--split-file"),
            families=family or FAMILIES,
            options=how,
        )
    else:
        result = evaluate_folders(
            truth_dir=required(truth_dir, "--truth-dir"),
            opt_v2_dir=required(opt_v2_dir, "--opt-v2-dir"),
            opt_final_dir=opt_final_dir,
            s1_dir=s1_dir,
            split_file=split_file,
            options=how,
        )
    if csv_file is not None:
        write_csv(result, csv_file)
    if parquet_file is not None:
        write_parquet(result, parquet_file)
    if json_document:
        output.document(result.as_document())
    else:
        output.data(evaluation_table(result))
