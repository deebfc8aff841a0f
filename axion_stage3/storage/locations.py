"""Folders and files as users name them: paths of this machine, or URLs of an object store."""

from __future__ import annotations

import errno
import re
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from axion_stage3.errors import UsageError
from axion_stage3.storage.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from os import PathLike

    from axion_stage3.storage.object_store import StoredObject

_OBJECT_SCHEMES: Final = ("s3", "gs", "az", "memory")
_FILE_SCHEME: Final = "file"

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_LISTED_SCHEMES: Final = "s3://, gs://, az://, memory:// or file://"


@dataclass(frozen=True, slots=True, order=True)
class ObjectUrl:
    """A file or folder in an object store; made of a user's text by ``parse_location``.

    The methods are named after those of ``pathlib.Path`` and raise as they do: OSError and its
    subclasses, with a reason for people in ``strerror``. All retry what may pass by itself.

    Attributes:
        text: The URL, such as ``s3://bucket/folder``, without a slash at the end.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> ObjectUrl:
        return ObjectUrl(f"{self.text.removesuffix('/')}/{name}" if name else self.text)

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> ObjectUrl:
        """The folder it is in."""
        return ObjectUrl(self.text.rpartition("/")[0])

    def with_suffix(self, suffix: str) -> ObjectUrl:
        """The same with another ending, or with one if it had none."""
        return self.parent / PurePosixPath(self.name).with_suffix(suffix).name

    def is_relative_to(self, other: ObjectUrl) -> bool:
        """Whether this is ``other``, or lies below it."""
        return f"{self.text}/".startswith(f"{other.text.removesuffix('/')}/")

    def read_bytes(self) -> bytes:
        """Read the object, with one request.

        Raises:
            OSError: It is not there or cannot be read.
        """
        from axion_stage3.storage import object_store

        return object_store.read_object(self.text)

    def write_once(self, pieces: Iterable[bytes | memoryview]) -> int:
        """Write the object whole: readers see the old content or the new one.

        Args:
            pieces: The content.

        Returns:
            Number of bytes written.

        Raises:
            OSError: It cannot be written.
        """
        from axion_stage3.storage import object_store

        return object_store.write_object(self.text, pieces)

    def unlink(self, *, missing_ok: Literal[True]) -> None:  # noqa: ARG002
        """Remove the object.

        Args:
            missing_ok: Stores need not say whether an object was there.

        Raises:
            OSError: It cannot be removed.
        """
        from axion_stage3.storage import object_store

        object_store.remove_object(self.text)

    def n_bytes(self) -> int | None:
        """Size of the object, in bytes; None if there is none.

        Raises:
            OSError: The store does not say.
        """
        from axion_stage3.storage import object_store

        return object_store.object_bytes(self.text)

    def is_file(self) -> bool:
        """Whether there is an object of this name.

        Raises:
            OSError: The store does not say.
        """
        return self.n_bytes() is not None

    def is_dir(self) -> bool:
        """Whether there is any object below this name.

        Raises:
            OSError: The store does not say.
        """
        from axion_stage3.storage import object_store

        return object_store.has_objects(self.text)

    def exists(self) -> bool:
        """Whether there is an object of this name, or any below it.

        Raises:
            OSError: The store does not say.
        """
        return self.is_file() or self.is_dir()

    def objects(self) -> Iterator[StoredObject]:
        """All objects below this folder, page by page, in no particular order.

        Raises:
            OSError: They cannot be listed.
        """
        from axion_stage3.storage import object_store

        return object_store.list_objects(self.text)

    def children(self, prefix: str = "") -> Iterator[StoredObject]:
        """The objects right in this folder whose names begin with ``prefix``.

        Raises:
            OSError: They cannot be listed.
        """
        from axion_stage3.storage import object_store

        return object_store.list_objects(self.text, prefix, is_deep=False)

    def glob(self, pattern: str) -> Iterator[ObjectUrl]:
        """The objects right in this folder whose names fit a pattern with ``*``.

        Raises:
            OSError: They cannot be listed.
        """
        for entry in self.children(pattern.partition("*")[0]):
            if fnmatchcase(entry.name, pattern):
                yield self / entry.name


Location: TypeAlias = Path | ObjectUrl
"""A file or folder: on a disk, or in an object store."""


def as_location(place: str | PathLike[str] | ObjectUrl) -> Location:
    """Turn what a program gives into a location; nothing is checked (see ``parse_location``)."""
    if isinstance(place, ObjectUrl):
        return place
    if isinstance(place, str) and _URL.match(place):
        return ObjectUrl(place)
    return Path(place)


def as_folder(place: Location) -> str:
    """A folder's path or URL as text, with the closing slash that the guide shows."""
    text = str(place)
    return text if text.endswith("/") else f"{text}/"


