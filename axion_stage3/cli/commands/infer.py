"""``axion-stage3 infer``: ground a folder of tiles."""

from __future__ import annotations

import os
import sys

from axion_stage3.cli import options


def infer(
    checkpoint: options.Checkpoint = None,
    opt_v2_dir: options.OptV2Dir = None,
    s1_dir: options.S1Dir = None,
    output_dir: options.OutputDir = None,
    tiles: options.Tiles = None,
    shard: options.Shard = None,
    batch_size: options.BatchSize = None,
    timesteps: options.Timesteps = None,
    device: options.Device = None,
    precision: options.Precision = None,
    compile: options.Compile = None,  # noqa: A002 - the entry's and the option's name
    sampler: options.Sampler = None,
    seed: options.Seed = None,
    samples: options.Samples = None,
    opt_scale: options.OptScale = None,
    opt_offset: options.OptOffset = None,
    s1_units: options.S1Units = None,
    fill_invalid: options.FillInvalid = None,
    resample_s1: options.ResampleS1 = None,
    georeference: options.GeoreferenceFile = None,
    save_intermediate: options.SaveIntermediate = None,
    statistics: options.Statistics = None,
    indices: options.Indices = None,
    existing: options.Existing = None,
    max_failures: options.MaxFailures = None,
    retry_failed: options.RetryFailed = None,
    io_threads: options.IoThreads = None,
    engine: options.Engine = None,
    workers: options.Workers = None,
    address: options.Address = None,
    plan: options.Plan = False,
    config_file: options.ConfigFile = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Ground opt_v2 tiles in what the radar saw.

    Each NPZ of --opt-v2-dir is paired with the one of the same file name in
    --s1-dir; the grounded tile gets that name in --output-dir, beside its
    statistics and the summary of the run.

    Options can also come from a --config file or from the environment
    (AXION_STAGE3_BATCH_SIZE=4); what is given here wins.

    For example:

      axion-stage3 infer --opt-v2-dir stage2/ --s1-dir s1/ --output-dir outputs/
    """
    given = dict(locals())
    from axion_stage3.cli.infer_console import InferConsole
    from axion_stage3.cli.infer_log import InferLog
    from axion_stage3.cli.output import Output
    from axion_stage3.cli.path_values import require_lasting
    from axion_stage3.config import InferenceConfig, resolve_config

    entries = {name: given[name] for name in InferenceConfig.model_fields}
    config = resolve_config(
        InferenceConfig, entries, config_file=config_file, environ=os.environ
    ).config
    require_lasting(config.output_dir)
    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    if plan:
        from axion_stage3.cli.plan_report import show_plan

        show_plan(config, output, as_json=json_document)
        raise SystemExit(0)
    # torch takes seconds to import: what is wrong with the options is said before.
    from axion_stage3.inference.grounding_run import run_inference
    from axion_stage3.inference.run_document import run_document

    with (InferLog if output.is_json else InferConsole)(output, config) as console:
        result = run_inference(config, observer=console, command=sys.argv)
    console.run_done(result)
    if json_document:
        output.document(run_document(result, config))
    raise SystemExit(result.exit_code)
