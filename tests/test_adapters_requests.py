"""requests-cache with torshi's serializer: responses of a real server, in its SQLite backend.

If these failed, a program would ask for what it has, or run what somebody put into the file of its cache.
"""

from __future__ import annotations

import http.server
import pickle
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi
from planted import ATTACK, RAN

requests_cache = pytest.importorskip("requests_cache", reason="requests-cache is not installed")

from torshi.adapters.requests_cache import serializer  # noqa: E402

BODY = b'{"name": "Ada"}'


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        Handler.asked.append(self.path)
        if self.path == "/from":
            self.send_response(302)
            self.send_header("Location", "/to")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "flavour=plain")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked.clear()
    RAN.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Any]:
    with requests_cache.CachedSession(tmp_path / "http", serializer=serializer, expire_after=60) as session:
        yield session
        session.cache.close()


def test_a_response_comes_back(session: Any, url: str) -> None:
    """Or it would differ from what the server had said: body, headers, cookies, the way there."""
    first, second = session.get(url + "/from"), session.get(url + "/from")
    assert Handler.asked == ["/from", "/to"]
    assert not first.from_cache
    assert second.from_cache
    assert second.json() == {"name": "Ada"}
    assert second.headers == first.headers
    assert second.cookies.get_dict() == {"flavour": "plain"}
    assert second.history[0].status_code == 302
    assert second.url == url + "/to"
    assert second.expires is not None


def test_responses_are_pickles_without_names(session: Any, url: str, tmp_path: Path) -> None:
    """Or the policy that has none could not load them."""
    session.get(url + "/to")
    with sqlite3.connect(tmp_path / "http.sqlite") as connection:
        (value,) = connection.execute("SELECT value FROM responses").fetchone()
    connection.close()
    assert torshi.inspect(value).globals == ()


@pytest.mark.parametrize(
    "planted",
    [ATTACK, pickle.dumps({"headers": 7, "history": "no"}), pickle.dumps([1]), b"\x80\x05", b""],
    ids=["attack", "no response", "a list", "cut", "empty"],
)
def test_what_is_planted_is_asked_for_again(session: Any, url: str, tmp_path: Path, planted: bytes) -> None:
    """Or whoever can write to the file would run code in the program, or keep it from working."""
    session.get(url + "/to")
    with sqlite3.connect(tmp_path / "http.sqlite") as connection:
        assert connection.execute("UPDATE responses SET value = ?", (planted,)).rowcount == 1
    connection.close()
    found = session.get(url + "/to")
    assert found.json() == {"name": "Ada"}
    assert not found.from_cache
    assert Handler.asked == ["/to", "/to"]
    assert session.get(url + "/to").from_cache
    assert RAN == []
