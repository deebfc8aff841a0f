"""What ``axion-stage3 benchmark`` shows, within 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axion_stage3.benchmarking.benchmark_document import BenchmarkDocument
    from axion_stage3.benchmarking.goals import Goal
    from axion_stage3.benchmarking.whole_runs import RunPace

_VERDICTS = {True: "reached", False: "missed", None: "not measured"}


def benchmark_text(document: BenchmarkDocument) -> str:
    """Write a benchmark as blocks of tables."""
    blocks = [
        _setup_lines(document),
        _network_lines(document),
        _run_lines(document),
        _file_lines(document),
        _process_lines(document),
        _yardstick_lines(document),
        _goal_lines(document),
        [f"The benchmark took {document.seconds:.0f} s."],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _setup_lines(document: BenchmarkDocument) -> list[str]:
    machine, setup = document.machine, document.setup
    workers = f"{setup.n_workers} workers of {setup.n_threads} threads"
    return [
        f"Machine   {machine.device_name}, {machine.n_cores} cores; {machine.system}",
        f"          Python {machine.python}, torch {machine.torch}, device {machine.device}",
        f"Tiles     {setup.n_distinct_tiles} {setup.tile_source}, {setup.tile_px} px",
        f"Network   {setup.parameters / 1e6:.2f} M weights, {setup.precision}; {workers}",
        f"Bound     {document.bound_gmac_per_second:.1f} GMAC/s, multiplying alone",
    ]


def _network_lines(document: BenchmarkDocument) -> list[str]:
    has_ways = any(pace.way != "eager" for pace in document.network)
    heading = (
        f"{'  way':<10}" * has_ways + f"  {'T':>4}{'batch':>7}{'tiles/s':>10}{'GMAC/tile':>11}"
        f"{'GMAC/s':>9}{'of bound':>10}{'RSS MB':>8}{'GPU MB':>8}"
    )
    rows = [
        f"  {pace.way:<8}"
        * has_ways
        + f"  {pace.timesteps:>4}{pace.batch_size:>7}{pace.tiles_per_second:>10.2f}"
        f"{pace.gmac_per_tile:>11.2f}{pace.gmac_per_second:>9.1f}{pace.share_of_bound:>10.0%}"
        f"{_megabytes(pace.peak_rss_mb):>8}{_megabytes(pace.peak_gpu_mb):>8}"
        for pace in document.network
    ]
    return ["The network alone", heading, *rows]


def _run_lines(document: BenchmarkDocument) -> list[str]:
    heading = (
        f"  {'T':>4}{'batch':>7}{'tiles':>7}{'tiles/s':>10}{'read s':>9}{'compute s':>11}"
        f"{'write s':>9}{'waited s':>10}{'RSS MB':>8}"
    )
    return [
        "From file to file (seconds are added up over threads)",
        heading,
        *(_run_line(pace) for pace in document.runs),
    ]


def _run_line(pace: RunPace) -> str:
    stages = pace.stage_seconds
    waited = sum(seconds for stage, seconds in stages.items() if stage.startswith("wait"))
    return (
        f"  {pace.timesteps:>4}{pace.batch_size!s:>7}{pace.n_tiles:>7}"
        f"{pace.tiles_per_second:>10.2f}{stages.get('read', 0.0):>9.2f}"
        f"{stages.get('compute', 0.0):>11.2f}{stages.get('write', 0.0):>9.2f}{waited:>10.2f}"
        f"{_megabytes(pace.peak_rss_mb):>8}"
    )


def _file_lines(document: BenchmarkDocument) -> list[str]:
    heading = f"  {'':<8}{'px':>5}{'tiles/s':>10}{'MB/s':>9}{'numpy tiles/s':>16}{'times':>8}"
    rows = [
        f"  {pace.operation:<8}{pace.tile_px:>5}{pace.tiles_per_second:>10.1f}"
        f"{pace.megabytes_per_second:>9.1f}{pace.numpy_tiles_per_second:>16.1f}"
        f"{pace.times_numpy:>8.2f}"
        for pace in document.files
    ]
    return ["Reading, encoding and writing alone, one thread", heading, *rows]


def _process_lines(document: BenchmarkDocument) -> list[str]:
    heading = f"  {'':<24}{'seconds':>10}{'RSS MB':>8}"
    rows = [
        f"  {pace.command:<24}{pace.seconds:>10.2f}{_megabytes(pace.peak_rss_mb):>8}"
        for pace in document.processes
    ]
    return ["Whole processes, from start to end", heading, *rows]


def _yardstick_lines(document: BenchmarkDocument) -> list[str]:
    pace = document.yardstick
    if pace is None:
        return []
    weights = f"{pace.parameters / 1e6:.2f} M weights"
    alone = f"the network alone, batch {pace.batch_size}"
    return [
        f"Yardstick {pace.name} {pace.version}, {weights}, DDIM, T={pace.timesteps}",
        f"  {pace.tiles_per_second:.2f} tiles/s, {alone}; {pace.gmac_per_tile:.1f} GMAC/tile",
    ]


def _goal_lines(document: BenchmarkDocument) -> list[str]:
    return ["Goals", *(_goal_line(goal) for goal in document.goals)]


def _goal_line(goal: Goal) -> str:
    value = "" if goal.value is None else f"{goal.value:.2f}"
    wanted = f"{goal.direction} {goal.limit:g}"
    return f"  {goal.figure:<41}{value:>9} {wanted:<14}{_VERDICTS[goal.is_reached]}"


def _megabytes(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
