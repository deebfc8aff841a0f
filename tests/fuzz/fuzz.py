"""Coverage-guided fuzzing of everything that reads files from others. Run by hand or at night.

    python tests/fuzz/fuzz.py npz -max_total_time=60

Targets: npz, safetensors, pt, journal. What follows the target goes to libFuzzer; the corpus begins
with sound files and is kept in the folder given, or in a temporary one. A crash is any exception
but the one that the reader promises.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["axion_stage3"]):
    from axion_stage3.diffusion.checkpoint import load_checkpoint, save_checkpoint
    from axion_stage3.errors import CheckpointError, TileReadError
    from axion_stage3.runs.journal_lines import decode_line, decode_outcome, encode_outcome
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.tiles.npz_reader import read_headers, read_npz

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parents[1]
FOLDER = Path(tempfile.mkdtemp(prefix="axion-fuzz-"))
BYTE_BUDGET = 1 << 28


def read_as_npz(data: bytes) -> None:
    for read in (read_headers, lambda content: read_npz(content, byte_budget=BYTE_BUDGET)):
        with contextlib.suppress(TileReadError):
            read(data)


def read_as_safetensors(data: bytes) -> None:
    _load("mutant.safetensors", data)


def read_as_pickle(data: bytes) -> None:
    """The pickle inside a ``.pt``; the ZIP around it is sound, so that it is reached."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SOUND_PT)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name.endswith("data.pkl") else old.read(name))
    _load("mutant.pt", packed.getvalue())


def read_as_journal_line(data: bytes) -> None:
    """The inside of a line; its checksum fits."""
    body = data.replace(b"\n", b"") + b"}"
    document = decode_line(b'%b,"crc32":"%08x"}\n' % (body[:-1], zlib.crc32(body)))
    outcome = None if document is None else decode_outcome(document)
    assert outcome is None or (isinstance(outcome, TileOutcome) and outcome.tile)


def _load(name: str, data: bytes) -> None:
    path = FOLDER / name
    path.write_bytes(data)
    with contextlib.suppress(CheckpointError):
        load_checkpoint(path)


def _sound_checkpoint(suffix: str) -> bytes:
    sys.path.insert(0, str(TESTS / "inference"))
    from inference_workbench import lively_network

    path = FOLDER / f"sound{suffix}"
    save_checkpoint(path, lively_network(), epoch=1, config={"timesteps": 4})
    return path.read_bytes()


def _sound_pickle() -> bytes:
    with zipfile.ZipFile(io.BytesIO(SOUND_PT)) as file:
        return file.read(next(name for name in file.namelist() if name.endswith("data.pkl")))


def _sound_arrays() -> list[bytes]:
    sys.path.insert(0, str(TESTS / "tiles"))
    from npz_mutations import seed_files

    return seed_files()


def _sound_lines() -> list[bytes]:
    outcome = TileOutcome("a.npz", "written", "a" * 16 + "-" + "5" * 16, statistics={"x": 1.5})
    line = encode_outcome(outcome, 1.0)
    return [line[: line.index(b',"crc32"')], json.dumps({"tile": "a", "outcome": 1}).encode()]


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "npz": (read_as_npz, _sound_arrays),
    "safetensors": (read_as_safetensors, lambda: [_sound_checkpoint(".safetensors")]),
    "pt": (read_as_pickle, lambda: [_sound_pickle()]),
    "journal": (read_as_journal_line, _sound_lines),
}
SOUND_PT = b""


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: fuzz.py {{{','.join(TARGETS)}}} [libFuzzer options] [corpus folder]")
    global SOUND_PT  # noqa: PLW0603 - a fuzz target is called with nothing but its bytes
    name, *options = sys.argv[1:]
    run, seeds = TARGETS[name]
    if name == "pt":
        SOUND_PT = _sound_checkpoint(".pt")
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for i, content in enumerate(seeds()):
        (corpus / f"seed_{i}").write_bytes(content)
    kept = [option for option in options if not option.startswith("-")]
    flags = [option for option in options if option.startswith("-")]
    limits = ["-rss_limit_mb=4096", f"-artifact_prefix={FOLDER}/"]
    atheris.Setup([sys.argv[0], *limits, *flags, *kept, str(corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
