"""Django on a store: its cache, through Django's own handler, and its sessions.

If these failed, a site would lose what it cached, keep what had run out, or run what somebody put into its database.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import torshi
from planted import ATTACK, FORMS, RAN, plant

pytest.importorskip("django", reason="Django is not installed")

from django.conf import settings
from django.core.cache import CacheHandler
from django.core.exceptions import ImproperlyConfigured

from torshi.adapters.django import Cache, SessionSerializer

if not settings.configured:
    settings.configure(SECRET_KEY="for tests alone", USE_TZ=True)


@dataclass
class Own:
    """A class of the site."""

    value: Any = None


@pytest.fixture
def handler(tmp_path: Path) -> CacheHandler:
    backend = "torshi.adapters.django.Cache"
    return CacheHandler(
        {
            "default": {"BACKEND": backend, "LOCATION": tmp_path / "cache.db", "TIMEOUT": 60},
            "prefixed": {"BACKEND": backend, "LOCATION": tmp_path / "cache.db", "KEY_PREFIX": "p", "VERSION": 2},
            "forever": {"BACKEND": backend, "LOCATION": tmp_path / "cache.db", "TIMEOUT": None},
            "small": {"BACKEND": backend, "LOCATION": tmp_path / "small.db", "OPTIONS": {"max_bytes": 20_000}},
        }
    )


@pytest.fixture
def cache(handler: CacheHandler) -> Iterator[Any]:
    yield handler["default"]
    handler["default"].clear()


def test_what_is_set_is_there(cache: Any) -> None:
    """Or pages would be made anew for each request; objects of the site's own classes come back too."""
    cache.set("own", Own([1]))
    cache.set("none", None)
    assert cache.get("own") == Own([1])
    assert cache.get("none", "absent") is None
    assert cache.get("other", "absent") == "absent"
    assert "own" in cache
    assert cache.has_key("other") is False
    assert cache.delete("own") is True
    assert cache.delete("own") is False


def test_values_are_not_shared(cache: Any) -> None:
    """Or one request would change what another one gets."""
    cache.set("list", [1])
    cache.get("list").append(2)
    assert cache.get("list") == [1]


def test_add_puts_once(cache: Any) -> None:
    """Or two workers would both believe that they have the lock."""
    assert cache.add("lock", 1)
    assert not cache.add("lock", 2)
    assert cache.get("lock") == 1


def test_timeouts(handler: CacheHandler, cache: Any) -> None:
    """Or values would outlive their time, or end before it."""
    store = cache._store
    cache.set("default", 1)
    assert 50 < store.expires(":1:default") - datetime.datetime.now().timestamp() <= 60
    cache.set("never", 1, timeout=None)
    handler["forever"].set("also", 1)
    assert store.expires(":1:never") is None
    assert store.expires(":1:also") is None
    for gone in (0, -1):
        cache.set("default", 1)
        cache.set("default", 2, timeout=gone)
        assert cache.get("default") is None
        assert cache.add("default", 3, timeout=gone)
        assert cache.get("default") is None
    cache.set("short", 1, timeout=0.01)
    threading.Event().wait(0.03)
    assert cache.get("short") is None
    assert cache.add("short", 2)


def test_touch(cache: Any) -> None:
    """Or a session that is in use would end."""
    cache.set("a", 1, timeout=5)
    assert cache.touch("a", 500)
    assert cache._store.expires(":1:a") > datetime.datetime.now().timestamp() + 400
    assert cache.touch("a", None)
    assert cache._store.expires(":1:a") is None
    assert cache.touch("a", 0)
    assert not cache.touch("a")
    assert cache.get("a") is None


def test_many(cache: Any) -> None:
    """Or a page of fragments would come back with holes."""
    assert cache.set_many({"a": 1, "b": Own(2)}, timeout=30) == []
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": Own(2)}
    assert cache._store.expires(":1:a") is not None
    cache.delete_many(["a", "c"])
    assert cache.get_many(["a", "b"]) == {"b": Own(2)}
    assert cache.get_or_set("d", lambda: 4) == 4
    assert cache.get("d") == 4


