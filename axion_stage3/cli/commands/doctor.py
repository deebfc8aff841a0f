"""``axion-stage3 doctor``: what is installed, and whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from axion_stage3.cli import options
from axion_stage3.cli.path_values import parse_path


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(
            parser=parse_path,
            metavar="FOLDER",
            help="Folder to try writing to. Default: the current one.",
        ),
    ] = None,
    json_document: options.Json = False,
) -> None:
    """Look at this installation: versions, devices, extras, a write test.

    The result can be pasted into a bug report: it holds no values of the
    environment, no user names and no host names. It ends with 3 if something
    is wrong.

    For example:

      axion-stage3 doctor
      axion-stage3 doctor outputs/
    """
    from dataclasses import asdict

    from axion_stage3.cli.installation_report import installation_text
    from axion_stage3.cli.output import Output
    from axion_stage3.inference.installation_check import check_installation

    document = check_installation(folder or ".")
    if json_document:
        Output().document(asdict(document))
    else:
        Output().data(installation_text(document))
    raise SystemExit(document.exit_code)
