"""Mutation testing of tiles, statistics and runs, on a random sample. Run by hand.

    pip install cosmic-ray
    nice -n 15 python tests/mutation/mutate.py --sample 150 --results mutants.jsonl

The mutants are those of cosmic-ray's operators, without the ones in annotations, decorators and
imports for type checkers, and without those that are no Python. They are made in a copy of the
repository, one at a time; each is given to the tests whose file is named like the module, and if it
survives them to all tests of its room. A survivor is a mutant that all of these let pass. The tests
run in forks of a process that has imported what is slow to import. Stopped and started again with
the same sample, seed and results, it goes on where it was.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy
import hypothesis.stateful  # noqa: F401 - imported here so that the forks need not
import pytest
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

REPOSITORY = Path(__file__).parents[2]
ROOMS = {
    "tiles": ["tests/tiles", "tests/troubleshooting"],
    "statistics": ["tests/statistics", "tests/stats_command"],
    "runs": ["tests/runs", "tests/stats_command"],
}
# Timed on generated files, or bound to a quiet machine: of no use here.
LEFT_OUT = ("tests/tiles/test_npz_fuzz.py",)
CPU_SECONDS = 150


def copy_repository(folder: Path) -> None:
    shutil.copytree(
        REPOSITORY, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"), dirs_exist_ok=True
    )


def all_mutants(modules: list[str]) -> list[Any]:
    """Mutation specifications of cosmic-ray, in its own order."""
    Path("cosmic.toml").write_text(
        f"[cosmic-ray]\nmodule-path = {modules!r}\ntimeout = 1.0\nexcluded-modules = []\n"
        'test-command = "true"\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    subprocess.run(["cosmic-ray", "init", "--force", "cosmic.toml", "cosmic.sqlite"], check=True)
    with use_db("cosmic.sqlite", WorkDB.Mode.open) as database:
        return [mutation for item in database.work_items for mutation in item.mutations]


def dead_spans(module: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where code is never run: annotations, decorators, imports for type checkers."""
    nodes: list[Any] = []
    for node in ast.walk(ast.parse(Path(module).read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            nodes += node.decorator_list
        if isinstance(node, ast.FunctionDef):
            nodes.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign):
            nodes.append(node.annotation)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            nodes.append(node)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in nodes
        if node is not None
    ]


def passes(tests: list[str]) -> bool:
    """Run tests in a fork; whether all pass within their share of processor time."""
    if (child := os.fork()) == 0:
        code = 70
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            left_out = [f"--ignore={path}" for path in LEFT_OUT]
            warning = "ignore::pytest.PytestAssertRewriteWarning"
            options = ["-x", "-q", "-p", "no:cacheprovider", "-W", warning, *left_out]
            code = int(pytest.main([*options, *tests]))
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def judge(mutation: Any) -> str:
    module = Path(mutation.module_path)
    tests = ROOMS[module.parent.name]
    sound = module.read_text()
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(module, operator, mutation.occurrence):
        mutated = module.read_text()
        try:
            compile(mutated, str(module), "exec")
        except SyntaxError:
            return "no mutant"
        if mutated == sound:
            return "no mutant"
        nearest = [str(path) for path in Path(tests[0]).glob(f"test_*{module.stem}*.py")]
        is_killed = (bool(nearest) and not passes(nearest)) or not passes(tests)
        return "killed" if is_killed else "survived"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=150, help="mutants in all")
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"))
    arguments = parser.parse_args()
    results = arguments.results.resolve()
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        os.chdir(folder)
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        for tests in ROOMS.values():
            if not passes(tests):
                sys.exit(f"{' '.join(tests)} must pass before anything is mutated")
        modules = [
            str(p) for room in ROOMS for p in sorted(Path("axion_stage3", room).glob("*.py"))
        ]
        spans = {module: dead_spans(module) for module in modules}
        mutants = [
            mutation
            for mutation in all_mutants(modules)
            if not any(
                first <= tuple(mutation.start_pos) <= last
                for first, last in spans[str(mutation.module_path)]
            )
        ]
        sample = random.Random(arguments.seed).sample(mutants, min(arguments.sample, len(mutants)))
        n_done = len(results.read_text().splitlines()) if results.exists() else 0
        for mutation in sample[n_done:]:
            row = mutation.start_pos[0]
            entry = {
                "module": str(mutation.module_path),
                "row": row,
                "operator": mutation.operator_name,
                "occurrence": mutation.occurrence,
                "line": Path(mutation.module_path).read_text().splitlines()[row - 1].strip(),
                "result": judge(mutation),
            }
            with results.open("a") as file:
                file.write(json.dumps(entry) + "\n")
    counts = Counter(json.loads(line)["result"] for line in results.read_text().splitlines())
    n_real = counts["killed"] + counts["survived"]
    print(f"{counts['killed']} of {n_real} killed; {dict(counts)}")  # noqa: T201


if __name__ == "__main__":
    main()
