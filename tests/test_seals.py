"""Seals: one's own objects come back without a word, a stranger's file brings nothing along.

If these failed, a file could gain trust that nobody gave it, a seal of one file would fit another, or a key could be
read or planted by somebody else.
"""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torshi
from torshi import _keys, _native, _seal

LONG = 1 << 20


class Own:
    """A class of the reader's own program."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


RAN: list[Any] = []


def act(*args: Any) -> str:
    """What a stranger would like to have called."""
    RAN.append(args)
    return "acted"


class Acting:
    def __reduce__(self) -> Any:
        return act, ("x",)


@pytest.fixture(autouse=True)
def _own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORSHI_CONFIG_DIR", str(tmp_path / "mine"))
    RAN.clear()


@pytest.fixture
def someone(tmp_path: Path) -> Callable[[str], pytest.MonkeyPatch]:
    """Whoever has the keys of that folder: `with someone("other"):`."""

    def as_one(name: str) -> Any:
        patch = pytest.MonkeyPatch.context()

        class Within:
            def __enter__(self) -> None:
                patch.__enter__().setenv("TORSHI_CONFIG_DIR", str(tmp_path / name))

            def __exit__(self, *error: Any) -> None:
                patch.__exit__(*error)

        return Within()

    return as_one


# -- trust


def test_ones_own_come_back_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save([Own(1), Own({"a": Own()})], path)
    assert torshi.load(path) == [Own(1), Own({"a": Own()})]
    assert torshi.verify(path).sealed
    assert [seal.name for seal in torshi.verify(path).seals] == ["local"]


def test_a_strangers_meet_the_default_policy(tmp_path: Path, someone: Any) -> None:
    path = tmp_path / "file"
    with someone("other"):
        torshi.save([Own(1), Acting()], path)
    with pytest.raises(torshi.UntrustedError) as caught:
        torshi.load(path)
    assert "no key that you trust" in caught.value.__notes__[0]
    assert not RAN
    assert torshi.verify(path).seals[0].state == "unknown"
    assert not torshi.verify(path).sealed
    torshi.save([Own(1)], path, key=False)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)


def test_ones_own_code_runs_as_saved(tmp_path: Path) -> None:
    torshi.save(Acting(), tmp_path / "file")
    assert torshi.load(tmp_path / "file") == "acted"
    assert RAN == [("x",)]


@pytest.mark.parametrize("asked", [{"trust": torshi.Policy.default()}, {"trust": []}, {"type": int}])
def test_who_says_what_to_trust_has_said_it(tmp_path: Path, asked: dict[str, Any]) -> None:
    torshi.save(Acting(), tmp_path / "file")
    with pytest.raises(torshi.UntrustedError):
        torshi.load(tmp_path / "file", **asked)
    assert not RAN


def test_a_seal_lends_only_the_names_of_its_manifest(tmp_path: Path) -> None:
    """A manifest, rightly sealed, that lists less or patterns: nothing beyond the exact names is lent."""
    path = tmp_path / "file"
    torshi.save(Acting(), path)
    with open(path, "rb") as file:
        stored = _native.StoredFile.open(file.fileno(), path.stat().st_size)
    assert stored is not None
    assert stored.manifest is not None
    stream = path.read_bytes()[: stored.end]
    for names in (
        [],
        ["tests.test_seals.*"],
        [f"{__name__}.*"],
        ["*"],
        [f"{__name__}:Own"],
        [f"{__name__}:act [state]"],
    ):
        manifest = json.dumps(json.loads(stored.manifest) | {"globals": names}).encode()
        seal = _seal.records(_seal.chosen_keys(True), manifest)
        path.write_bytes(stream + _native.render_trailer("plain", len(stream), manifest, seal))
        assert torshi.verify(path).sealed
        with pytest.raises(torshi.UntrustedError):
            torshi.load(path)
    assert not RAN


def test_what_no_policy_can_allow_is_refused_as_everywhere(tmp_path: Path) -> None:
    """If this fails, a file with such a name ends a load with an error of the policy's own, which nobody catches."""
    path = tmp_path / "file"
    torshi.save([Own(1), Own.__init__], path)
    with pytest.raises(torshi.UntrustedError, match="no entry can allow it"):
        torshi.load(path)


