"""``axion-stage3 visualize``: figures, contact sheets and the report of a run."""

from __future__ import annotations

from axion_stage3.cli import inspection_options, options, statistics_options, visualization_options


def visualize(
    output_dir: statistics_options.RunDir,
    into: visualization_options.Into = None,
    only: visualization_options.Only = None,
    tile: visualization_options.Tiles = None,
    limit: visualization_options.Limit = 48,
    truth_dir: visualization_options.PictureTruthDir = None,
    opt_v2_dir: options.RunOptV2Dir = None,
    s1_dir: options.RunS1Dir = None,
    indices: visualization_options.FigureIndices = None,
    findings: visualization_options.WithFindings = True,
    workers: inspection_options.Workers = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Draw the tiles of a run, and report on it in one HTML file.

    A figure per tile (S1, opt_v2, opt_final, change, NDVI, and uncertainty and
    truth if there are), contact sheets, and report.html, which opens anywhere
    without a network. Pictures need the extra plots, the report none.

    Exit code 3 where a tile cannot be drawn.

    For example:

      axion-stage3 visualize outputs/
      axion-stage3 visualize outputs/ --tile tile_001.npz --truth-dir truth/
    """
    from dataclasses import asdict

    from axion_stage3.cli.output import Output
    from axion_stage3.cli.visualization_report import visualization_lines
    from axion_stage3.exporting.visualization import PARTS, visualize_run
    from axion_stage3.processor_cores import n_usable_cores

    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    result = visualize_run(
        output_dir,
        into=into,
        parts=frozenset(only or (["figures"] if tile else PARTS)),
        tiles=tile or (),
        limit=limit,
        truth_dir=truth_dir,
        opt_v2_dir=opt_v2_dir,
        s1_dir=s1_dir,
        with_findings=findings,
        indices=indices,
        n_workers=workers or n_usable_cores(),
        progress=output.progress,
    )
    if json_document:
        output.document(asdict(result))
    else:
        for line in visualization_lines(result, is_limited=not tile):
            output.data(line)
    raise SystemExit(3 if result.undrawn else 0)
