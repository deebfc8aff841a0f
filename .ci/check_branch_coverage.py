"""Hold the branches that the fast tests take to a least share, and name the files with the gaps.

    pytest --cov --cov-report= && python .ci/check_branch_coverage.py

coverage's own `fail_under` counts lines and branches together, which branches alone could hide in.
"""

from __future__ import annotations

import json
import subprocess
import sys

LEAST_PERCENT = 92.0
N_LISTED = 10


def main() -> int:
    """Return 1 if fewer branches are taken than must be."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "--fail-under=0", "-o", "-"],
        check=True,
        capture_output=True,
        text=True,
    )
    document = json.loads(report.stdout)
    gaps = {name: file["summary"]["missing_branches"] for name, file in document["files"].items()}
    for name in sorted(gaps, key=gaps.__getitem__, reverse=True)[:N_LISTED]:
        print(f"  {gaps[name]:4d} branches never taken in {name}")
    totals = document["totals"]
    percent = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"branches {percent:.1f} % (at least {LEAST_PERCENT} %), lines and branches ", end="")
    print(f"{totals['percent_covered']:.1f} %")
    return int(percent < LEAST_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
