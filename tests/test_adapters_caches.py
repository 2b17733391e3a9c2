"""cachelib, Flask-Caching, dogpile.cache and joblib's Memory on a store, through these packages.

If these failed, a program would lose what it cached, compute twice at the same time, or run what somebody put into the
file of its cache.
"""

from __future__ import annotations

import datetime
import importlib
import importlib.metadata
import json
import linecache
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planted import FORMS, RAN, plant


@dataclass
class Own:
    """A class of the program."""

    value: Any = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


class TestCachelib:
    @pytest.fixture(autouse=True)
    def need_it(self) -> None:
        pytest.importorskip("cachelib", reason="cachelib is not installed")

    def cache(self, path: Path, **options: Any) -> Any:
        from torshi.adapters.cachelib import TorshiCache

        return TorshiCache(path, **options)

    def test_what_is_set_is_there(self, path: Path) -> None:
        """Or pages would be made anew for each request."""
        cache = self.cache(path)
        assert cache.set("a", Own([1]))
        assert cache.get("a") == Own([1])
        assert cache.has("a")
        assert not cache.has("b")
        assert cache.get("b") is None
        assert cache.delete("a") is True
        assert cache.delete("a") is False
        assert cache.set_many({"x": 1, "y": 2}) == ["x", "y"]
        assert cache.get_many("x", "y", "z") == [1, 2, None]
        assert cache.get_dict("x", "z") == {"x": 1, "z": None}
        assert cache.delete_many("x", "z") is not None
        assert cache.clear()
        assert cache.get("y") is None

    def test_timeouts(self, path: Path) -> None:
        """Or values would outlive their time; 0 is for ever, as in all of cachelib."""
        cache = self.cache(path, default_timeout=100)
        cache.set("default", 1)
        cache.set("never", 1, timeout=0)
        cache.set("gone", 1, timeout=-1)
        now = datetime.datetime.now().timestamp()
        assert 90 < cache._store.expires("default") - now <= 100
        assert cache._store.expires("never") is None
        assert not cache.has("gone")

    def test_add_and_counting(self, path: Path) -> None:
        """Or two workers would both have the lock, and counters would be short."""
        cache = self.cache(path)
        assert cache.add("lock", 1)
        assert not cache.add("lock", 2)
        assert cache.inc("n") == 1
        assert cache.inc("n", 5) == 6
        assert cache.dec("n") == 5
        assert cache.get("n") == 5
        cache.set("text", "x")
        assert cache.inc("text") is None

    @pytest.mark.parametrize("form", FORMS)
    def test_a_planted_pickle_is_a_miss(self, path: Path, form: str) -> None:
        """Or whoever can write to the file would run code in the application."""
        RAN.clear()
        cache = self.cache(path)
        cache.set_many({"a": 1, "b": 2})
        assert plant(path, form, "a") == 1
        assert cache.get_many("a", "b") == [None, 2]
        assert cache.add("a", 3)
        assert cache.get("a") == 3
        assert RAN == []


class TestFlaskCaching:
    def test_by_its_settings(self, path: Path) -> None:
        """Or the settings that the documentation gives would be no settings."""
        flask = pytest.importorskip("flask", reason="Flask is not installed")
        caching = pytest.importorskip("flask_caching", reason="Flask-Caching is not installed")
        app = flask.Flask("app")
        app.config.update(
            CACHE_TYPE="torshi.adapters.flask_caching.FlaskCache",
            CACHE_ARGS=[str(path)],
            CACHE_OPTIONS={"max_bytes": 10_000_000},
            CACHE_DEFAULT_TIMEOUT=30,
        )
        cache = caching.Cache(app)
        calls = []

        @app.route("/")
        @cache.cached()
        def page() -> str:
            calls.append(1)
            return f"made {len(calls)} times"

        @cache.memoize()
        def double(value: Any) -> Any:
            calls.append(value)
            return Own(2 * value)

        client = app.test_client()
        assert client.get("/").text == client.get("/").text == "made 1 times"
        with app.app_context():
            assert double(4) == double(4) == Own(8)
            assert calls == [1, 4]
            cache.delete_memoized(double)
            double(4)
            assert calls == [1, 4, 4]
            cache.clear()
        assert client.get("/").text == "made 4 times"

    def test_wrong_settings_are_said(self, path: Path) -> None:
        """Or a cache would be where nobody looks for it, or bounded by nothing."""
        pytest.importorskip("flask_caching", reason="Flask-Caching is not installed")
        from torshi.adapters.flask_caching import FlaskCache

        with pytest.raises(ValueError, match="CACHE_ARGS has one item"):
            FlaskCache.factory(None, {}, [], {})
        with pytest.raises(TypeError, match="threshold"):
            FlaskCache.factory(None, {}, [path], {"threshold": 500})


