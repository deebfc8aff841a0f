"""How long a run takes to find out what is to do, by number of tiles.

    python examples/cluster/measure_planning.py [--pairs 10000 100000 1000000] [--folder DIR]

Makes a data set of empty tiles (hard links, a thousand in each sub-folder) and the journal and
outputs of a run that has done them all; then measures, in a process of its own, what a run does
before it reads its first tile: list and pair the folders, take one shard of 16, read the journal,
and check every tile of the data set against it. DIR needs 1.5 GB and 3 inodes for a million pairs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from axion_stage3.runs.fingerprint import RunFingerprint
from axion_stage3.runs.journal import Journal, JournalHeader
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.journal_lines import encode_outcome
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.parts import Shard
from axion_stage3.runs.resume import plan_resume
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.pairing import find_pairs

TILES_PER_FOLDER = 1000
MOST_LINKS = 30_000
FINGERPRINT = RunFingerprint.of({"timesteps": 10}, "c" * 64)
NAME = "NAME-OF-THE-TILE"
FINGERPRINT_MARK = "FINGERPRINT-OF-THE-PAIR"
STAGE_SECONDS = {"read": 0.0123456, "compute": 0.1234567, "write": 0.0123456}


def make_data_set(folder: Path, n_pairs: int) -> None:
    """Write ``opt_v2``, ``s1`` and ``out`` with tiles and outputs of no bytes."""
    for side in ("opt_v2", "s1", "out"):
        source = folder / side
        for i in range(n_pairs):
            block = folder / side / f"block_{i // TILES_PER_FOLDER:04d}"
            if i % TILES_PER_FOLDER == 0:
                block.mkdir(parents=True)
            if i % MOST_LINKS == 0:
                source = folder / f"{side}-{i}"
                source.touch()
            os.link(source, block / f"tile_{i:07d}.npz")


def write_journal(folder: Path) -> None:
    """Write the journal of a run that has done all tiles, with statistics as real ones."""
    runs_folder = folder / "out" / "runs"
    runs_folder.mkdir(exist_ok=True)
    header = JournalHeader(1, "main", FINGERPRINT.configuration_digest)
    with Journal(runs_folder, header):
        pass
    tile = make_tile(1)
    outcome = TileOutcome(
        tile=NAME,
        outcome="written",
        fingerprint=FINGERPRINT_MARK,
        seconds=0.15,
        statistics=tile_statistics(NAME, tile.truth, tile.opt_v2, tile.s1),
        stage_seconds=STAGE_SECONDS,
    )
    # One line is encoded, the others differ from it in name, fingerprint and checksum.
    pattern = encode_outcome(outcome, 1.0).rpartition(b',"crc32"')[0].decode()
    with (runs_folder / header.file_name).open("ab") as journal:
        for pair in find_pairs(folder / "opt_v2", folder / "s1").pairs:
            line = pattern.replace(NAME, pair.name)
            line = line.replace(FINGERPRINT_MARK, FINGERPRINT.of_pair(pair), 1)
            body = line.encode("ascii")
            journal.write(b'%b,"crc32":"%08x"}\n' % (body, zlib.crc32(body + b"}")))


def measure(folder: Path) -> dict[str, float]:
    """What a run does before its first tile, step by step, in seconds; and its peak memory."""
    before = time.process_time()
    moments = [time.perf_counter()]
    pairing = find_pairs(folder / "opt_v2", folder / "s1", output_dir=folder / "out")
    moments.append(time.perf_counter())
    shard = Shard(3, 16)
    n_in_shard = sum(shard.holds(pair.name) for pair in pairing.pairs)
    moments.append(time.perf_counter())
    index = read_journals(folder / "out" / "runs")
    moments.append(time.perf_counter())
    plan = plan_resume(pairing.pairs, index, FINGERPRINT, folder / "out")
    moments.append(time.perf_counter())
    assert plan.n_done == len(pairing.pairs)
    assert 0 < n_in_shard < len(pairing.pairs)
    listing, sharding, journal, check = (end - begin for begin, end in itertools.pairwise(moments))
    return {
        "pairs": len(pairing.pairs),
        "listing_and_pairing_seconds": listing,
        "sharding_seconds": sharding,
        "journal_seconds": journal,
        "resume_check_seconds": check,
        "total_seconds": moments[-1] - moments[0],
        "processor_seconds": time.process_time() - before,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def peak_memory_bytes() -> int:
    """Of this process alone: getrusage would begin with the memory of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the planning of large runs.")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    if not os.access(options.folder, os.W_OK | os.X_OK) or not options.folder.is_dir():
        parser.error(f"--folder {options.folder} is no folder that can be written; make it first")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for n_pairs in options.pairs:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="planning-") as name:
            make_data_set(Path(name), n_pairs)
            write_journal(Path(name))
            done = subprocess.run(  # noqa: S603 - this script itself
                [sys.executable, __file__, "--measure", name],
                check=True,
                capture_output=True,
                text=True,
            )
        figures = json.loads(done.stdout)
        n_bytes = figures.pop("peak_memory_bytes")
        print(f"{figures.pop('pairs'):>9,} pairs, {n_bytes / 1e6:,.0f} MB at most")
        for word, seconds in figures.items():
            print(f"    {word.replace('_', ' '):<32}{seconds:8.2f}")


if __name__ == "__main__":
    main()