def test_incr_loses_nothing_and_keeps_expiry(cache: Any) -> None:
    """Or counters would be short, or never end."""
    cache.set("n", 0, timeout=100)
    before = cache._store.expires(":1:n")

    def count() -> None:
        for _ in range(50):
            cache.incr("n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 200
    assert cache._store.expires(":1:n") == before
    assert cache.decr("n", 50) == 150
    with pytest.raises(ValueError, match="not found"):
        cache.incr("other")
    assert cache.get("other") is None


def test_versions_and_prefixes(handler: CacheHandler, cache: Any) -> None:
    """Or two sites would get one another's pages."""
    other = handler["prefixed"]
    cache.set("k", "one")
    other.set("k", "two")
    assert (cache.get("k"), other.get("k")) == ("one", "two")
    assert cache.get("k", version=2) is None
    assert cache.incr_version("k") == 2
    assert cache.get("k") is None
    assert cache.get("k", version=2) == "one"


def test_one_store_for_all_instances(tmp_path: Path, cache: Any) -> None:
    """Or each thread of a server would open files of its own."""
    again = Cache(str(tmp_path / "cache.db"), {"TIMEOUT": 60})
    assert again._store is cache._store
    cache.set("k", 1)
    cache.close()  # at the end of each request
    assert again.get("k") == 1


def test_culling(handler: CacheHandler) -> None:
    """Or the cache would fill the disk."""
    small = handler["small"]
    for number in range(200):
        small.set(f"k{number}", b"x" * 1000)
    assert small.get("k199") is not None
    assert small.get("k0") is None
    assert len(small._store) <= 22


def test_clear(cache: Any) -> None:
    """Or a deployment would serve pages of the one before."""
    cache.set_many({"a": 1, "b": 2})
    cache.clear()
    assert cache.get_many(["a", "b"]) == {}


def test_long_keys(cache: Any) -> None:
    """Or a long URL would be an error instead of a page."""
    with pytest.warns(RuntimeWarning, match="longer than 250"):
        cache.set("u" * 5000, 1)
    with pytest.warns(RuntimeWarning, match="longer than 250"):
        assert cache.get("u" * 5000) == 1
    with pytest.warns(RuntimeWarning, match="longer than 250"):
        assert cache.get("u" * 5001) is None


def test_from_a_coroutine(cache: Any) -> None:
    """Or async views could not use it."""

    async def used() -> Any:
        await cache.aset("k", 1)
        return await cache.aget("k"), await cache.aincr("k")

    assert asyncio.run(used()) == (1, 2)


def test_a_wrong_option_is_said(tmp_path: Path) -> None:
    """Or a limit that does not count would be believed to."""
    with pytest.raises(ImproperlyConfigured, match="max_bytes"):
        Cache(tmp_path / "c.db", {"OPTIONS": {"MAX_ENTRIES": 10}})


@pytest.mark.parametrize("form", FORMS)
def test_a_planted_pickle_is_a_miss(tmp_path: Path, cache: Any, form: str, caplog: pytest.LogCaptureFixture) -> None:
    """Or whoever can write to the cache's file would run code in the site."""
    RAN.clear()
    cache.set_many({"a": 1, "b": 2})
    assert plant(tmp_path / "cache.db", form, "%:a") == 1
    with caplog.at_level(logging.WARNING, "torshi.adapters"):
        assert cache.get("a", "absent") == "absent"
    assert "cannot be read" in caplog.text
    assert cache.get("b") == 2
    assert not cache.has_key("a")
    with pytest.raises(ValueError, match="not found"):
        cache.incr("a")
    assert cache.add("a", 3)
    assert cache.get("a") == 3
    assert RAN == []


class TestSessions:
    """Sessions through Django's own signing, as its database and cookie backends have them."""

    @pytest.fixture(autouse=True)
    def use_the_serializer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "SESSION_SERIALIZER", "torshi.adapters.django.SessionSerializer", raising=False)

    def test_a_session_comes_back(self) -> None:
        """Or users would be logged out; dates are what JSON could not hold."""
        from django.contrib.sessions.backends.base import SessionBase

        session = SessionBase()
        data = {"since": datetime.date(2026, 11, 28), 7: ("a", {1, 2})}
        assert session.decode(session.encode(data)) == data

    def test_what_could_not_be_loaded_is_not_stored(self) -> None:
        """Or the user would find out at the next request, by an empty session."""
        with pytest.raises(torshi.UntrustedError, match="Own"):
            SessionSerializer().dumps({"cart": Own()})

        class Trusting(SessionSerializer):
            trust = Own

        assert Trusting().loads(Trusting().dumps({"cart": Own(1)})) == {"cart": Own(1)}

    def test_an_attack_that_is_signed_is_an_empty_session(self) -> None:
        """Or whoever has got the site's SECRET_KEY, which is in many a repository, would run code in it."""
        from django.contrib.sessions.backends.base import SessionBase
        from django.core import signing

        class Planting:
            def dumps(self, obj: Any) -> bytes:
                return ATTACK

        RAN.clear()
        session = SessionBase()
        planted = signing.dumps({}, salt=session.key_salt, serializer=Planting, compress=True)
        assert session.decode(planted) == {}
        with pytest.raises(torshi.UntrustedError):
            SessionSerializer().loads(ATTACK)
        assert RAN == []


SITE = """
import django, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="for tests alone, and long enough for that",
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    ROOT_URLCONF="__main__",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={"default": {"BACKEND": "torshi.adapters.django.Cache", "LOCATION": sys.argv[1]}},
)
django.setup()

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import path

made = []

def page(request):
    made.append(1)
    response = HttpResponse(f"made {len(made)}", headers={"X-Own": "yes"})
    response.set_cookie("flavour", "plain")
    return response

def count(request):
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse(str(request.session["n"]), headers={"Cache-Control": "private"})

urlpatterns = [path("", page), path("count", count)]
call_command("migrate", verbosity=0)

first, second = Client(), Client()
assert first.get("/").content == b"made 1"
again = second.get("/")
assert (again.content, again.headers["X-Own"], again.cookies["flavour"].value) == (b"made 1", "yes", "plain")
assert [first.get("/count").content, first.get("/count").content, second.get("/count").content] == [b"1", b"2", b"1"]

ada = User.objects.create(username="ada")
cache.set("ada", ada)
assert cache.get("ada") == ada and cache.get("ada").date_joined == ada.date_joined
cache.set("query", User.objects.defer("email").filter(username="ada"))
assert list(cache.get("query")) == [ada]
assert cache.get_many(iter(["ada", "nobody"])) == {"ada": ada}
"""


def test_a_site(tmp_path: Path) -> None:
    """Or pages, sessions and what models and queries are made of could be cached in other backends and not in this."""
    made = subprocess.run(
        [sys.executable, "-c", SITE, str(tmp_path / "cache.db")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
