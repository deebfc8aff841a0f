"""Runs a command and prints its wall time, exit code and peak memory, as JSON.

A script of its own, started as one: the peak that the system reports for a child begins with the
memory of whoever forked it, which in a benchmark is hundreds of megabytes of torch.
"""

import json
import os
import subprocess
import sys
import time

_BYTES_PER_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Run the command that the arguments are."""
    began = time.perf_counter()
    with (
        subprocess.Popen(  # noqa: S603 - the benchmark's own commands
            sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process
    ):
        peak_bytes = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak_bytes = usage.ru_maxrss * _BYTES_PER_RSS_UNIT
        exit_code = process.wait()
    seconds = time.perf_counter() - began
    json.dump({"seconds": seconds, "exit_code": exit_code, "peak_bytes": peak_bytes}, sys.stdout)


if __name__ == "__main__":
    main()
