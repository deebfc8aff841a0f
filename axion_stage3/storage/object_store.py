"""Objects by URL, through fsspec and its drivers; every request is retried (retries.py).

The drivers' own retries are turned off where they can be, so that the two do not multiply, and so
are their caches of listings: what another machine writes is to be seen at once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import MissingExtraError
from axion_stage3.storage.retries import with_retries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONNECT_TIMEOUT_SECONDS: Final = 10
READ_TIMEOUT_SECONDS: Final = 30
"""A connection on which nothing arrives for so long is given up, and the request tried again."""

SLOWEST_UPLOAD_BYTES_PER_SECOND: Final = 64 << 10
"""An upload that takes longer than at this pace, and the time above, is given up likewise."""

KEYS_PER_PAGE: Final = 1000

_LARGEST_IN_MEMORY_BYTES: Final = 32 << 20
_DRIVERS: Final = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "memory": "fsspec"}
_VERSION_FIELDS: Final = (
    "ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a listing.

    Attributes:
        name: Its name below the folder that was listed.
        n_bytes: Its size in bytes.
        version: What the store says of its content (ETag or time); changes when it is written.
    """

    name: str
    n_bytes: int
    version: str


def read_object(url: str) -> bytes:
    """Read an object whole.

    Raises:
        OSError: It is not there or cannot be read.
        MissingExtraError: The driver of the store is not installed.
    """
    store, path = _open(url)
    content: bytes = with_retries(lambda: store.cat_file(path))
    return content


def write_object(url: str, pieces: Iterable[bytes | memoryview]) -> int:
    """Write an object whole, with one request unless it is very large.

    Args:
        url: The object.
        pieces: The content; what exceeds 32 MiB waits in a temporary file.

    Returns:
        Number of bytes written.

    Raises:
        OSError: It cannot be written.
        MissingExtraError: The driver of the store is not installed.
    """
    store, path = _open(url)
    with tempfile.SpooledTemporaryFile(_LARGEST_IN_MEMORY_BYTES) as file:
        for piece in pieces:
            file.write(piece)
        n_bytes = file.tell()
        file.seek(0)
        if n_bytes <= _LARGEST_IN_MEMORY_BYTES:
            content = file.read()
            with_retries(partial(_upload, store, "pipe_file", path, content, n_bytes=n_bytes))
            return n_bytes
        with tempfile.NamedTemporaryFile(prefix="axion-stage3-") as named:
            shutil.copyfileobj(file, named)
            named.flush()
            with_retries(partial(_upload, store, "put_file", named.name, path, n_bytes=n_bytes))
    return n_bytes


def remove_object(url: str) -> None:
    """Remove an object; one that is not there is passed over.

    Raises:
        OSError: It cannot be removed.
        MissingExtraError: The driver of the store is not installed.
    """
    store, path = _open(url)
    try:
        with_retries(lambda: store.rm_file(path))
    except FileNotFoundError:
        if not _has_bucket(store, path):
            raise


def list_objects(url: str, prefix: str = "", *, is_deep: bool = True) -> Iterator[StoredObject]:
    """List the objects below a folder.

    On S3 a page of a thousand keys is in memory at a time; other stores are asked folder by folder.

    Args:
        url: The folder.
        prefix: Only names that begin with this.
        is_deep: Whether those in sub-folders are listed too.

    Raises:
        OSError: The store cannot be reached, or there is no such bucket.
        MissingExtraError: The driver of the store is not installed.
    """
    store, path = _open(url)
    root = f"{path.rstrip('/')}/"
    if _scheme(url) == "s3":
        yield from _list_s3(store, root, prefix, is_deep=is_deep)
        return
    for name, facts in _walk(store, root.rstrip("/"), is_deep=is_deep):
        if name.startswith(prefix):
            yield StoredObject(name, int(facts.get("size") or 0), _version(facts))


