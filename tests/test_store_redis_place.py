"""Stores in Redis and what happens to a server: rows planted there, evictions, full memory, replicas, logins, crashes.

If these failed, a stranger's row would be loaded, an index would lead to rows that are not there, or a change that was
answered for would be lost with its server.
"""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi
from store_servers import RedisServer, redis_programs, redis_server
from torshi._store.backend import ABSENT, Check, Delete, Put
from torshi._store.places import says_all
from torshi._store.redis import RedisBackend, open_backend

pytest.importorskip("redis", reason="redis is not installed")

_names = (f"place-{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def one_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with redis_server(next(iter(redis_programs()), "redis"), tmp_path) as server:
        yield server


@pytest.fixture
def store(server: RedisServer) -> Iterator[torshi.Store[Any]]:
    with torshi.Store(server.url(f"/0/{next(_names)}")) as store:
        yield store


def below(store: torshi.Store[Any]) -> bytes:
    """What the names of a store's keys begin with."""
    return b"torshi:{" + store.where.partition("#")[2].encode() + b"}:"


def backend_of(store: torshi.Store[Any]) -> RedisBackend:
    backend = store._backend
    assert isinstance(backend, RedisBackend)
    return backend


def test_a_login_is_in_no_pickle(server: RedisServer) -> None:
    """A store that arrives elsewhere without its login, and is not let in there; or whose pickle tells the password."""
    name = next(_names)
    for login in (":hidden-word@", "somebody@", "somebody:hidden-word@"):
        assert not says_all(f"redis://{login}host:6379/0/{name}")
    client = server.client()
    client.execute_command("ACL", "SETUSER", "worker", "on", ">hidden-word", "~*", "&*", "+@all")
    try:
        url = server.url(f"/0/{name}").replace("://", "://worker:hidden-word@")
        with torshi.Store(url) as store:
            store["a"] = 1
            assert "hidden-word" not in store.where
            with pytest.raises(TypeError, match="open it where it is needed") as refused:
                pickle.dumps(store)
            assert "hidden-word" not in str(refused.value)
        with (
            torshi.Store(server.url(f"/0/{name}?socket_timeout=7")) as store,
            pytest.raises(TypeError, match="settings"),
        ):
            pickle.dumps(store)
        options = {"username": "worker", "password": "hidden-word"}
        with torshi.Store(server.url(f"/0/{name}"), storage_options=options) as store:
            data = pickle.dumps(store)
        with pickle.loads(data) as again:
            assert again["a"] == 1
            assert again._backend._client.acl_whoami() in ("worker", b"worker")
    finally:
        client.execute_command("ACL", "DELUSER", "worker")


# -- what others can do

RAN: list[Any] = []


def act(*args: Any) -> None:
    """What a stranger would like to have called."""
    RAN.append(args)


class Acting:
    def __reduce__(self) -> Any:
        return act, ("x",)


def test_planted_rows_are_not_loaded(server: RedisServer, store: torshi.Store[Any]) -> None:
    """A string planted in Redis that is loaded, runs something, or keeps others from being read."""
    client = server.client()
    with torshi.Store(server.url(f"/0/{next(_names)}")) as other:
        other.update(a=b"from elsewhere")
        foreign = client.get(below(other) + b"row:d\x02a\x00")
    store.update({name: name for name in "abcdefgh"})
    rows = {name: below(store) + b"row:d\x02" + name.encode() + b"\0" for name in "abcdefgh"}
    true = client.get(rows["a"])
    attack = torshi.dumps(Acting())
    flipped = bytearray(true)
    flipped[-1] ^= 1
    strange = [
        attack, true[:17] + attack, true[:35] + attack, true[:17] + b"\x01\x00" + attack, client.get(rows["b"]),
        foreign, bytes(flipped), true[:20], b"x", pickle.dumps(Acting()), b"\x02" + true[1:17] + attack,
    ]  # fmt: skip
    for data in strange:
        client.set(rows["a"], data)
        client.set(rows["c"], attack)
        with pytest.raises(torshi.SealError):
            pytest.fail(f"{data!r}: {store['a']!r}")
        assert {key: store[key] for key in store if key not in "ac"} == {name: name for name in "bdefgh"}
        assert [problem.kind for problem in store.check()] == ["seal", "seal"]
        assert store.add("a", 1) is False
    for name, kind in (("d", "list"), ("e", "hash"), ("f", "stream")):
        client.delete(rows[name])
        {
            "list": lambda name: client.rpush(name, attack),
            "hash": lambda name: client.hset(name, "a", attack),
            "stream": lambda name: client.xadd(name, {"a": attack}),
        }[kind](rows[name])
        assert store.get(name) is None
    client.hset(below(store) + b"about", "d\x02g\x00", b"[" * 100_000)
    client.hset(below(store) + b"about", "d\x02h\x00", b'{"size":"x","tags":{"a":1},"expires":[]}')
    client.zadd(below(store) + b"keys", {b"d\x02unheard\x00": 0, b"": 0, b"\xff\xff": 0})
    assert (store["b"], store["g"], store["h"]) == ("b", "g", "h")
    assert store.stat("g").tags == ()
    store.update(dict.fromkeys("abcdefgh", 1))
    assert store["d"] == store["g"] == 1
    client.zadd(below(store) + b"keys", {b"d\x02b\x00": 5, b"d\x02c\x00": -5})
    assert any("out of order" in problem.text for problem in store.check())
    store.repair()
    assert list(store) == list("abcdefgh")
    assert store.check() == []
    assert RAN == []


def test_expiry_is_that_of_redis(server: RedisServer, store: torshi.Store[Any]) -> None:
    """A row that stays in Redis for ever since its expiry is torshi's alone, or an index that keeps what has ended."""
    store.set("a", "x" * 1000, ttl=0.05, tags=["t"])
    store["b"] = 1
    client = server.client()
    assert 0 < client.pttl(below(store) + b"row:d\x02a\x00") <= 50
    time.sleep(0.1)
    assert not client.exists(below(store) + b"row:d\x02a\x00")
    assert backend_of(store).sweep() == 1
    assert backend_of(store).usage()[0] == 1
    assert client.smembers(below(store) + b"tag:t") == set()
    assert client.zcard(below(store) + b"ends") == 0
    assert sorted(client.keys(below(store).replace(b"{", b"\\{") + b"*")) == sorted(
        below(store) + name for name in (b"meta", b"keys", b"about", b"used", b"row:d\x02b\x00")
    )


def test_rows_that_redis_evicted(server: RedisServer, store: torshi.Store[Any]) -> None:
    """An index that leads to rows which are not there, after Redis has made room for itself."""
    store.update(dict.fromkeys(range(100), "x" * 100))
    store.set("tagged", 1, tags=["t"])
    client = server.client()
    rows = sorted(client.keys(below(store).replace(b"{", b"\\{") + b"row:*"))
    client.delete(*rows[1::2])
    assert len(list(store.items())) == len(store) == len(list(store)) == (len(rows) + 1) // 2
    assert backend_of(store).usage()[0] == (len(rows) + 1) // 2
    assert all(store.add(number, 0) for number in range(100) if number not in store)
    left = backend_of(store).usage()
    assert left == (100 + ("tagged" in store), sum(stat.size for stat in backend_of(store).stats(b"")))
    assert store.repair() == []


def test_an_index_that_is_lost(server: RedisServer, store: torshi.Store[Any]) -> None:
    """Rows that cannot be found any more since Redis has lost the index, or a repair that loses one."""
    store.update({number: number for number in range(50)})
    client = server.client()
    for name in (b"keys", b"about", b"used", b"ends"):
        client.delete(below(store) + name)
    assert store[7] == 7
    (problem,) = store.check()
    assert problem.kind == "place"
    assert "50 rows are not in the index" in problem.text
    assert "listed 50 rows" in store.repair()[0]
    assert store.check() == []
    assert dict(store) == {number: number for number in range(50)}
    before = backend_of(store).usage()
    assert before == (50, sum(stat.size for stat in backend_of(store).stats(b"")))
    client.hset(below(store) + b"meta", "bytes", 7)
    assert any("counted bytes anew" in line for line in store.repair())
    assert backend_of(store).usage() == before


# -- answers that are lost


def lose(backend: RedisBackend, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Has answers to changes be lost after Redis has made them."""
    real = backend._scripts["apply"]
    left = [times]

    def apply(**arguments: Any) -> Any:
        answer = real(**arguments)
        if left[0]:
            left[0] -= 1
            raise backend._library.exceptions.ConnectionError("the line was cut")
        return answer

    monkeypatch.setitem(backend._scripts, "apply", apply)


def test_a_change_whose_answer_was_lost(store: torshi.Store[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An increment that is counted twice, or a lock that is refused to the one who has it, when a line is cut."""
    backend = backend_of(store)
    for number in range(1, 5):
        with monkeypatch.context() as patch:
            lose(backend, patch, number % 3)
            assert store.incr("n") == number
        with monkeypatch.context() as patch:
            lose(backend, patch, 1)
            assert store.add(("once", number), 1) is True
            assert store.add(("once", number), 1) is False
        with monkeypatch.context() as patch:
            lose(backend, patch, 1)
            assert store.pop(("once", number)) == 1
    assert backend.apply([Delete(b"dx"), Check(b"dx", ABSENT)]) is True


def test_a_server_that_is_killed(one_server: RedisServer) -> None:
    """A change that was answered for and is lost with the server, or made twice; a store of no use after that."""
    with torshi.Store(one_server.url("/0/crash")) as store:
        store["n"] = 0
        answered: list[int] = []
        unknown = 0
        stop = threading.Event()

        def work() -> None:
            nonlocal unknown
            while not stop.is_set():
                try:
                    answered.append(store.incr("n"))
                    store[("row", answered[-1])] = answered[-1]
                except torshi.StoreError as error:
                    unknown += "redis cannot be reached" in str(error)

        worker = threading.Thread(target=work)
        worker.start()
        for _ in range(3):
            time.sleep(0.15)
            one_server.kill()
            time.sleep(0.05)
            one_server.start()
        time.sleep(0.1)
        one_server.kill()
        time.sleep(1.5)  # longer than one tries again
        one_server.start()
        time.sleep(0.2)
        stop.set()
        worker.join()
        assert unknown > 0
        assert answered == sorted(set(answered))
        assert answered[-1] <= store["n"] <= len(answered) + unknown
        assert len(list(store.keys(("row",)))) >= len(answered) - unknown
        assert store.check() == []


_WRITER = """
import itertools, sys
import torshi
from torshi._store import optimistic
optimistic._LEASE = 0.5
store = torshi.Store(sys.argv[1])
for number in itertools.count(int(sys.argv[2])):
    store.update({key: number for key in range(300)})
    print(number, flush=True)
"""


def test_writers_that_are_killed(server: RedisServer, store: torshi.Store[Any]) -> None:
    """A part of an update that is there after its writer was killed, or one that was answered for and is not."""
    done = 0
    for turn in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, store.where, str(done + 1)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        written = [int(writer.stdout.readline())]
        time.sleep(0.02 * turn)
        writer.kill()
        written += map(int, writer.stdout.read().split())
        writer.wait()
        writer.stdout.close()
        values = set(store.values())
        assert len(values) == 1
        (done,) = values
        assert done >= written[-1]
        with store.transaction():  # the lock is nobody's
            store[0] = done


def test_a_fork(store: torshi.Store[Any]) -> None:
    """A connection that a parent and its child both use, and read one another's answers from."""
    store["n"] = 0

    def work(store: torshi.Store[Any], number: int) -> None:
        for turn in range(50):
            store.incr("n")
            store[(number, turn)] = (number, turn)
            assert store[(number, turn)] == (number, turn)

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(store, number)) for number in range(3)]
    for process in children:
        process.start()
    work(store, 3)
    for process in children:
        process.join(60)
    assert [process.exitcode for process in children] == [0, 0, 0]
    assert store["n"] == 200
    assert len(store) == 201