def lies_in(place: Location, folder: Location) -> bool:
    """Whether a place is a folder, or lies in it at any depth; links are followed.

    Raises:
        UsageError: The links of one of them lead in a circle.
    """
    if isinstance(place, ObjectUrl) and isinstance(folder, ObjectUrl):
        return place.is_relative_to(folder)
    if isinstance(place, ObjectUrl) or isinstance(folder, ObjectUrl):
        return False
    return _resolved(place).is_relative_to(_resolved(folder))


def refuse_inputs(inputs: Iterable[Path | None], targets: Collection[Path | None]) -> None:
    """Refuse to write into some folders.

    Args:
        inputs: Folders, or files; None where there is none.
        targets: Folders and files that are to be written; None where there is none.

    Raises:
        UsageError: One of them is such a folder, or lies in one.
    """
    for folder in inputs:
        for target in targets:
            if folder is not None and target is not None and lies_in(target, folder):
                raise UsageError(
                    f"Writing to {target} would change the input folder {folder}; input folders "
                    "are never written to.",
                    hint="Give a place beside it.",
                )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:  # pathlib's word for it; from Python 3.13 on it takes them
        raise UsageError(
            f"The links of {path} lead in a circle.", hint="Mend the link, or give another path."
        ) from error


def require_regular(place: Location) -> None:
    """Refuse what is no file: a named pipe in its place would be waited for without end.

    Args:
        place: What is about to be read; objects are always files.

    Raises:
        OSError: It is not a regular file, or is not there.
    """
    if isinstance(place, Path) and not stat.S_ISREG(place.stat().st_mode):
        raise OSError(errno.EINVAL, f"{place.name} is not a regular file")


def file_bytes(place: Location) -> int | None:
    """Size of a file or object in bytes; None if there is none.

    Raises:
        OSError: The disk or the store does not say.
    """
    if isinstance(place, ObjectUrl):
        return place.n_bytes()
    return place.stat().st_size if place.is_file() else None


def parse_location(text: str) -> Location:
    """Read a path or a URL as a user gives it.

    Args:
        text: A path; or a URL with the scheme s3, gs, az, memory or file.

    Returns:
        A path for paths and ``file://`` URLs, else the object store's URL.

    Raises:
        UsageError: The scheme is not known; or the URL holds a user, a password or a query, which
            would end up in manifests and logs; or it names no bucket.
    """
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    scheme, rest = match[1].lower(), match[2]
    if "@" in rest.partition("/")[0] or "?" in rest or "#" in rest:
        raise UsageError(
            f"The URL {redacted(text)} holds a user, a password or a query: credentials must not "
            "stand in URLs, which are written into manifests and messages.",
            hint="Give scheme://bucket/folder alone. Credentials are taken from the ordinary "
            "environment of the store, such as AWS_ACCESS_KEY_ID or a profile.",
        )
    if scheme == _FILE_SCHEME:
        return _local_path(text)
    if scheme not in _OBJECT_SCHEMES:
        raise UsageError(
            f"The URL {text} has the scheme {scheme}://, which is not known.",
            hint=f"Give {_LISTED_SCHEMES}, or a path.",
        )
    parts = rest.rstrip("/").split("/")
    if not all(parts) or not {".", ".."}.isdisjoint(parts) or not rest.isprintable():
        raise UsageError(
            f"The URL {text!r} names no folder of an object store.",
            hint=f"Give {scheme}://bucket/folder, without empty parts, . or ..",
        )
    return ObjectUrl(f"{scheme}://{'/'.join(parts)}")


def is_url(text: str) -> bool:
    """Whether a text has the form of a URL, of whatever scheme."""
    return _URL.match(text) is not None


def require_local(text: str) -> Path:
    """Read a path where only one of this machine will do.

    Raises:
        UsageError: It is a URL of an object store, or one that ``parse_location`` refuses.
    """
    location = parse_location(text)
    if isinstance(location, Path):
        return location
    raise UsageError(
        f"{location} lies in an object store; a path of this machine is needed here.",
        hint="Copy it first, for example with `aws s3 sync`, `gcloud storage rsync` or `azcopy "
        "sync`, and give the local path.",
    )


def _local_path(text: str) -> Path:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise UsageError(
            f"The URL {text} names no path of this machine.",
            hint="Give file:///absolute/path, or the path itself.",
        )
    return Path(unquote(parts.path))