class TestDogpile:
    @pytest.fixture(autouse=True)
    def need_it(self) -> None:
        pytest.importorskip("dogpile.cache", reason="dogpile.cache is not installed")

    def region(self, path: Path, expiration: float = 60, **arguments: Any) -> Any:
        from dogpile.cache import make_region

        importlib.import_module("torshi.adapters.dogpile")
        return make_region().configure("torshi", expiration_time=expiration, arguments={"location": path, **arguments})

    def test_what_is_set_is_there(self, path: Path) -> None:
        """Or values would be made anew; what is not there is NO_VALUE and not None, which is a value."""
        from dogpile.cache.api import NO_VALUE

        region = self.region(path)
        region.set("a", Own([1]))
        region.set("none", None)
        assert region.get("a") == Own([1])
        assert region.get("none") is None
        assert region.get("b") is NO_VALUE
        region.set_multi({"x": 1, "y": 2})
        assert region.get_multi(["x", "b", "y"]) == [1, NO_VALUE, 2]
        region.delete_multi(["x", "b"])
        region.delete("y")
        assert region.get_multi(["x", "y"]) == [NO_VALUE, NO_VALUE]

    def test_the_region_says_what_is_too_old(self, path: Path) -> None:
        """Or a value would be handed out after its time."""
        region = self.region(path, expiration=0.01)
        made = iter(range(10))
        assert region.get_or_create("k", lambda: next(made)) == 0
        threading.Event().wait(0.03)
        assert region.get_or_create("k", lambda: next(made)) == 1
        assert self.region(path).get_or_create("k", lambda: next(made)) == 1

    def test_functions(self, path: Path) -> None:
        """Or the decorator of dogpile.cache would not find its own values."""
        calls = []

        @self.region(path).cache_on_arguments()
        def double(value: int) -> int:
            calls.append(value)
            return 2 * value

        assert double(4) == double(4) == 8
        assert calls == [4]
        double.invalidate(4)
        double(4)
        assert calls == [4, 4]

    def test_one_makes_a_value_and_the_others_wait(self, path: Path) -> None:
        """Or all workers would ask the database at once when a value has run out."""
        region = self.region(path, distributed_lock=True)
        calls: list[int] = []
        begun = threading.Barrier(4)

        def make() -> str:
            calls.append(1)
            threading.Event().wait(0.05)
            return "made"

        def ask() -> None:
            begun.wait()
            assert region.get_or_create("k", make) == "made"

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls == [1]

    def test_the_lock_is_of_whoever_has_it(self, path: Path) -> None:
        """Or one that is late would free another one's lock, and one that was killed keep it for ever."""
        backend = self.region(path, distributed_lock=True, lock_timeout=0.05).backend
        first, second = backend.get_mutex("k"), backend.get_mutex("k")
        assert first.acquire()
        assert not second.acquire(wait=False)
        assert second.acquire()  # when the time of the first is over
        first.release()
        assert backend._store.get(second._key) == second._token
        second.release()
        assert not second.locked()

    def test_a_serializer_of_the_region(self, path: Path) -> None:
        """Or a region that has its own form could not use the backend."""
        from dogpile.cache import make_region

        importlib.import_module("torshi.adapters.dogpile")
        region = make_region(serializer=lambda value: json.dumps(value).encode(), deserializer=json.loads)
        region.configure("torshi", arguments={"location": path})
        region.set("a", {"b": 1})
        assert region.get("a") == {"b": 1}

    def test_arguments_are_looked_at(self, path: Path) -> None:
        """Or a setting with a slip in its name would count for nothing."""
        with pytest.raises(TypeError, match=r"max_byte'.*max_bytes"):
            self.region(path, max_byte=3)

    def test_the_entry_point_leads_there(self) -> None:
        """Or a configuration file could name the backend only after an import."""
        import torshi.adapters.dogpile

        found = [e for e in importlib.metadata.entry_points(group="dogpile.cache") if e.name == "torshi"]
        if not found:
            pytest.skip("the installed metadata of torshi is older than its entry point of dogpile.cache")
        assert found[0].load() is torshi.adapters.dogpile.TorshiBackend

    @pytest.mark.parametrize("form", FORMS)
    def test_a_planted_pickle_is_a_miss(self, path: Path, form: str) -> None:
        """Or whoever can write to the file would run code in the application."""
        from dogpile.cache.api import NO_VALUE

        RAN.clear()
        region = self.region(path)
        region.set_multi({"a": 1, "b": 2})
        assert plant(path, form, "a") == 1
        assert region.get_multi(["a", "b"]) == [NO_VALUE, 2]
        assert region.get_or_create("a", lambda: 3) == 3
        assert RAN == []


CALLS: list[Any] = []


def tripled(value: Any) -> Any:
    CALLS.append(value)
    return Own(3 * value)


def row(length: int) -> Any:
    import numpy

    CALLS.append(length)
    return numpy.arange(length)