def test_reviewed_rules_hold_under_a_seal(tmp_path: Path) -> None:
    """A name that a table covers keeps its rules: a sealed array with a lying shape is refused all the same."""
    np = pytest.importorskip("numpy")
    frombuffer = np.arange(3.0).__reduce_ex__(5)[0]

    class Lying:
        def __reduce__(self) -> Any:
            return frombuffer, (b"abcdefgh", np.dtype("f8"), (1 << 28,), "C")

    path = tmp_path / "file"
    torshi.save(Lying(), path)
    assert torshi.verify(path).sealed
    with pytest.raises(torshi.UntrustedError, match="_frombuffer may not be called"):
        torshi.load(path)


# -- forgery


def sealed(tmp_path: Path, value: Any, name: str = "sealed") -> bytes:
    torshi.save(value, tmp_path / name)
    return (tmp_path / name).read_bytes()


def outcome(path: Path, data: bytes, value: Any) -> str:
    """What loading this in place of the file comes to."""
    path.write_bytes(data)
    try:
        assert torshi.load(path) == value
        return "equal"
    except (torshi.UnpicklingError, EOFError):
        return "refused"


def test_every_byte_of_a_sealed_file(tmp_path: Path, someone: Any) -> None:
    """Every byte changed, one by one, and every truncation: refused, or equal; and a trust never remains."""
    value, path = [Own(7), "text"], tmp_path / "file"
    data = sealed(tmp_path, value)
    assert outcome(path, data, value) == "equal"
    for at in range(len(data)):
        for mask in (1, 0x10, 0xFF):
            changed = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            assert outcome(path, changed, value) == "refused", at
    for length in range(len(data)):
        assert outcome(path, data[:length], value) == "refused", length
    for more in (b"\0", b".", data[-96:], data):
        assert outcome(path, data + more, value) == "refused"


def test_changes_of_files_that_need_no_trust(tmp_path: Path) -> None:
    """What the default policy would load may load without its seal, but only as the same."""
    value, path = {"a": [1, "two"]}, tmp_path / "file"
    data = sealed(tmp_path, value)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        if outcome(path, changed, value) == "equal":
            with pytest.raises(torshi.MalformedError):
                torshi.verify(path)
    for length in range(len(data)):
        outcome(path, data[:length], value)


def test_splices_of_two_sealed_files(tmp_path: Path) -> None:
    """A thousand splices of two files sealed by the same key: none loads as anything but one of the two."""
    one, two = sealed(tmp_path, [Own(1)] * 3, "one"), sealed(tmp_path, [Own(2)] * 3, "two")
    path, rng = tmp_path / "file", random.Random(5)
    for _ in range(1000):
        cut, other = rng.randrange(len(one) + 1), rng.randrange(len(two) + 1)
        if rng.random() < 0.5:
            cut = other = min(cut, other, len(two))
        data = one[:cut] + two[other:]
        if data not in (one, two):
            path.write_bytes(data)
            with pytest.raises((torshi.UnpicklingError, EOFError)):
                torshi.load(path)


def test_the_end_of_one_file_behind_the_stream_of_another(tmp_path: Path, someone: Any) -> None:
    """The strongest forgery without a key: a stranger's stream, its right digest, and somebody's seals."""
    mine = sealed(tmp_path, [Own(1)])
    with open(tmp_path / "sealed", "rb") as file:
        stored = _native.StoredFile.open(file.fileno(), len(mine))
    assert stored is not None
    path = tmp_path / "file"
    with someone("other"):
        torshi.save(Acting(), path)
    with open(path, "rb") as file:
        stranger = _native.StoredFile.open(file.fileno(), path.stat().st_size)
    assert stranger is not None
    assert stranger.manifest is not None
    stream = path.read_bytes()[: stranger.end]
    for seals in (stored.seal_records, stranger.seal_records + stored.seal_records):
        path.write_bytes(stream + _native.render_trailer("plain", len(stream), stranger.manifest, seals))
        with pytest.raises(torshi.SealError, match="not what was sealed"):
            torshi.load(path)
        with pytest.raises(torshi.SealError):
            torshi.verify(path)
    # My manifest and my seal, over the stranger's stream.
    assert stored.manifest is not None
    trailer = _native.render_trailer("plain", len(stream), stored.manifest, stored.seal_records)
    path.write_bytes(stream + trailer)
    with pytest.raises(torshi.UnpicklingError):
        torshi.load(path)
    assert not RAN


