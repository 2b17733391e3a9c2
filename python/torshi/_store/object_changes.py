"""Changes of rows in a bucket: one row at once, or several all or none, whoever dies in the middle.

A bucket knows one thing that is all or none: replacing an object if it is still the one that was read. All here is made
of that, and none of it goes by a clock or by a lock.

One row: it is read, and replaced if it is still that. A row that is deleted becomes an object that says so (`Gone`),
since a bucket does not remove on a condition: whoever still goes by the row before then fails, and cannot bring it
back.

Several rows: 1. an object below ``changes/`` says "pending". 2. Each row is claimed: replaced by an object that has
what it was, what it becomes and the change's name, if what is expected of it holds. 3. The object below ``changes/``
is replaced by one that says "made": this is the moment at which all is done. 4. Each claim is replaced by what the
row becomes; the object below ``changes/`` is removed.

What others see meanwhile: who reads a claimed row looks at its change. Made: the new row. Pending, dropped, or none:
the old one. Readers never wait. Who writes a claimed row first ends the claim: forward if the change is made, back if
it is dropped; while it is pending they wait for it. A writer that died gives no sign of life: who has watched its
change for `_LEASE` seconds by the own clock replaces "pending" by "dropped", and goes on. Should the writer be alive
after all, its step 3 finds "dropped" and begins again: the clock decides how long one waits, and never what is true.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from torshi._errors import StoreError
from torshi._store import object_rows as rows
from torshi._store.backend import ABSENT, Expectation, Put
from torshi._store.bucket import ABSENT_TAG, Blob, Bucket, Lease, Tag
from torshi._store.object_names import is_long, name_of
from torshi._store.object_rows import Claim, Gone, Held
from torshi._store.steps import Step

__all__ = ["CHANGES", "COLLECTING", "PENDING", "ROWS", "Busy", "Changes", "Place", "holds", "live"]

ROWS: Final = "rows"
CHANGES: Final = "changes"
COLLECTOR: Final = "locks/collector"
PENDING: Final = "pending"
MADE: Final = "made"
DROPPED: Final = "dropped"

COLLECTING: Final = 60.0
"""Seconds for which a collector may be silent, and after which another may do its work."""
# Seconds after which a change without a sign of life is dropped, and between two signs.
_LEASE: Final = 10.0
_BEAT: Final = 2.0
# Rows that are claimed between two looks at the clock.
_CHUNK: Final = 64
# Rows of a change that its object names; of more, whoever mends has to look at all.
_NAMED: Final = 1000
# Seconds between two tries, at first and at most.
_FIRST: Final = 0.004
_LONGEST: Final = 0.25

A = TypeVar("A")
B = TypeVar("B")


class Place(NamedTuple):
    """What stands at a name.

    Attributes:
        found: the row, that there is none any more, or nothing.
        tag: to replace it by.
        data: as it stands there.
    """

    found: Held | Gone | None
    tag: Tag
    data: bytes


class State(NamedTuple):
    """What the object of a change says.

    Attributes:
        state: pending, made or dropped; None if there is no such object.
        mark: another one with each sign of life.
        tag: to replace the object by.
        names: of the rows that it may have claimed; none if they are too many.
    """

    state: str | None
    mark: str
    tag: Tag
    names: tuple[str, ...] = ()


class Busy(Exception):
    """A row is claimed by somebody who is at work."""


def live(found: Held | Gone | None) -> Held | None:
    """The row, if it is there and has not expired."""
    if not isinstance(found, Held) or (found.expires is not None and found.expires <= time.time()):
        return None
    return found


def _inner(data: bytes, tag: Tag) -> Held | Gone | None:
    if not data:
        return None
    found = rows.parsed(data, _mark(tag))
    return Held(f"?{_mark(tag)}", value=data) if isinstance(found, Claim) else found


def _mark(tag: Tag) -> str:
    return str(tag.get("e_tag") or tag.get("version") or "")


def holds(expected: Iterable[Expectation], found: Held | Gone | None) -> bool:
    """Whether what is expected of a row does."""
    row = live(found)
    return all(row is None if one is ABSENT else row is not None and row.version == one for one in expected)


class _Pause:
    """Longer and longer pauses."""

    def __init__(self) -> None:
        self._seconds = _FIRST

    def wait(self) -> None:
        time.sleep(self._seconds * (0.5 + random.random()))
        self._seconds = min(self._seconds * 1.6, _LONGEST)


class Changes:
    """The rows of a bucket, and what is being done to them."""

    def __init__(self, bucket: Bucket, each: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]) -> None:
        self._bucket = bucket
        self._each = each
        self._watched: dict[str, tuple[str, float]] = {}
        self.collector = Lease(bucket, COLLECTOR)

    # -- what is there

    def read(self, name: str, blob: Blob | None) -> Held | Gone | None:
        """What an object that was just read says of its row; waits for nobody."""
        while blob is not None:
            found = rows.parsed(blob.data, _mark(blob.tag))
            if not isinstance(found, Claim):
                return found
            state = self.state(found.change).state
            if state == MADE:
                return _inner(found.new, blob.tag)
            if state is not None:
                return _inner(found.old, blob.tag)
            # Not there any more, or never made. If the claim is still there it was never made.
            again = self._bucket.get(f"{ROWS}/{name}")
            if again is not None and again.tag == blob.tag:
                return _inner(found.old, blob.tag)
            blob = again
        return None

    def settled(self, name: str, *, wait: bool = True) -> Place:
        """What is there to be written over; ends claims that are over.

        Raises:
            StoreError: the store does not answer.
            Busy: it is claimed, and waiting is not wanted.
        """
        pause = _Pause()
        unknown: Tag | None = None
        while True:
            blob = self._bucket.get(f"{ROWS}/{name}")
            if blob is None:
                return Place(None, ABSENT_TAG, b"")
            found = rows.parsed(blob.data, _mark(blob.tag))
            if isinstance(found, Gone) and found.doomed:
                self._undoom(name)
                pause.wait()
                continue
            if not isinstance(found, Claim):
                return Place(found, blob.tag, blob.data)
            change = self.state(found.change)
            if change.state == PENDING:
                if self.is_over(found.change, change.mark):
                    self.move(found.change, DROPPED, change.tag, change.names)
                elif not wait:
                    raise Busy
                else:
                    pause.wait()
            elif change.state is None and unknown != blob.tag:
                unknown = blob.tag  # see `read`
            else:
                becomes = found.new if change.state == MADE else found.old or rows.gone(rows.fresh())
                self._bucket.put(f"{ROWS}/{name}", becomes, blob.tag)

    def _undoom(self, name: str) -> None:
        """Removes a doomed object in the place of a collector that died."""
        token = secrets.token_hex(12)
        if not self.collector.take(token, COLLECTING):
            return
        blob = self._bucket.get(f"{ROWS}/{name}")
        if blob is not None:
            found = rows.parsed(blob.data, "")
            if isinstance(found, Gone) and found.doomed:
                self._bucket.remove([f"{ROWS}/{name}"])
        self.collector.give(token)

    # -- the state of a change

    def state(self, change: str) -> State:
        """What a change says of itself."""
        blob = self._bucket.get(f"{CHANGES}/{change}")
        if blob is None:
            return State(None, "", ABSENT_TAG)
        try:
            known = json.loads(blob.data)
            state, mark, names = str(known["state"]), str(known["mark"]), tuple(map(str, known["names"]))
        except (ValueError, TypeError, KeyError):
            return State(DROPPED, "", blob.tag)
        return State(state if state in (PENDING, MADE) else DROPPED, mark, blob.tag, names)

    def move(self, change: str, state: str, over: Tag, names: Sequence[str]) -> Tag | None:
        """Has a change say something else, if it still says what was read of it."""
        text = json.dumps({"torshi": "change", "state": state, "mark": rows.fresh(), "names": list(names)})
        return self._bucket.put(f"{CHANGES}/{change}", text.encode(), over)

    def is_over(self, change: str, mark: str) -> bool:
        """Whether a change has given no sign of life for so long that it is over."""
        watched, since = self._watched.get(change, ("", 0.0))
        if watched != mark:
            if len(self._watched) > 1000:
                self._watched.clear()
            self._watched[change] = (mark, time.monotonic())
            return False
        return time.monotonic() - since >= _LEASE

    # -- one row

    def one(self, step: Step) -> bool:
        """Does one step; False if an expectation did not hold.

        Raises:
            StoreError: the store does not answer.
        """
        name, version = name_of(step.key), rows.fresh()
        if step.expected == (ABSENT,) and isinstance(step.effect, Put):
            made = self.becomes(step, version, Place(None, ABSENT_TAG, b""))
            if self._put(name, made, ABSENT_TAG, version):
                return True
        pause = _Pause()
        while True:
            place = self.settled(name)
            if _by(place.found, version):
                return True
            if not holds(step.expected, place.found):
                return False
            if step.effect is None or (not isinstance(step.effect, Put) and not isinstance(place.found, Held)):
                return True
            made = self.becomes(step, version, place)
            if self._put(name, made, place.tag, version):
                return True
            pause.wait()

    def _put(self, name: str, made: bytes, over: Tag, version: str) -> bool:
        """Writes a row over what was there; False if it may have been another by then."""
        try:
            return self._bucket.put(f"{ROWS}/{name}", made, over) is not None
        except StoreError:
            # The answer may have been lost, and nothing else.
            if not _by(self.settled(name).found, version):
                raise
            return True

    def becomes(self, step: Step, version: str, place: Place) -> bytes:
        """The object that a step leaves at a place."""
        if step.effect is None:
            return place.data or rows.gone(version)
        if not isinstance(step.effect, Put):
            return rows.gone(version)
        key = step.key if is_long(name_of(step.key)) else None
        return rows.row(step.effect, version, place.found, time.time(), key)

    # -- several

    def several(self, steps: Sequence[Step]) -> bool:
        """Does all steps or none; False if an expectation did not hold.

        Raises:
            StoreError: the store does not answer, and nothing was done, or it says that this is not known.
        """
        pause = _Pause()
        patient = False
        while True:
            done = _Several(self._bucket, self, self._each, steps).attempt(patient)
            if done is not None:
                return done
            # By the order of keys, and one after the other, two who wait for one another cannot be.
            patient = True
            pause.wait()


class _Several:
    """One try at a change of several rows."""

    def __init__(self, bucket: Bucket, changes: Changes, each: Callable[..., list[Any]], steps: Sequence[Step]) -> None:
        self._bucket = bucket
        self._changes = changes
        self._each = each
        self._steps = steps
        self._change = secrets.token_hex(16)
        self._version = rows.fresh()
        self._names = [name_of(step.key) for step in steps]
        self._told = self._names if len(steps) <= _NAMED else []
        # What each claim is to be replaced by, and what by if there is no change.
        self._claims: dict[str, tuple[Tag, bytes, bytes]] = {}
        self._tag: Tag = ABSENT_TAG
        self._beat = time.monotonic()

    def attempt(self, patient: bool) -> bool | None:
        """Whether it was done; None if somebody else was in the way."""
        tag = self._changes.move(self._change, PENDING, ABSENT_TAG, self._told)
        if tag is None:  # a repeated request has met itself
            tag = self._changes.state(self._change).tag
        self._tag = tag
        try:
            claimed = self._claim_all(patient)
            if claimed is True and self._commit():
                self._finish(forward=True)
                return True
        except StoreError:
            if self._drop() == MADE:
                self._finish(forward=True)
                return True
            self._finish(forward=False)
            raise
        if self._drop() == MADE:
            self._finish(forward=True)
            return True
        self._finish(forward=False)
        return False if claimed is False else None

    def _claim_all(self, patient: bool) -> bool | None:
        """True if all are claimed; False if an expectation did not hold; None if somebody is in the way."""
        size = 1 if patient else _CHUNK
        for start in range(0, len(self._steps), size):
            chunk = self._steps[start : start + size]
            if patient:
                answers = [self._claim(step, wait=True) for step in chunk]
            else:
                answers = self._each(lambda step: self._claim(step, wait=False), chunk)
            if False in answers:
                return False
            if None in answers or not self._alive():
                return None
        return True

    def _alive(self) -> bool:
        """Gives a sign of life, if it is time; False if the change was dropped."""
        if time.monotonic() - self._beat < _BEAT:
            return True
        tag = self._changes.move(self._change, PENDING, self._tag, self._told)
        if tag is None:
            change = self._changes.state(self._change)
            if change.state != PENDING:
                return False
            tag = change.tag
        self._tag, self._beat = tag, time.monotonic()
        return True

    def _claim(self, step: Step, *, wait: bool) -> bool | None:
        name = name_of(step.key)
        while True:
            try:
                place = self._changes.settled(name, wait=wait)
            except Busy:
                return None
            if not holds(step.expected, place.found):
                return False
            becomes = self._changes.becomes(step, self._version, place)
            made = rows.claim(self._change, place.data, becomes)
            tag = self._bucket.put(f"{ROWS}/{name}", made, place.tag)
            if tag is None:
                blob = self._bucket.get(f"{ROWS}/{name}")
                if blob is None or blob.data != made:
                    if not self._alive():
                        return None
                    continue
                tag = blob.tag
            self._claims[name] = (tag, becomes, place.data or rows.gone(rows.fresh()))
            return True

    def _commit(self) -> bool:
        return self._changes.move(self._change, MADE, self._tag, self._told) is not None

    def _drop(self) -> str:
        """Ends a change that was not made, so that nobody can make it; what it is then.

        Raises:
            StoreError: the store does not say.
        """
        while True:
            try:
                change = self._changes.state(self._change)
                if change.state == PENDING:
                    self._changes.move(self._change, DROPPED, change.tag, self._told)
                    continue
            except StoreError as error:
                raise StoreError(
                    f"{self._bucket.where}: the store went away in the middle of a change; whether it was made is not "
                    "known, and it was made as a whole or not at all: read before trying again"
                ) from error
            if change.state is not None:
                return change.state
            # Removed by one who mended: made, if a row says so.
            found = (self._changes.settled(name).found for name in self._names)
            return MADE if any(_by(one, self._version) for one in found) else DROPPED

    def _finish(self, *, forward: bool) -> None:
        """Puts in the place of claims what they become. Whatever is left of them others do the same with."""

        def end(name: str) -> bool:
            tag, new, old = self._claims[name]
            return self._bucket.put(f"{ROWS}/{name}", new if forward else old, tag) is not None

        try:
            names = list(self._claims)
            ended = self._each(end, names)
            # Where it was not we who did, somebody else has, or a repeated request met itself.
            for name, done in zip(names, ended, strict=True):
                if not done:
                    with contextlib.suppress(Busy):
                        self._changes.settled(name, wait=False)
            self._bucket.remove([f"{CHANGES}/{self._change}"])
        except StoreError:
            return


def _by(found: Held | Gone | None, version: str) -> bool:
    """Whether a row is, or comes from, what was put under this version."""
    return found is not None and (found.version == version or (isinstance(found, Held) and version in found.past))
