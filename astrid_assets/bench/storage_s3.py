"""What storing and reading objects costs on S3, against boto3's own put and get of the same bytes.

The service is moto in a process of its own on this machine: compare within a row, not with a real
service.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SecretStr

from astrid_assets.bench.measure import Cost, measured
from astrid_assets.bench.storage import N_TURNS, ObjectRate
from astrid_resources.objects import ObjectStore, S3Bucket

SIZES_MB = (4, 64)
_BUCKET, _PLAIN = "astrid-bench", "plain"
_KEY = SecretStr("bench")
_MEGABYTE = 1_000_000
_START_S = 60.0
_SERVER = """
import pathlib, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
part = pathlib.Path(sys.argv[1] + ".part")
part.write_text(str(server.get_host_and_port()[1]))
part.rename(sys.argv[1])
sys.stdin.read()
"""


def bench_s3(*, say: Callable[[str], None]) -> list[ObjectRate]:
    """Return the rates on S3, nothing where moto (development tools) is not installed."""
    if find_spec("moto") is None:
        say("objects on S3 are left out: moto is not installed")
        return []
    rng = np.random.default_rng(0)
    rates = []
    with _service() as bucket:
        store = ObjectStore(bucket)
        for size_mb in SIZES_MB:
            say(f"objects of {size_mb} MB on S3")
            turns = [
                _turn(store, bucket.client, rng.bytes(size_mb * _MEGABYTE))
                for _ in range(N_TURNS + 1)
            ]
            put, sent, got, read = (
                size_mb / statistics.median(cost.wall_s for cost in costs)
                for costs in zip(*turns[1:], strict=True)
            )
            rates.append(ObjectRate("store", size_mb, put, sent))
            rates.append(ObjectRate("read", size_mb, got, read))
    return rates


def _turn(store: ObjectStore, client: Any, content: bytes) -> tuple[Cost, Cost, Cost, Cost]:
    where = {"Bucket": _BUCKET, "Key": _PLAIN}
    stored, put = measured(lambda: store.put_bytes(content))
    _, sent = measured(lambda: client.put_object(**where, Body=content))
    _, got = measured(lambda: store.get_bytes(stored.key))
    _, read = measured(lambda: client.get_object(**where)["Body"].read())
    store.delete(stored.key)
    return put, sent, got, read


@contextmanager
def _service() -> Iterator[S3Bucket]:
    """Yield an empty bucket of an S3 service in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="astrid-bench-") as folder:
        ready = Path(folder) / "port"
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _SERVER, str(ready)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + _START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the S3 service of the benchmark did not start")
                time.sleep(0.1)
            bucket = S3Bucket(
                _BUCKET,
                endpoint_url=f"http://127.0.0.1:{ready.read_text()}",
                region="us-east-1",
                access_key_id=_KEY,
                secret_access_key=_KEY,
            )
            bucket.client.create_bucket(Bucket=_BUCKET)
            yield bucket
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