def object_bytes(url: str) -> int | None:
    """Size of an object, in bytes; None if there is none.

    Raises:
        OSError: The store does not say.
        MissingExtraError: The driver of the store is not installed.
    """
    store, path = _open(url)
    if _scheme(url) == "s3":
        bucket, _, key = path.partition("/")
        # Not HEAD, whose answers have no body that would tell a missing object from a bucket.
        first = _s3_page(store, Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        return next((entry["Size"] for entry in first if entry["Key"] == key), None)
    try:
        facts = with_retries(partial(store.info, path))
    except FileNotFoundError:
        return None
    return None if facts["type"] == "directory" else int(facts["size"])


def has_objects(url: str) -> bool:
    """Whether there is any object below a folder.

    Raises:
        OSError: The store does not say.
        MissingExtraError: The driver of the store is not installed.
    """
    store, path = _open(url)
    if _scheme(url) == "s3":
        bucket, _, key = path.partition("/")
        prefix = f"{key}/" if key else ""
        return bool(_s3_page(store, Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"))
    return next(_walk(store, path, is_deep=True), None) is not None


@cache
def _driver(scheme: str, process: int) -> Any:  # noqa: ARG001 - drivers do not outlive a fork
    """The store of a scheme, with everything that concerns access taken from the environment."""
    try:
        fsspec = import_module("fsspec")
        import_module(_DRIVERS[scheme])
    except ImportError as error:
        package = _DRIVERS[scheme]
        extra = "pip install 'axion-stage3[cloud]'"
        raise MissingExtraError(
            f"{scheme}:// needs {package}, which cannot be imported: {error}.",
            hint=extra if scheme in ("s3", "memory") else f"{extra} {package}",
        ) from error
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        timeouts = {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "read_timeout": READ_TIMEOUT_SECONDS,
            "retries": {"max_attempts": 0},
        }
        # With more than one, an object's size is asked for before each reading.
        options |= {"config_kwargs": timeouts, "max_concurrency": 1, "session": _aws_session()}
    store = fsspec.filesystem(scheme, **options)
    if scheme == "s3":
        store.retries = 1
    return store


def _aws_session() -> Any:
    """A session of the AWS library that leaves times as text.

    To parse the time of each key takes two thirds of the time of a listing, and nothing reads it.
    """
    session = import_module("aiobotocore.session").AioSession()
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=str)
    return session


def _upload(store: Any, method: str, *arguments: Any, n_bytes: int) -> None:
    """Upload an object, for a limited time.

    The drivers begin to wait for an answer when all has been sent: an upload that stalls before
    that would never end.
    """
    if not store.async_impl:
        getattr(store, method)(*arguments)
        return
    seconds = READ_TIMEOUT_SECONDS + n_bytes / SLOWEST_UPLOAD_BYTES_PER_SECOND

    async def upload() -> None:
        # Cancelled when the time is over, so that its connection is free for others.
        await asyncio.wait_for(getattr(store, f"_{method}")(*arguments), seconds)

    import_module("fsspec.asyn").sync(store.loop, upload)


def _open(url: str) -> tuple[Any, str]:
    scheme, _, path = url.partition("://")
    return _driver(scheme, os.getpid()), (f"/{path}" if scheme == "memory" else path)


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _list_s3(store: Any, root: str, prefix: str, *, is_deep: bool) -> Iterator[StoredObject]:
    bucket, _, key = root.partition("/")
    query = {"Bucket": bucket, "Prefix": key + prefix, "MaxKeys": KEYS_PER_PAGE}
    if not is_deep:
        query["Delimiter"] = "/"
    while True:
        page = _s3_page(store, **query)
        for entry in page.get("Contents", ()):
            yield _s3_object(entry, key)
        if not page.get("IsTruncated"):
            return
        query["ContinuationToken"] = page["NextContinuationToken"]


def _s3_page(store: Any, **query: Any) -> dict[str, Any]:
    page: dict[str, Any] = with_retries(partial(store.call_s3, "list_objects_v2", **query))
    return page


def _s3_object(entry: dict[str, Any], key: str) -> StoredObject:
    return StoredObject(entry["Key"].removeprefix(key), entry["Size"], _version(entry))


def _walk(store: Any, root: str, *, is_deep: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files below a folder with what the store says of them; nothing for one that is not there."""
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            entries = with_retries(partial(store.ls, folder, detail=True))
        except FileNotFoundError:
            if folder == root and not _has_bucket(store, root):
                raise
            continue
        for facts in entries:
            path = facts["name"].rstrip("/")
            if facts["type"] != "directory":
                yield path.removeprefix(root).lstrip("/"), facts
            elif is_deep and path != folder:
                pending.append(path)


def _has_bucket(store: Any, path: str) -> bool:
    """Whether the bucket of a path is there; an object or folder in it need not be."""
    if store.protocol == "memory":
        return True
    bucket = path.partition("/")[0]
    try:
        with_retries(lambda: store.ls(bucket, detail=False))
    except FileNotFoundError:
        return False
    return True


def _version(facts: dict[str, Any]) -> str:
    return next((str(facts[field]) for field in _VERSION_FIELDS if facts.get(field)), "")
