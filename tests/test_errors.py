"""The exceptions: subclasses of pickle's, with their evidence, picklable.

If these failed, an ``except pickle.UnpicklingError`` written for stock pickle would stop catching, or a
handler would find an exception without the place it speaks of.
"""

from __future__ import annotations

import pickle
import threading

import pytest

import torshi

FINDING = torshi.Finding("untrusted-global", "os.system", 0, "GLOBAL", "$", "os.system is not trusted", None)

MADE = [
    torshi.PickleError("x"),
    torshi.UnpicklableError("cannot pickle", path="$.lock"),
    torshi.UnpicklingError("x"),
    torshi.UntrustedError("x", (FINDING,)),
    torshi.MalformedError("x", 3, "BINGET"),
    torshi.TruncatedError("x", 3, None),
    torshi.LimitError("x", "memory", 1 << 40, 7),
    torshi.ValidationError("$.a", "int", "str"),
    torshi.SealError("x"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_their_evidence(error: torshi.PickleError) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_are_caught_by_clauses_written_for_pickle(error: torshi.PickleError) -> None:
    assert isinstance(error, torshi.PickleError)
    assert isinstance(error, pickle.PickleError)
    stock = pickle.PicklingError if isinstance(error, torshi.PicklingError) else pickle.UnpicklingError
    assert isinstance(error, stock) or type(error) is torshi.PickleError
    if type(error) in (pickle.PickleError, pickle.PicklingError, pickle.UnpicklingError):
        return
    assert type(error).__module__ == "torshi"
    assert getattr(torshi, type(error).__name__) is type(error)


def test_pickles_own_names_are_pickles_own_classes() -> None:
    for name in ("PickleError", "PicklingError", "UnpicklingError"):
        assert getattr(torshi, name) is getattr(pickle, name)


def test_what_cannot_be_pickled_says_where() -> None:
    lost = type("Lost", (), {"__module__": __name__})
    with pytest.raises(pickle.PicklingError) as caught:
        torshi.dumps({"jobs": [1, lost]})
    assert isinstance(caught.value, torshi.UnpicklableError)
    assert caught.value.path == "$['jobs'][1]"
    # What stock pickle leaves to the object itself stays its exception, with a note.
    with pytest.raises(TypeError, match=r"^cannot pickle '_thread\.lock' object") as noted:
        torshi.dumps({"jobs": [1, threading.Lock()]})
    assert noted.value.__notes__ == ["while pickling the object at $['jobs'][1]"]


def test_a_truncated_stream_is_an_eof_error() -> None:
    with pytest.raises(EOFError):
        torshi.loads(b"")
    assert issubclass(torshi.TruncatedError, torshi.MalformedError)


def test_a_refusal_says_what_where_and_how_to_allow_it() -> None:
    with pytest.raises(torshi.UntrustedError) as caught:
        torshi.loads(b"cmyapp.models\nUser\n.")
    text = str(caught.value)
    assert "myapp.models.User is not trusted" in text
    assert "GLOBAL at byte 0" in text
    assert "trust=[" in text
    assert not text.endswith(".")
    (finding,) = caught.value.findings
    assert (finding.name, finding.offset, finding.opcode) == ("myapp.models.User", 0, "GLOBAL")


def test_a_finding_is_frozen_and_reads_as_one_line() -> None:
    assert str(FINDING) == "os.system is not trusted (GLOBAL at byte 0, at $)"
    known = torshi.Finding("untrusted-global", "a.B", 7, "STACK_GLOBAL", None, "a.B is not trusted", "a.B")
    assert str(known) == 'a.B is not trusted (STACK_GLOBAL at byte 7); expected it? load(..., trust=["a.B"])'
    with pytest.raises(AttributeError):
        FINDING.offset = 1  # type: ignore[misc]


def test_limits_take_counts_and_nothing_else() -> None:
    assert torshi.Limits(memory=None, stream=10).stream == 10
    with pytest.raises(ValueError, match="negative"):
        torshi.Limits(memory=-1)
    for value in (True, "1", 1.5, None):
        with pytest.raises(TypeError):
            torshi.Limits(depth=value)  # type: ignore[arg-type]
    with pytest.raises(torshi.LimitError) as caught:
        torshi.loads(torshi.dumps("x" * 1000), limits=torshi.Limits(stream=100))
    assert caught.value.limit == "stream"