# -- the place itself


def test_full_memory(one_server: RedisServer) -> None:
    """A change of which a part is made when the memory is full, or a store that cannot even delete then."""
    client = one_server.client()
    with torshi.Store(one_server.url("/0/full")) as store:
        store["a"], store["b"] = "x" * 30_000, 1
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        for fails in (
            lambda: store.set("b", 2), lambda: store.update(b=2, c=3), lambda: store.incr("b"),
            lambda: store.add("c", 1),
        ):  # fmt: skip
            with pytest.raises(torshi.StoreError, match="its memory is full: raise maxmemory"):
                fails()
        assert dict(store) == {"a": "x" * 30_000, "b": 1}
        assert store.delete("a") is True
        assert backend_of(store).apply([Put(b"db", b"", expires=1.0)]) is True
        client.config_set("maxmemory", 0)
        store["b"] = 2
        assert dict(store) == {"b": 2}
        assert store.check() == []
        assert backend_of(store).usage() == (1, store.stat("b").size)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        assert "may remove any row" in store.check()[0].text


def test_logins(tmp_path: Path) -> None:
    """An error that shows a password, or does not say that it is wrong."""
    with redis_server(next(iter(redis_programs()), "redis"), tmp_path, "--requirepass", "geheim") as server:
        with torshi.Store(server.url("/3/named", login=":geheim@")) as store:
            store["a"] = 1
            assert store.where == f"redis://127.0.0.1:{server.port}/3#named"
            assert "geheim" not in repr(store)
        with torshi.Store(server.url("/3#named"), storage_options={"password": "geheim"}) as store:
            assert store["a"] == 1
        for login, message in (
            (":falsch@", "refuses the login"),
            ("", "wants a login"),
            ("who:falsch@", "refuses the login"),
        ):
            with pytest.raises(torshi.StoreError, match=message) as raised:
                torshi.Store(server.url("/3/named", login=login))
            assert "falsch" not in str(raised.value)
        with pytest.raises(ValueError, match="special characters") as refused:
            torshi.Store("redis://:ge/heim@localhost")
        assert "heim" not in str(refused.value)


