from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3 import atomic_write
from axion_stage3.atomic_write import LONGEST_NAME_BYTES, sweep_orphans, write_bytes, write_json
from axion_stage3.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLS = ("open", "write", "fsync", "close", "replace")
FAULTS = (
    *(OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EIO, errno.EACCES)),
    KeyboardInterrupt(),
)


class FaultyOs:
    """Counts the file operations of atomic_write and makes one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_calls = 0
        self.calls: list[str] = []
        self.fails_at: int | None = None
        self.fault: BaseException = KeyboardInterrupt()
        self.does_work_first = False
        for name in CALLS:
            monkeypatch.setattr(atomic_write.os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            index = self.n_calls
            self.n_calls += 1
            self.calls.append(name)
            if index == self.fails_at and not self.does_work_first:
                raise self.fault
            result = real(*args, **kwargs)
            if index == self.fails_at:
                if name == "open":
                    os.close(result)  # type: ignore[arg-type]
                raise self.fault
            return result

        return call


@pytest.fixture
def faulty_os(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyOs]:
    with monkeypatch.context() as patch:
        yield FaultyOs(patch)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@settings(deadline=None, max_examples=30)
@given(pieces=st.lists(st.binary(max_size=300)))
def test_writes_all_pieces_and_counts_them(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("out") / "tile.npz"
    assert write_bytes(path, pieces) == len(b"".join(pieces))
    assert path.read_bytes() == b"".join(pieces)
    assert names_in(path.parent) == ["tile.npz"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(atomic_write.os, "write", lambda fd, data: real(fd, bytes(data[:7])))
    write_bytes(tmp_path / "a", [b"0123456789" * 5, memoryview(b"xyz")])
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 5 + b"xyz"


def test_content_is_synced_before_the_name_and_the_folder_after(
    tmp_path: Path, faulty_os: FaultyOs
) -> None:
    write_bytes(tmp_path / "a", b"new")
    expected = ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]
    assert faulty_os.calls == expected


def test_one_sync_of_the_folder_can_be_for_two_files(tmp_path: Path, faulty_os: FaultyOs) -> None:
    write_json(tmp_path / "a.json", {}, syncs_folder=False)
    assert faulty_os.calls == ["open", "write", "fsync", "close", "replace"]
    write_bytes(tmp_path / "a", b"new")
    assert faulty_os.calls[-4:] == ["replace", "open", "fsync", "close"]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("does_work_first", [False, True])
@pytest.mark.parametrize("old", [None, b"the old content"])
def test_every_operation_may_fail(
    tmp_path: Path,
    faulty_os: FaultyOs,
    fault: BaseException,
    does_work_first: bool,
    old: bytes | None,
) -> None:
    path = tmp_path / "tile.npz"
    write_bytes(path, b"counted")
    n_operations = faulty_os.n_calls
    faulty_os.fault, faulty_os.does_work_first = fault, does_work_first
    seen_old = seen_new = 0
    for index in range(n_operations):
        path.unlink(missing_ok=True)
        if old is not None:
            path.write_bytes(old)
        faulty_os.n_calls, faulty_os.fails_at = 0, index
        expected = OutputError if isinstance(fault, OSError) else KeyboardInterrupt
        with pytest.raises(expected) as caught:
            write_bytes(path, b"the new content")
        if isinstance(fault, OSError):
            assert str(path) in str(caught.value)
            assert os.strerror(fault.errno or 0) in str(caught.value)
            assert caught.value.errno == fault.errno
        content = path.read_bytes() if path.exists() else None
        assert content in (old, b"the new content")
        seen_old += content == old
        seen_new += content != old
        assert names_in(tmp_path) in ([], ["tile.npz"])
    assert seen_old >= 4
    assert seen_new >= 3


def test_a_failing_source_leaves_nothing_behind(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half of "
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError):
        write_bytes(tmp_path / "a", pieces())
    assert names_in(tmp_path) == []


def test_descriptors_are_closed_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, closed = [], []
    real_open, real_close = os.open, os.close
    monkeypatch.setattr(
        atomic_write.os, "open", lambda *args: opened.append(real_open(*args)) or opened[-1]
    )
    monkeypatch.setattr(atomic_write.os, "close", lambda fd: closed.append(fd) or real_close(fd))
    for piece in ("no bytes", b"bytes"):
        with pytest.raises(TypeError) if isinstance(piece, str) else nullcontext():
            write_bytes(tmp_path / "a", [piece])  # type: ignore[list-item]
    assert len(opened) == 3
    assert closed == opened


def test_disk_full_says_so_and_what_to_do(tmp_path: Path, faulty_os: FaultyOs) -> None:
    faulty_os.fails_at, faulty_os.fault = 1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match="No space left on device") as caught:
        write_bytes(tmp_path / "a", b"x")
    assert "Free some space" in caught.value.hint


def test_folders_that_cannot_be_synced_are_tolerated(tmp_path: Path, faulty_os: FaultyOs) -> None:
    faulty_os.fails_at, faulty_os.fault = 6, OSError(errno.EINVAL, "Invalid argument")
    assert write_bytes(tmp_path / "a", b"x") == 1


def test_missing_folder_is_one_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory") as caught:
        write_bytes(tmp_path / "gone" / "a", b"x")
    assert caught.value.path == str(tmp_path / "gone" / "a")
    assert caught.value.__cause__ is not None


def test_a_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    link = tmp_path / "tile.npz"
    link.symlink_to(outside)
    write_bytes(link, b"new")
    assert outside.read_bytes() == b"precious"
    assert not link.is_symlink()


def test_the_longest_name_fits(tmp_path: Path) -> None:
    path = tmp_path / ("x" * LONGEST_NAME_BYTES)
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_bytes(tmp_path / "ours", b"")
    usual, ours = ((tmp_path / name).stat().st_mode for name in ("usual", "ours"))
    assert usual == ours


def test_json_is_readable_and_reads_back(tmp_path: Path) -> None:
    document = {"tile_name": "Zürich/tile_001.npz", "values": [1.5, None], "odd": "\udc80"}
    n_bytes = write_json(tmp_path / "a.json", document)
    content = (tmp_path / "a.json").read_bytes()
    assert len(content) == n_bytes
    assert json.loads(content) == document
    assert "Zürich".encode() in content
    assert content.startswith(b'{\n  "tile_name"')
    assert content.endswith(b"}\n")


PLAIN_VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.just('two\nlines, "x": 1')
)  # fmt: skip
KEYS = st.text(max_size=8) | st.sampled_from(["", "\n", '": "', ",\n  ", "\u2028"])
OBJECTS = st.dictionaries(KEYS, PLAIN_VALUES, max_size=5)
LISTS = st.lists(PLAIN_VALUES | OBJECTS, max_size=3)
DOCUMENTS = OBJECTS | LISTS | st.dictionaries(KEYS, PLAIN_VALUES | OBJECTS | LISTS, max_size=3)


@settings(deadline=None, max_examples=200)
@given(document=DOCUMENTS)
def test_json_is_what_json_itself_indents(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.json"
    write_json(path, document)
    expected = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert path.read_bytes() == expected.encode("utf-8", "backslashreplace")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_json_does_not_know(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match=f"JSON compliant: {number}"):
        write_json(tmp_path / "a.json", {"x": number})
    assert names_in(tmp_path) == []


def test_orphans_of_a_killed_process_are_swept_and_nothing_else(tmp_path: Path) -> None:
    deep = tmp_path / "sub" / "deeper"
    deep.mkdir(parents=True)
    program = (
        "import os, pathlib, sys\n"
        "from axion_stage3 import atomic_write\n"
        "atomic_write.os.replace = lambda *_: os._exit(9)\n"
        "atomic_write.write_bytes(pathlib.Path(sys.argv[1]), b'half')\n"
    )
    for path in (tmp_path / "tile.npz", deep / "tile.json"):
        killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
        assert killed.returncode == 9
        assert not path.exists()
    keep = [tmp_path / name for name in (".notes.tmp", "tile.npz", ".a.npz.0123.tmp", "x.tmp")]
    for path in keep:
        path.write_bytes(b"")
    removed = sweep_orphans(tmp_path)
    assert [path.parent for path in removed] == [tmp_path, deep]
    assert names_in(tmp_path) == sorted([path.name for path in keep] + ["sub"])
    assert names_in(deep) == []
    assert sweep_orphans(tmp_path) == ()
