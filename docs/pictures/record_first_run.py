"""Record the README's first command in a terminal as docs/images/first_run.svg.

``python docs/pictures/record_first_run.py`` in a checkout with the package installed.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "first_run.svg"
COMMAND = (
    "axion-stage3 infer --opt-v2-dir examples/tiles/opt_v2 --s1-dir examples/tiles/s1 "
    "--output-dir outputs/examples"
)
WIDTH = 84
# Rich's own template loads its font from a server; a picture must not.
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def recorded(command: str) -> str:
    """Run a command in a terminal; what stands there in the end."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("examples", "README.md"):
            Path(folder, name).symlink_to(ROOT / name)
        reader, terminal = pty.openpty()
        environ = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
        process = subprocess.Popen(  # noqa: S603
            command.split(), cwd=folder, stdout=terminal, stderr=terminal, env=environ
        )
        os.close(terminal)
        pieces = []
        try:
            while piece := os.read(reader, 65536):
                pieces.append(piece)
        except OSError:  # the terminal is closed by the end of the process
            pass
        process.wait()
    text = b"".join(pieces).decode().replace("\r\n", "\n")
    # A progress bar draws over itself: of each line, what was drawn last remains.
    lines = [re.sub(r"\x1b\[(\?25[hl]|2?K|1A)", "", line) for line in text.split("\n")]
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def main() -> None:
    """Run, record, write."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(f"$ {COMMAND}"))
    console.print(Text.from_ansi(recorded(COMMAND)))
    svg = console.export_svg(title="axion-stage3")
    PICTURE.write_text(FONT_FACE.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    main()
