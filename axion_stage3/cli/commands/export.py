"""``axion-stage3 export``: the tiles of a run as GeoTIFF, COG, quick looks or STAC items."""

from __future__ import annotations

from axion_stage3.cli import export_options, options, statistics_options


def export(
    run_dir: statistics_options.RunDir,
    output_dir: export_options.ExportDir,
    to: export_options.To = "geotiff",
    mosaic: export_options.Mosaic = False,
    blend: export_options.Blend = None,
    tile: export_options.ExportTiles = None,
    std: export_options.Std = False,
    change: export_options.Change = False,
    indices: export_options.ExportIndices = None,
    dtype: export_options.StoredAs = "float32",
    georeference: export_options.ExportGeoreference = None,
    allow_unreferenced: export_options.AllowUnreferenced = False,
    acquired: export_options.Acquired = None,
    opt_v2_dir: options.RunOptV2Dir = None,
    workers: export_options.ExportWorkers = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Export the tiles of a run for a GIS. Needs the extra geo.

    Each tile becomes a file of its name in --output-dir, or all of them one
    raster with --mosaic. Started again, it goes on where it was.

    Exit code 3 where a tile cannot be exported.

    For example:

      axion-stage3 export outputs/ --output-dir gis/ --to cog --indices NDVI
      axion-stage3 export outputs/ --output-dir gis/ --mosaic --georeference t.csv
    """
    from dataclasses import asdict

    from axion_stage3.cli.export_report import export_lines
    from axion_stage3.cli.output import Output
    from axion_stage3.errors import UsageError
    from axion_stage3.exporting.run_export import export_run
    from axion_stage3.processor_cores import n_usable_cores

    if blend is not None and not mosaic:
        raise UsageError(
            "--blend and --no-blend are about a mosaic.", hint="Add --mosaic, or leave it out."
        )
    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    result = export_run(
        run_dir,
        output_dir,
        to=to,
        is_mosaic=mosaic,
        is_blended=blend is not False,
        tiles=tile or (),
        has_std=std,
        has_change=change,
        indices=indices,
        stored_type=dtype,
        georeference=georeference,
        acquired=acquired,
        is_unreferenced_allowed=allow_unreferenced,
        opt_v2_dir=opt_v2_dir,
        n_workers=workers or n_usable_cores(),
        progress=output.progress,
    )
    if json_document:
        output.document(asdict(result))
    else:
        for line in export_lines(result):
            output.data(line)
    raise SystemExit(3 if result.failed else 0)
