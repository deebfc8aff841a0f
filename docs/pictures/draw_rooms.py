"""Draw docs/images/rooms.svg from the import contract in pyproject.toml.

``python docs/pictures/draw_rooms.py``; a test fails when the picture is stale.
"""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
WIDTH, HEIGHT, GAP, LEFT = 760, 34, 6, 34
WITHOUT_TORCH = "#dcefe2"
WITH_TORCH = "#dde6f5"


def rooms_svg() -> str:
    """The picture: one bar per room, in the order of the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers, torch_free, *_ = contracts["contracts"]
    bars = []
    for index, module in enumerate(layers["layers"]):
        top = index * (HEIGHT + GAP) + GAP
        colour = WITHOUT_TORCH if module in torch_free["source_modules"] else WITH_TORCH
        name = module.removeprefix("axion_stage3.")
        bars.append(
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - GAP}" height="{HEIGHT}" rx="5" '
            f'fill="{colour}"/>'
            f'<text x="{LEFT + 12}" y="{top + 22}" font-weight="bold">{escape(name)}</text>'
            f'<text x="{LEFT + 150}" y="{top + 22}">{escape(_purpose(name))}</text>'
        )
    height = len(bars) * (HEIGHT + GAP) + GAP + 24
    end = height - 34
    arrow = (
        f'<path d="M16 {GAP + 6} V{end} M9 {end - 10} L16 {end} L23 {end - 10}" fill="none" '
        'stroke="#555" stroke-width="2"/>'
    )
    legend = f'<text x="{LEFT}" y="{height - 8}" fill="#555">{_LEGEND}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12.5">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join([*bars, arrow, legend])
        + "\n</svg>\n"
    )


_LEGEND = "imports run downward only; green: never loads torch by contract"


def _purpose(room: str) -> str:
    path = ROOT / "axion_stage3" / room
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("``", "").rstrip(".")


if __name__ == "__main__":
    PICTURE.write_text(rooms_svg(), encoding="utf-8")
