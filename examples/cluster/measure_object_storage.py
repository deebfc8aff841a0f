"""What folders in an object store cost beside local ones, against an S3 API on this machine.

    python examples/cluster/measure_object_storage.py [--tiles 200] [--size 120]
    python examples/cluster/measure_object_storage.py --keys 10000 100000 1000000

The first form grounds the same synthetic tiles from and into local folders and a bucket (a moto
server in a process of its own, which counts requests). The second lists and pairs two folders of
so many keys, which a server makes up page by page. A network adds its latency to each request.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs
from urllib.request import urlopen

KEYS_PER_PAGE = 1000
ENTRY = (
    "<Contents><Key>{0}/block_{1:04d}/tile_{2:07d}.npz</Key><Size>411000</Size>"
    "<LastModified>2026-11-26T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{2:032x}&quot;</ETag><StorageClass>STANDARD</StorageClass></Contents>"
)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "OMP_NUM_THREADS": "1",
}


def made_up_listing(n_keys):
    """A server that knows one request: list the next thousand of ``n_keys`` keys of a folder."""

    def answer(environ, start):
        query = parse_qs(environ["QUERY_STRING"])
        side = query["prefix"][0].strip("/")
        first = int(query.get("continuation-token", ["0"])[0])
        last = min(first + KEYS_PER_PAGE, n_keys)
        keys = "".join(ENTRY.format(side, i // 1000, i) for i in range(first, last))
        more = f"<NextContinuationToken>{last}</NextContinuationToken>" if last < n_keys else ""
        body = (
            f"<ListBucketResult><IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}"
            f"<KeyCount>{last - first}</KeyCount>{keys}</ListBucketResult>"
        ).encode()
        start("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def serve(n_keys) -> None:
    """Answer on a free port of this machine, which is written to standard output."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_) -> None:
            pass

    app = made_up_listing(n_keys) if n_keys else DomainDispatcherApplication(create_backend_app)
    counts: Counter[str] = Counter()

    def counting(environ, start):
        if environ["PATH_INFO"] == "/-/counts":
            body = json.dumps(counts).encode()
            counts.clear()
            start("200 OK", [("Content-Length", str(len(body)))])
            return [body]
        is_list = "list-type" in environ["QUERY_STRING"]
        counts["LIST" if is_list else environ["REQUEST_METHOD"]] += 1
        return app(environ, start)

    server = make_server("127.0.0.1", 0, counting, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


class Server:
    """The server in a process of its own."""

    def __init__(self, n_keys=0) -> None:
        command = [sys.executable, __file__, "--serve", str(n_keys)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    def counts(self):
        """Requests since the last call, by kind."""
        with urlopen(f"{self.url}/-/counts") as answer:  # noqa: S310 - of this machine
            return json.load(answer)

    def __enter__(self):
        os.environ |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def measure_runs(n_tiles, size) -> None:
    """Ground the same tiles here and there."""
    import boto3

    from axion_stage3.testing.tile_factories import write_pairs

    with tempfile.TemporaryDirectory(prefix="storage-") as name, Server() as server:
        folder = Path(name)
        write_pairs(folder, n_tiles, sizes=(size,))
        client = boto3.client("s3", endpoint_url=server.url)
        client.create_bucket(Bucket="bucket")
        for path in folder.rglob("*.npz"):
            key = path.relative_to(folder).as_posix()
            client.put_object(Bucket="bucket", Key=key, Body=path.read_bytes())
        server.counts()
        for root in (str(folder), "s3://bucket"):
            for n_threads in (2, 8):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                began = time.perf_counter()
                done = subprocess.run(  # noqa: S603 - the program itself
                    [
                        *(sys.executable, "-m", "axion_stage3", "infer", "--quiet", "--json"),
                        *("--opt-v2-dir", f"{root}/opt_v2", "--s1-dir", f"{root}/s1"),
                        *("--output-dir", f"{root}/out{n_threads}", "--io-threads", str(n_threads)),
                        *("--timesteps", "1", "--device", "cpu"),
                    ],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                seconds = time.perf_counter() - began
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                pace = json.loads(done.stdout)["summary"]["tiles_per_second"]
                print(
                    f"{'local' if root == name else 's3':<6} {n_threads} threads: {pace:6.2f} "
                    f"tiles/s while processing, whole command {seconds:5.1f} s, processor time "
                    f"{used:5.1f} s, requests {server.counts()}"
                )


def measure_listing(n_keys) -> None:
    """List and pair two folders of so many keys."""
    program = (
        "import resource, sys, time\n"
        "from axion_stage3.storage.locations import ObjectUrl\n"
        "from axion_stage3.tiles.pairing import find_pairs\n"
        "began = time.perf_counter()\n"
        "pairs = find_pairs(ObjectUrl('s3://bucket/opt_v2'), ObjectUrl('s3://bucket/s1')).pairs\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(f'{len(pairs):,} pairs: {time.perf_counter() - began:.1f} s, processor time '\n"
        "    f'{used.ru_utime + used.ru_stime:.1f} s, '\n"
        "    f'most memory {used.ru_maxrss / 1024:.0f} MB')\n"
    )
    with Server(n_keys) as server:
        subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
        print(f"  requests {server.counts()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__)[0])
    parser.add_argument("--tiles", type=int, default=200)
    parser.add_argument("--size", type=int, default=120)
    parser.add_argument("--keys", type=int, nargs="*")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
    elif given.keys:
        for n_keys in given.keys:
            measure_listing(n_keys)
    else:
        measure_runs(given.tiles, given.size)


if __name__ == "__main__":
    main()
