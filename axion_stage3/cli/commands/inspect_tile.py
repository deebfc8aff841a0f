"""``axion-stage3 inspect-tile``: everything about one tile."""

from __future__ import annotations

from axion_stage3.cli import inspection_options, options


def inspect_tile(
    tile: inspection_options.Tile,
    opt_v2_dir: options.RunOptV2Dir = None,
    s1_dir: options.RunS1Dir = None,
    output_dir: inspection_options.TileOutputDir = None,
    opt_scale: options.OptScale = None,
    opt_offset: options.OptOffset = None,
    s1_units: options.S1Units = None,
    fill_invalid: options.FillInvalid = None,
    resample_s1: options.ResampleS1 = None,
    checkpoint: inspection_options.RangeCheckpoint = None,
    png_file: inspection_options.Png = None,
    json_document: options.Json = False,
) -> None:
    """Show what a tile holds, what is wrong with it, and what to do.

    Keys, shapes, numbers and a histogram per band, findings with advice, and a
    small picture. With --output-dir also what the run recorded about the tile,
    and the command that runs this one tile again.

    Exit code 3 where a finding is an error.

    For example:

      axion-stage3 inspect-tile stage2/tile_123.npz
      axion-stage3 inspect-tile tile_123 --output-dir outputs/
    """
    given = dict(locals())
    from axion_stage3.atomic_write import write_bytes
    from axion_stage3.cli.check_options import check_options, require_result_place
    from axion_stage3.cli.inspection_pictures import panels_of, picture_png, terminal_picture
    from axion_stage3.cli.inspection_report import inspection_text
    from axion_stage3.cli.output import Output
    from axion_stage3.inspection import tile_inspection
    from axion_stage3.tiles.findings import Severity

    inspection = tile_inspection.inspect_tile(
        tile,
        opt_v2_dir=opt_v2_dir,
        s1_dir=s1_dir,
        output_dir=output_dir,
        options=check_options(given),
    )
    output, panels = Output(), panels_of(inspection.pixels, inspection.stored)
    if png_file is not None and panels:
        files = inspection.report.files
        is_output = any(file.subject == "opt_final" for file in files)
        require_result_place(png_file, given, *(() if is_output else (file.path for file in files)))
        write_bytes(png_file, picture_png(panels))
    elif png_file is not None:
        output.warn(f"There is no picture for {png_file}: no file of this tile can be shown.")
    if json_document:
        output.document(inspection.report.as_document())
    else:
        output.data(inspection_text(inspection.report, terminal_picture(panels)))
    raise SystemExit(3 if inspection.report.worst == Severity.ERROR else 0)