def test_seals_stripped_off(tmp_path: Path) -> None:
    """Without its seals, or without its trailer, a file is nobody's: the default policy, and no more."""
    data, path = sealed(tmp_path, [Acting()]), tmp_path / "file"
    with open(tmp_path / "sealed", "rb") as file:
        stored = _native.StoredFile.open(file.fileno(), len(data))
    assert stored is not None
    assert stored.manifest is not None
    path.write_bytes(data[: stored.end])
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)
    path.write_bytes(data[: stored.end] + _native.render_trailer("plain", stored.length, stored.manifest, b""))
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)
    assert not torshi.verify(path).sealed
    assert not RAN


def test_mapped_buffers_are_compared_before_trust_is_lent(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    path = tmp_path / "file"
    torshi.save([Own(1), np.arange(400_000)], path)
    assert torshi.load(path)[0] == Own(1)
    data = bytearray(path.read_bytes())
    data[torshi.describe(path).buffers[0].offset + 500] ^= 1
    path.write_bytes(data)
    with pytest.raises(torshi.MalformedError, match="the buffer"):
        torshi.load(path)


# -- several seals, pairs, rotation


def test_pairs_are_for_sharing(tmp_path: Path, someone: Any) -> None:
    path = tmp_path / "file"
    with someone("other"):
        pair = _keys.new_key("release")
        torshi.save(Own(1), path, key="release")
        line = pair.export()
        assert torshi.load(path) == Own(1)
    assert torshi.verify(path).seals[0].state == "valid"  # everyone can check it
    assert not torshi.verify(path).sealed
    with pytest.raises(torshi.UntrustedError, match="not trusted"):
        torshi.load(path)
    assert _keys.import_key(line).name == "release"
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)
    _keys.trust_key("release")
    assert torshi.load(path) == Own(1)
    assert torshi.verify(path).sealed
    with pytest.raises(torshi.SealError, match="secret half"):
        torshi.save(1, path, key="release")
    _keys.trust_key("release", trusted=False)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)


def test_several_seals_on_one_file(tmp_path: Path, someone: Any) -> None:
    path = tmp_path / "file"
    with someone("other"):
        torshi.save(Own(1), path)
    before = path.read_bytes()
    assert [seal.state for seal in torshi.seal(path)] == ["unknown", "valid"]
    assert torshi.load(path) == Own(1)
    assert len(torshi.seal(path)) == 2  # again changes nothing
    with someone("other"):
        assert torshi.load(path) == Own(1)
    _keys.new_key("mine")
    torshi.seal(path, ["mine", "local"])
    assert [seal.name for seal in torshi.verify(path).seals] == [None, "local", "mine"]
    assert path.read_bytes()[:100] == before[:100]
    torshi.save(Own(2), path, key=["local", "mine"])
    assert [seal.name for seal in torshi.verify(path).seals] == ["local", "mine"]


def parts(path: Path) -> tuple[bytes, bytes, list[bytes]]:
    """Stream, manifest and the records of the seals of a plain file."""
    data = path.read_bytes()
    stored = _native.StoredFile.open(data)
    assert stored is not None
    assert stored.manifest is not None
    left, found = stored.seal_records, []
    for kind, _ in stored.seals:
        length = 66 if kind == "local" else 98
        found.append(left[:length])
        left = left[length:]
    assert not left
    return data[: stored.end], stored.manifest, found


def test_a_row_of_seals_is_a_chain(tmp_path: Path) -> None:
    """If this fails, a seal can be taken from a file, or moved, though a later one was made with it in sight."""
    path, other = tmp_path / "file", tmp_path / "other"
    for name in ("one", "two", "three"):
        _keys.new_key(name)
    torshi.save([Own(1)], path, key=["one", "two"])
    torshi.seal(path, "three")
    stream, manifest, (one, two, three) = parts(path)
    torshi.save([Own(1)], other, key="three")
    _, _, (alien,) = parts(other)

    def with_seals(*row: bytes) -> Path:
        changed = tmp_path / "changed"
        changed.write_bytes(stream + _native.render_trailer("plain", len(stream), manifest, b"".join(row)))
        return changed

    assert torshi.load(with_seals(one, two, three)) == [Own(1)]
    for row in [
        (two, three),
        (one, three),
        (three,),
        (two,),
        (two, one, three),
        (one, three, two),
        (one, one, two, three),
    ]:
        with pytest.raises(torshi.SealError, match="not what was sealed"):
            torshi.verify(with_seals(*row))
        with pytest.raises(torshi.SealError, match="not what was sealed"):
            torshi.load(with_seals(*row))
    with pytest.raises(torshi.SealError):
        torshi.verify(with_seals(one, two, alien))
    # Without its last seals a file is what it was before these were made: that no seal can show.
    assert [seal.name for seal in torshi.verify(with_seals(one, two)).seals] == ["one", "two"]
    # A seal of someone unknown here is checked all the same, since everybody can.
    _keys.remove_key("three")
    with pytest.raises(torshi.SealError):
        torshi.verify(with_seals(one, three))


