"""Hold the Args sections of the package's docstrings to the signatures (pydoclint).

A function whose summary line says all needs no sections; where there is an Args section, it names
every argument, in order, and no other.
"""

import ast
import sys
from pathlib import Path

from pydoclint.main import _checkFile as check_file

WRONG_ARGUMENTS = (101, 102, 103, 104)


def main() -> int:
    """Print what disagrees; 1 if anything does."""
    n_wrong = 0
    for path in sorted(Path("axion_stage3").rglob("*.py")):
        with_arguments = _lines_with_arguments(path)
        for violation in check_file(
            path,
            style="google",
            argTypeHintsInDocstring=False,
            checkReturnTypes=False,
            allowInitDocstring=True,
            skipCheckingRaises=True,
            checkClassAttributes=False,
        ):
            if violation.code in WRONG_ARGUMENTS and violation.line in with_arguments:
                print(f"{path}:{violation.line}: {violation.fullErrorCode} {violation.msg}")
                n_wrong += 1
    return int(n_wrong > 0)


def _lines_with_arguments(path: Path) -> set[int]:
    """First lines of the functions whose docstring has an Args section."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, functions) and "\nArgs:\n" in (ast.get_docstring(node) or "")
    }


if __name__ == "__main__":
    sys.exit(main())