def test_replicas(one_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A replica whose rows cannot be read, or whose refusal to write is no error of a store."""
    with torshi.Store(one_server.url("/0/primary")) as store:
        store.update({number: number for number in range(20)})
        store.set("ends", 1, ttl=0.3)
        name = next(iter(redis_programs()))
        folder = tmp_path_factory.mktemp("replica")
        with redis_server(name, folder, "--replicaof", f"127.0.0.1 {one_server.port}") as replica:
            client = replica.client()
            ends = time.monotonic() + 30
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < ends
                time.sleep(0.05)
            with torshi.Store(replica.url("/0/primary")) as copy:
                assert copy[7] == 7
                time.sleep(0.4)
                assert list(copy) == list(range(20)) == list(copy.values())
                assert len(copy) == 20
                assert copy.check() == []
                assert copy.stats().values == 20
                for fails in (lambda: copy.set("a", 1), lambda: copy.delete(7), lambda: copy.incr(7)):
                    with pytest.raises(torshi.StoreError, match="it is a replica, which takes no changes"):
                        fails()
            with pytest.raises(torshi.StoreError, match="replica"):
                torshi.Store(replica.url("/0/nothing-there"))


def test_places_that_are_no_stores(server: RedisServer) -> None:
    """Something else that is taken for a store, or an error without the way out."""
    client = server.client()
    client.set(b"torshi:{a string}:meta", b"x")
    with pytest.raises(torshi.StoreError, match="choose another namespace="):
        torshi.Store(server.url("/0#a string"))
    client.hset(b"torshi:{newer}:meta", mapping={"id": "00" * 16, "format": 2})
    with pytest.raises(torshi.StoreError, match="which a later torshi reads"):
        torshi.Store(server.url("/0/newer"))
    with pytest.raises(torshi.StoreError, match="redis cannot be reached") as raised:
        torshi.Store("redis://127.0.0.1:1/0")
    assert isinstance(raised.value, OSError)
    with pytest.raises(ValueError, match="does not take these options: no_such"):
        torshi.Store(server.url(), storage_options={"no_such": 1})


def test_a_store_in_the_place_of_another(server: RedisServer) -> None:
    """Rows written for a store that is no more, which nobody can read, into the one that is there now."""
    url = server.url(f"/0/{next(_names)}")
    with torshi.Store(url) as store:
        store["a"] = 1
        server.client().delete(below(store) + b"meta")
        store["b"] = 2  # there is none, so it is this one again
        assert torshi.Store(url)["b"] == 2
        server.client().delete(below(store) + b"meta")
        with torshi.Store(url) as another:
            with pytest.raises(torshi.StoreError, match="another store has been made there"):
                store["a"] = 3
            with pytest.raises(torshi.SealError):
                another["a"]


def test_sockets(tmp_path: Path) -> None:
    """A socket that is taken for a host."""
    socket = tmp_path / "s"
    with redis_server(next(iter(redis_programs()), "redis"), tmp_path, "--unixsocket", str(socket)) as server:
        with torshi.Store(f"unix://{socket}?db=2#named") as store:
            store["a"] = 1
            assert store.where == f"unix://{socket}?db=2#named"
        with torshi.Store(server.url("/2/named")) as same:
            assert same["a"] == 1


def test_uses_are_told_in_time(server: RedisServer, store: torshi.Store[Any]) -> None:
    """A row that is read all the time and evicted first."""
    store.update({number: number for number in range(10)})
    time.sleep(0.01)
    for number in (0, 3, 7):
        store[number]
    backend = backend_of(store)
    last = [key for key, _ in backend.least_used(b"d", 100)[-3:]]
    assert [row.value for row in backend.get_many(last)] == [backend.get(key).value for key in last]  # type: ignore[union-attr]
    assert {store._unpacked(key, backend.get(key).value) for key in last} == {0, 3, 7}  # type: ignore[union-attr]
    assert backend.least_used(b"x", 5) == []


def test_urls() -> None:
    """A URL that is read as another place."""
    for url, where in (
        ("redis://", "redis://localhost:6379/0#torshi"),
        ("redis://h", "redis://h:6379/0#torshi"),
        ("redis://u:p@h:1/2", "redis://h:1/2#torshi"),
        ("rediss://h/2/a/b", "rediss://h:6379/2#a/b"),
        ("redis://h/name", "redis://h:6379/0#name"),
        ("redis://[::1]:7/1?socket_timeout=3#n%20m", "redis://[::1]:7/1#n m"),
    ):
        from torshi._store.redis_place import parsed

        place = parsed(url, {})
        assert place.where == where
        assert parsed(place.where, {}).base == place.base
        place.client.close()
    with pytest.raises(ValueError, match="no scheme of redis"):
        open_backend("http://h")