def test_sealing_keeps_compression(tmp_path: Path, someone: Any) -> None:
    for way in ("zstd", "lz4", "gzip"):
        path = tmp_path / way
        with someone("other"):
            torshi.save([Own(1)] * 100, path, compress=way)
        torshi.seal(path)
        assert torshi.load(path) == [Own(1)] * 100
        assert torshi.describe(path).container == way


def test_what_is_damaged_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save([Own(1)], path, key=False)
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    with pytest.raises(torshi.MalformedError):
        torshi.seal(path)
    assert path.read_bytes() == data
    path.write_bytes(b"N.")
    with pytest.raises(torshi.MalformedError, match="no manifest"):
        torshi.seal(path)


def test_rotation_keeps_old_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(Own(1), path)
    old = _keys.local_key()
    new = _keys.new_key()
    assert old is not None
    assert new.id != old.id
    torshi.save(Own(2), tmp_path / "other")
    assert torshi.verify(tmp_path / "other").seals[0].id == new.id.hex()
    assert torshi.load(path) == Own(1)
    _keys.remove_key(old.id.hex())
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)
    assert torshi.load(tmp_path / "other") == Own(2)


# -- keys


def test_secrets_are_ones_own(tmp_path: Path) -> None:
    torshi.save(1, tmp_path / "file")
    folder = tmp_path / "mine" / "keys"
    (name,) = os.listdir(folder)
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) & 0o022 == 0
    key = _keys.local_key()
    assert key is not None
    assert key.secret is not None
    assert key.secret.hex() not in repr(key)
    assert key.secret not in (tmp_path / "file").read_bytes()
    with pytest.raises(torshi.SealError, match="stays where it is"):
        key.export()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_keys_that_others_may_touch_are_not_believed(tmp_path: Path) -> None:
    torshi.save(Own(1), tmp_path / "file")
    folder = tmp_path / "mine" / "keys"
    (path,) = folder.iterdir()
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(torshi.SealError, match="not believed"):
            torshi.load(tmp_path / "file")
        with pytest.raises(torshi.SealError, match="not believed"):
            torshi.save(1, tmp_path / "file")
    path.chmod(0o600)
    folder.chmod(0o777)
    with pytest.raises(torshi.SealError, match="not believed"):
        torshi.load(tmp_path / "file")
    folder.chmod(0o700)
    assert torshi.load(tmp_path / "file") == Own(1)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        with pytest.raises(torshi.SealError, match="another user"):
            torshi.load(tmp_path / "file")


def test_files_that_need_no_trust_need_no_keys(tmp_path: Path) -> None:
    """If this fails, a broken folder of keys keeps plain data from being loaded."""
    torshi.save([1, 2], tmp_path / "file")
    (path,) = (tmp_path / "mine" / "keys").iterdir()
    path.write_text("nothing")
    assert torshi.load(tmp_path / "file") == [1, 2]
    assert torshi.describe(tmp_path / "file").seals[0].startswith("local ")
    with pytest.raises(torshi.SealError, match="is no key"):
        torshi.save(1, tmp_path / "file")
    torshi.save(1, tmp_path / "file", key=False)


def test_without_a_place_for_keys_nobody_seals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "occupied").write_text("a file")
    monkeypatch.setenv("TORSHI_CONFIG_DIR", str(tmp_path / "occupied" / "below"))
    torshi.save([1], tmp_path / "file")
    assert torshi.describe(tmp_path / "file").seals == ()
    with pytest.raises(NotADirectoryError):
        torshi.save([1], tmp_path / "file", key="local")
    monkeypatch.delenv("TORSHI_CONFIG_DIR")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    torshi.save([1], tmp_path / "file")
    assert torshi.describe(tmp_path / "file").seals == ()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
