"""An S3-compatible server for tests, in a process of its own, and what it holds of uploads that were not finished."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

BUCKET = "pickles"

_SERVER = f"""
import urllib.request, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
urllib.request.urlopen(urllib.request.Request(f"http://{{host}}:{{port}}/{BUCKET}", method="PUT"))
print(f"http://{{host}}:{{port}}", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Yields the address of a server with one empty bucket, which meanwhile is in the environment as a user has it."""
    pytest.importorskip("moto", reason="moto[server] is not installed")
    with pytest.MonkeyPatch.context() as patch:
        server = subprocess.Popen(
            [sys.executable, "-u", "-W", "ignore", "-c", _SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert server.stdout is not None
            endpoint = server.stdout.readline().decode().strip()
            assert endpoint, "the server did not start"
            patch.setenv("AWS_ENDPOINT_URL", endpoint)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_REGION", "us-east-1")
            yield endpoint
        finally:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()


def unfinished(endpoint: str) -> int:
    """How many uploads have parts in the bucket and were neither finished nor given up."""
    with urllib.request.urlopen(f"{endpoint}/{BUCKET}?uploads") as answer:
        return int(answer.read().count(b"<Upload>"))
