"""Every error that the package raises on purpose says what to do next."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from axion_stage3 import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "axion_stage3"
KINDS = {
    name
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.AxionError)
}


def raised(path: Path) -> Iterator[ast.Call]:
    """The calls in a file that make an error of the tree."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            yield node


def has_hint(call: ast.Call) -> bool:
    """Whether a hint is given that is not plainly empty."""
    hints = [each.value for each in call.keywords if each.arg == "hint"]
    return bool(hints) and not (isinstance(hints[0], ast.Constant) and not hints[0].value)


def test_every_error_has_a_hint() -> None:
    calls = [(path, call) for path in PACKAGE.rglob("*.py") for call in raised(path)]
    without = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}" for path, call in calls if not has_hint(call)
    ]

    assert len(calls) > 150
    assert without == []