class TestJoblib:
    @pytest.fixture
    def memory(self, tmp_path: Path) -> Any:
        joblib = pytest.importorskip("joblib", reason="joblib is not installed")
        importlib.import_module("torshi.adapters.joblib")
        CALLS.clear()
        RAN.clear()
        # Where joblib notes of which functions it has stored the code, whatever the store.
        joblib.memory._FUNCTION_HASHES.clear()
        return joblib.Memory(tmp_path, backend="torshi", verbose=0)

    def file(self, memory: Any) -> Path:
        return Path(memory.store_backend._store.where)

    def test_a_function_runs_once(self, memory: Any) -> None:
        """Or results would be computed anew."""
        cached = memory.cache(tripled)
        assert cached(2) == cached(2) == Own(6)
        assert CALLS == [2]
        assert cached.check_call_in_cache(2)
        assert not cached.check_call_in_cache(3)
        kept = cached.call_and_shelve(2)
        assert kept.get() == Own(6)
        kept.clear()
        with pytest.raises(KeyError, match="no result is kept"):
            kept.get()
        assert cached(2) == Own(6)
        assert CALLS == [2, 2]

    def test_large_arrays(self, memory: Any) -> None:
        """Or what joblib is used for most would not work."""
        pytest.importorskip("numpy", reason="numpy is not installed")
        cached = memory.cache(row)
        assert cached(100_000).sum() == cached(100_000).sum() == 4_999_950_000
        assert CALLS == [100_000]

    def test_another_code_is_another_function(self, memory: Any, tmp_path: Path) -> None:
        """Or results of code that was changed would be handed out."""
        sources = ["def f(n):\n    return n + 1\n", "def f(n):\n    return n + 2\n"]
        given = []
        for source in sources:
            (tmp_path / "changing.py").write_text(source)
            scope: dict[str, Any] = {"__name__": "changing"}
            exec(compile(source, str(tmp_path / "changing.py"), "exec"), scope)
            linecache.checkcache()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of joblib, which sees the change
                given.append(memory.cache(scope["f"])(1))
        assert given == [2, 3]

    def test_clearing_and_limits(self, memory: Any) -> None:
        """Or the folder would grow without end."""
        cached = memory.cache(tripled)
        for number in range(5):
            cached(number)
        assert len(memory.store_backend.get_items()) == 5
        memory.reduce_size(items_limit=2)
        assert len(memory.store_backend.get_items()) == 2
        cached.clear(warn=False)
        assert memory.store_backend.get_items() == []
        cached(1)
        memory.clear(warn=False)
        assert list(memory.store_backend._store) == []

    def test_in_workers(self, memory: Any) -> None:
        """Or functions that are run by joblib's workers would not be cached."""
        import joblib

        cached = memory.cache(tripled)
        with joblib.parallel_config(backend="threading"):
            made = joblib.Parallel(n_jobs=2)(joblib.delayed(cached)(number) for number in (1, 2, 1, 2))
        assert made == [Own(3), Own(6), Own(3), Own(6)]
        copy = pickle.loads(pickle.dumps(memory))
        assert copy.cache(tripled).check_call_in_cache(1)

    def test_what_cannot_be_pickled_is_returned_with_a_warning(self, memory: Any) -> None:
        """Or a function whose result cannot be kept could not be called."""
        from joblib._store_backends import CacheWarning

        with pytest.warns(CacheWarning, match="is not kept"):
            assert callable(memory.cache(maker)())

    @pytest.mark.parametrize("form", FORMS)
    def test_a_planted_pickle_is_computed_anew(self, memory: Any, form: str, caplog: pytest.LogCaptureFixture) -> None:
        """Or whoever can write to the folder would run code in the program."""
        cached = memory.cache(tripled)
        cached(2)
        assert plant(self.file(memory), form, "%output%") == 1
        assert cached(2) == cached(2) == Own(6)
        assert CALLS == [2, 2]
        assert "Exception while loading results for tripled(2)" in caplog.text
        # The metadata and the function's code too, which another process would look at.
        assert plant(self.file(memory), form) == 3
        (call,) = [key[:2] for key in memory.store_backend._store if key[-1] == "metadata"]
        assert memory.store_backend.get_metadata(call) == {}
        with pytest.raises(FileNotFoundError):
            memory.store_backend.get_cached_func_code(call[:1])
        assert cached(2) == Own(6)
        assert CALLS == [2, 2, 2]
        assert RAN == []


def maker() -> Callable[[], None]:
    return lambda: None


def test_without_the_framework_the_error_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a setting that was pasted would fail with a name that says nothing."""
    for name, package in (
        ("django", "django.core.cache.backends.base"),
        ("cachelib", "cachelib"),
        ("flask_caching", "flask_caching.backends.base"),
        ("dogpile", "dogpile.cache"),
        ("requests_cache", "requests_cache.serializers"),
        ("joblib", "joblib"),
    ):
        monkeypatch.delitem(sys.modules, f"torshi.adapters.{name}", raising=False)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=f"torshi.adapters.{name} needs .*: pip install"):
            importlib.import_module(f"torshi.adapters.{name}")
        monkeypatch.undo()


def test_an_adapter_is_imported_by_nobody() -> None:
    """Or `import torshi` would import Django."""
    code = "import sys, torshi; torshi.Store; torshi.shelve_open; print('torshi.adapters' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout == "False\n"