@pytest.mark.parametrize("what", ["files", "folders"])
def test_where_permissions_are_not_kept_nobody_seals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """If this fails, the first save there writes a key that every later one refuses to believe."""
    made = Path.mkdir
    if what == "files":
        monkeypatch.setattr(os, "fchmod", lambda *_: None)
    else:
        monkeypatch.setattr(Path, "mkdir", lambda self, *how, **more: (made(self, *how, **more), self.chmod(0o777)))
    for _ in range(2):
        with pytest.warns(UserWarning, match="saved without a seal.*TORSHI_CONFIG_DIR") as caught:
            torshi.save([1], tmp_path / "file")
        assert caught[0].filename == __file__
        assert torshi.describe(tmp_path / "file").seals == ()
        with pytest.raises(PermissionError, match="TORSHI_CONFIG_DIR"):
            torshi.save([1], tmp_path / "file", key="local")
    assert not any((tmp_path / "mine" / "keys").iterdir())  # nor was a secret left where others read it
    torshi.save([1], tmp_path / "file", key=False)


def test_names_of_keys(tmp_path: Path) -> None:
    pair = _keys.new_key("pair")
    with pytest.raises(torshi.SealError, match="already"):
        _keys.new_key("pair")
    for bad in ("", "a b", "../x", "local", "x" * 65):
        with pytest.raises(torshi.SealError):
            _keys.new_key(bad)
    assert _keys.find_key(pair.id.hex()[:8]).name == "pair"
    with pytest.raises(torshi.SealError, match="no key is called other; there are: pair"):
        _keys.find_key("other")
    with pytest.raises(torshi.SealError, match="is no key"):
        _keys.import_key("ssh-ed25519 AAAA")
    assert _keys.import_key(pair.export(secret=True)) == pair
    assert _keys.import_key(pair.export()) == pair


# -- the command line


def run(*arguments: str, text: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "torshi", *arguments], capture_output=True, text=True, input=text)
    return done.returncode, done.stdout, done.stderr


def test_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(Own(1), path, key=False, metadata={"run": 7})
    assert run("verify", str(path))[0] == 0
    code, out, _ = run("verify", "--sealed", str(path))
    assert code == 1
    assert "no key that you trust" in out
    assert run("keys", "list") == (0, "", "torshi: no keys yet: the first save or seal makes your local key\n")
    code, out, err = run("seal", str(path))
    assert (code, err) == (0, "")
    assert "local" in out
    assert run("verify", "--sealed", str(path))[0] == 0
    code, out, _ = run("keys", "new", "release")
    assert code == 0
    assert out.startswith("torshi-ed25519-public:")
    assert run("seal", str(path), "--key", "release")[0] == 0
    assert run("keys", "export", "release")[1] == out
    code, listed, _ = run("keys", "list")
    assert code == 0
    assert "release" in listed
    assert "local" in listed
    code, told, _ = run("describe", str(path))
    assert code == 0
    assert "release" in told
    assert f"{__name__}:Own" in told
    code, told, _ = run("describe", "--json", str(path))
    assert json.loads(told)["metadata"] == {"run": 7}
    assert run("keys", "remove", "release")[0] == 0
    assert run("keys", "import", "-", text=out)[0] == 0
    assert run("keys", "trust", "release")[0] == 0
    assert "trusted" in run("keys", "list")[1]
    assert run("keys", "distrust", "release")[0] == 0
    assert run("keys", "new", "--local")[0] == 0
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    code, out, _ = run("verify", str(path))
    assert code == 1
    assert "damaged" in out
    (tmp_path / "plain").write_bytes(b"N.")
    assert run("verify", str(tmp_path / "plain"))[0] == 2
    assert run("verify", str(tmp_path / "missing"))[0] == 2
    assert run("seal", str(tmp_path / "missing"))[0] == 2
    assert run("describe", str(tmp_path / "plain"))[0] == 2
    assert run("keys", "trust", "nobody")[0] == 2


@pytest.mark.parametrize("command", ["describe", "verify", "seal", "keys"])
def test_help_has_examples(command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "examples:" in out
