"""``axion-stage3 benchmark``: how fast this machine is, and why."""

from __future__ import annotations

from axion_stage3.cli import benchmark_options, options


def benchmark(
    opt_v2_dir: benchmark_options.TilesOptV2Dir = None,
    s1_dir: benchmark_options.TilesS1Dir = None,
    tile_size: benchmark_options.TileSize = 120,
    timesteps: benchmark_options.TimestepsList = "1,10",
    batch_sizes: benchmark_options.BatchSizes = None,
    against: benchmark_options.AgainstNetwork = None,
    seconds: benchmark_options.Seconds = 2.0,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    precision: options.Precision = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Measure the network, the files and whole runs on this machine.

    Network alone, reading alone, writing alone and from file to file, by batch
    size and timesteps; start-up times and memory; and what of the goals of this
    project is reached. It takes a few minutes; keep the machine idle meanwhile.

    For example:

      axion-stage3 benchmark --against diffusers-unet
      axion-stage3 benchmark --opt-v2-dir stage2/ --s1-dir s1/ --tile-size 256
    """
    from dataclasses import asdict

    from axion_stage3.benchmarking.benchmark import BenchmarkPlan, run_benchmark
    from axion_stage3.cli.benchmark_report import benchmark_text
    from axion_stage3.cli.output import Output

    plan = BenchmarkPlan(
        opt_v2_dir=opt_v2_dir,
        s1_dir=s1_dir,
        tile_px=tile_size,
        checkpoint=checkpoint,
        timesteps=timesteps,
        batch_sizes=batch_sizes,
        device=device or "auto",
        precision=precision or "auto",
        against=against,
        seconds=seconds,
    )
    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    document = run_benchmark(plan, on_step=output.note)
    if json_document:
        output.document(asdict(document))
    else:
        output.data(benchmark_text(document))
