"""``axion-stage3 merge``: one summary of a run that was made in parts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from axion_stage3.cli import options
from axion_stage3.cli.path_values import parse_location


def merge(
    output_dir: Annotated[
        Any,
        typer.Argument(
            parser=parse_location,
            metavar="OUTPUT_DIR",
            help="The output folder of the parts, or its URL.",
        ),
    ],
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    json_document: options.Json = False,
) -> None:
    """Make one summary of what the parts of a run have written.

    The last shard does this by itself. Run it to see how far shards are that
    are still at work, or when the last one was killed before it could. It ends
    with 3 if tiles have failed or are missing.

    For example:

      axion-stage3 merge outputs/stage3_final/
    """
    from axion_stage3.cli.merge_report import show_merge
    from axion_stage3.cli.output import Output
    from axion_stage3.cli.path_values import require_folder
    from axion_stage3.runs.merge_document import exit_code_of, merge_document
    from axion_stage3.runs.merging import merge_run

    output = Output.of_options(quiet=quiet, verbose=verbose, log_format=log_format)
    require_folder(output_dir)
    merged = merge_run(output_dir)
    show_merge(output, output_dir, merged)
    if json_document:
        output.document(merge_document(output_dir, merged))
    raise SystemExit(exit_code_of(merged))
