"""The Python face of the policy: items, composition, files, reasons.

If these failed, `trust=` would take a switch for a list, a policy would change under its user's hands, or
unrestricted loading would leave no trace.
"""

from __future__ import annotations

import decimal
import functools
import logging
import pickle
from pathlib import Path

import pytest

import torshi
from torshi import _native
from torshi._policy import pattern, policy_of, resolve
from typed_models import Bare, Point


def test_items_may_be_classes_functions_and_patterns() -> None:
    policy = torshi.Policy.empty().allow(Point, pattern, "myapp.util:rebuild", "myapp.models.*")
    for item in (Point, pattern, "myapp.util.rebuild", "myapp.util:rebuild", "myapp.models.User"):
        assert policy.allows(item), item
    for item in (Bare, "myapp.util.other", "myapp.modelsx.User", "os.system"):
        assert not policy.allows(item), item


def test_a_policy_never_changes() -> None:
    base = torshi.Policy.default()
    wider = base.allow(Point)
    assert not base.allows(Point)
    assert wider.allows(Point)
    with pytest.raises(AttributeError):
        base.name = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del base._inner
    with pytest.raises(TypeError):
        torshi.Policy()


def test_denying_wins_in_every_order_and_through_unions() -> None:
    base = torshi.Policy.default()
    for policy in (
        base.allow(Point).deny(Point),
        base.deny(Point).allow(Point),
        base.deny(Point) | base.allow(Point),
        base.allow(Point) | base.deny("typed_models.*"),
    ):
        assert not policy.allows(Point)


def test_union_adds_and_equality_is_by_content() -> None:
    left, right = torshi.Policy.empty().allow(Point), torshi.Policy.empty().allow(Bare)
    both = left | right
    assert both.allows(Point)
    assert both.allows(Bare)
    assert both == right | left
    assert hash(both) == hash(right | left)
    assert both != left
    assert left != "a policy"
    with pytest.raises(TypeError):
        left | 3  # type: ignore[operator]


@pytest.mark.parametrize("switch", [True, False])
def test_trust_is_a_list_never_a_switch(switch: bool) -> None:
    with pytest.raises(TypeError, match="never a switch"):
        resolve(switch)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="never a switch"):
        torshi.Policy.default().allow(switch)  # type: ignore[arg-type]


def test_what_has_no_name_cannot_be_trusted() -> None:
    class Local:
        pass

    with pytest.raises(ValueError, match="cannot be imported by name"):
        torshi.Policy.default().allow(Local)
    with pytest.raises(ValueError, match="cannot be imported by name"):
        torshi.Policy.default().allow(lambda: None)
    for thing in (functools.partial(print), list[int], 3):
        with pytest.raises(TypeError):
            torshi.Policy.default().allow(thing)  # type: ignore[arg-type]


def test_resolve_gives_the_native_policy() -> None:
    assert resolve(None) == _native.Policy.default()
    assert resolve(None, Point) == _native.Policy.builtins().allow("typed_models:Point")
    assert resolve([Point]) == _native.Policy.default().allow("typed_models:Point")
    assert resolve(Point) == resolve([Point]) == resolve((Point,)) == resolve({Point})
    assert resolve("typed_models:Point") == resolve([Point])
    assert resolve(torshi.Policy.empty()) == _native.Policy.empty()
    extra = torshi.Policy.empty().allow(Bare)
    assert resolve([Point, extra]) == resolve([Point, Bare])
    assert policy_of([Bare], Point).allows(Point)
    assert policy_of([Bare], Point).allows(Bare)


def test_the_main_module_is_known_by_both_of_its_names() -> None:
    for module, other in (("__main__", "__mp_main__"), ("__mp_main__", "__main__")):
        task = type("Task", (), {"__module__": module})
        for policy in (torshi.Policy.empty().allow(task), torshi.Policy.for_type(task)):
            assert policy.allows(f"{other}:Task")
            assert not policy.allows(f"{other}:Other")


def test_empty_and_builtins_are_smaller_than_default() -> None:
    assert not torshi.Policy.empty().allows(decimal.Decimal)
    assert torshi.Policy.builtins().allows(decimal.Decimal)
    assert not torshi.Policy.builtins().allows("numpy.ndarray")
    assert torshi.Policy.default().allows("numpy.ndarray")
    assert not torshi.Policy.default().allows("os.system")


def test_a_policy_file_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    policy = torshi.Policy.builtins().allow(Point, "myapp.*").deny("myapp.secret.*")
    policy.save(path)
    assert torshi.Policy.from_file(path) == policy
    assert torshi.Policy.from_file(path).name == "team.toml"
    assert [entry.name for entry in tmp_path.iterdir()] == ["team.toml"]
    path.write_text("allow = 3 =")
    with pytest.raises(ValueError, match=r".+"):
        torshi.Policy.from_file(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "team.toml"
    torshi.Policy.default().save(path)
    before = path.read_text()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        torshi.Policy.empty().save(path)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["team.toml"]


def test_learning_from_known_good_files_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "good.pkl"
    path.write_bytes(b"cnowhere_to_be_found\nThing\n.")
    policy = torshi.Policy.learn([path])
    assert policy.allows("nowhere_to_be_found.Thing")
    assert not policy.allows("nowhere_to_be_found.Other")
    assert torshi.Policy.learn(path) == policy
    path.write_bytes(b"<html>")
    with pytest.raises(torshi.MalformedError):
        torshi.Policy.learn([path])


def test_unrestricted_wants_a_reason_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="torshi"):
        policy = torshi.unrestricted("made by\nthis test")
    assert [record.getMessage() for record in caplog.records] == ["unrestricted unpickling: made by this test"]
    assert caplog.records[0].filename == "test_policy_facade.py"
    assert policy.is_unrestricted
    assert torshi.loads(torshi.dumps(Bare), trust=policy) is Bare
    for empty in ("", "  \n"):
        with pytest.raises(ValueError, match="wants a reason"):
            torshi.unrestricted(empty)
    with pytest.raises(TypeError):
        torshi.unrestricted(True)  # type: ignore[arg-type]


def test_unrestricted_lets_methods_that_make_instances_stand() -> None:
    value = [object.__new__, {"made": (dict.__new__,)}]
    loaded = torshi.loads(torshi.dumps(value), trust=torshi.unrestricted("a test"))
    assert loaded == value


def test_a_policy_pickles_unless_it_is_unrestricted() -> None:
    policy = torshi.Policy.default().allow(Point)
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(torshi.unrestricted("test"))
