"""A real S3 API on loopback that can be told to fail, to stall and to refuse."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self
from urllib.request import Request, urlopen

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

KEY = "AKIATESTKEYTESTKEY00"
SECRET = "secret-of-the-tests"


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as S3 keeps them

    def log(self, *_: Any) -> None:
        pass


class S3Bench:
    """A moto server behind a wrapper that counts requests and spoils some.

    Attributes:
        n_requests: Requests by method, LIST apart from GET.
        writes: How often each key was written.
        paths: Method and path of each request.
        failure_share: Share of requests that fail, evenly spread: unanswered, answered 503 without
            effect, or answered 500 although they took effect.
        stalled: Methods whose next request is stalled, once each.
        refused: Answers "<method> <path>" with 403 if it says so.
    """

    def __init__(self) -> None:
        self.n_requests: Counter[str] = Counter()
        self.n_spoiled: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.failure_share = 0.0
        self.stalled: list[str] = []
        self.stall_seconds = 5.0
        self.refused: Callable[[str], bool] = lambda _: False
        self.paths: list[str] = []
        self._due = 0.0
        self._faults = itertools.cycle(("reset", "503", "500"))
        self._lock = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(0.02,),  # seconds until it sees that it is to end
            daemon=True,
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What points AWS clients at it, and at nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def put(self, bucket: str, folder: Path) -> None:
        """Make a bucket that holds the files of a folder, past all faults."""
        client = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )  # fmt: skip
        client.create_bucket(Bucket=bucket)
        for path in folder.rglob("*.npz"):
            key = path.relative_to(folder).as_posix()
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        client.close()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        for record in (self.n_requests, self.n_spoiled, self.writes, self.paths):
            record.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        # moto keeps its buckets per process, not per server.
        urlopen(Request(f"{self.url}/moto-api/reset", method="POST")).close()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        kind = "LIST" if "list-type" in environ["QUERY_STRING"] else method
        with self._lock:
            self.n_requests[kind] += 1
            self._due += self.failure_share
            fails = self._due >= 1
            self._due -= fails
            fault = next(self._faults) if fails else ""
            self.paths.append(f"{kind} {path}")
            stalls = kind in self.stalled
            if stalls:
                self.stalled.remove(kind)
            self.n_spoiled[fault if fails else "stall" if stalls else "none"] += 1
        if self.refused(f"{method} {path}"):
            return _error(environ, start, "403 Forbidden", "AccessDenied")
        if stalls:
            time.sleep(self.stall_seconds)
        if fails and fault == "503":
            return _error(environ, start, "503 Slow Down", "SlowDown")
        if fails and fault == "reset":
            environ["werkzeug.socket"].shutdown(2)
            return _error(environ, start, "500 Gone", "InternalError")
        if fails:
            b"".join(self._app(environ, lambda *_: lambda _: None))
            return _error(environ, start, "500 Internal Server Error", "InternalError")
        if method == "PUT" and path.count("/") > 1:
            with self._lock:
                self.writes[path] += 1
        return self._app(environ, start)


def _error(environ: dict[str, Any], start: Any, status: str, code: str) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = f"<Error><Code>{code}</Code><Message>made up: {code}</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
