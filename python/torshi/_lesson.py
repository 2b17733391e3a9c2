"""Lesson: what streams use beyond a policy, gathered into entries a person can review.

Turns the inspections of known-good streams into exact names with the uses that were met, and these into a policy
and a commented TOML file. Never loads anything, and never writes a pattern with a star.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torshi import _native
from torshi._errors import MalformedError
from torshi._findings import Finding, from_record
from torshi._printable import printable
from torshi._version import __version__

if TYPE_CHECKING:
    from torshi._limits import Limits

__all__ = ["USES", "Entry", "Lesson"]

USES = {
    "call": "call: may be called, with any arguments",
    "construct": "construct: instances may be made, with any arguments",
    "state": "state: instances may be given any state",
    "items": "items: instances may be given any items",
    "value": "value: may stand as data, for whoever uses the object to call",
}
"""What a stream may do with a name, and what allowing it comes to."""

# A name can come to light only after another is allowed. Each round adds one, and no stream needs this many.
_ROUNDS = 64
# Codes of what a scan could not read to its end.
_BROKEN = {"T110", "T112", "T113"}

_HEADER = """\
# A policy for torshi {version}, learnt from {count}.
#
# Review it before you rely on it: it allows whatever these streams used, without asking whether that was right.
# A line allows one name, for the uses in brackets. To allow a call is to allow it with any arguments, not only with
# those that were met: leave out whatever could do harm with arguments of somebody else's choosing.
"""


@dataclass
class Entry:
    """One name to allow.

    Attributes:
        name: the name, as ``module:qualname``.
        where: where it was met first, such as ``model.pkl, byte 42``.
        uses: what streams do with it; the words are those of `USES`.
        pickles: in how many pickles it was met.
    """

    name: str
    where: str
    uses: set[str] = field(default_factory=set)
    pickles: int = 0

    @property
    def text(self) -> str:
        """The entry as a policy takes it."""
        return f"{self.name} [{', '.join(use for use in USES if use in self.uses) or 'import'}]"


class Lesson:
    """Gathers entries from streams.

    Args:
        base: the policy whose names are left out, since they are allowed already.
    """

    def __init__(self, base: _native.Policy) -> None:
        self._base = base
        self.entries: dict[str, Entry] = {}
        self.leftovers: list[tuple[str, Finding]] = []
        self.pickles = 0

    @property
    def policy(self) -> _native.Policy:
        """The base and every entry."""
        native = self._base
        for entry in self.entries.values():
            native = native.allow(entry.text)
        return native

    def study(self, data: bytes, source: str, begins: int = 0, limits: Limits | None = None) -> None:
        """Adds what a pickle uses.

        Args:
            data: the bytes.
            source: what to call them.
            begins: where in the source they begin.
            limits: bounds of the check.

        Raises:
            MalformedError: it is no pickle, or a broken one.
            LimitError: it asks for more than the limits grant.
        """
        where = f"{source}, byte {begins}" if begins else source
        record, wanted = self._wanted(data, limits)
        left = [from_record(finding) for finding in record["findings"]]
        for used in record["globals"]:
            name = used["name"]
            if name in wanted and used["allowed"]:
                entry = self.entries.setdefault(name, Entry(name, f"{source}, byte {begins + used['offset']}"))
                entry.uses.update(use for use in used["uses"] if use in USES)
        met = [self.entries[name] for name in wanted if name in self.entries]
        self._widen(met, len(left), data, limits)
        for entry in met:
            entry.pickles += 1
        self.leftovers.extend((where, finding) for finding in left)
        self.pickles += 1

    def study_file(self, data: bytes, source: str) -> None:
        """Adds what every pickle of a file uses: of a plain one, or of a container such as zip, gzip or npy.

        Args:
            data: the bytes of the file.
            source: what to call it.

        Raises:
            MalformedError: there is no pickle in it, or it was not understood whole.
            LimitError: a pickle asks for more than the limits of a load grant.
        """
        text, pickles = _native.pickles_of(data, source, self._base)
        record = json.loads(text)
        unread = record["undecided"] + [told for told in record["findings"] if told["code"] in _BROKEN]
        if unread or not pickles:
            start = 0
            while start < len(data) or start == 0:  # raises, and says where, if it is a pickle that is amiss
                start += _native.check(data, _native.Policy.unrestricted(), None, start)
            raise MalformedError(unread[0]["message"] if unread else "no pickle found")
        for entry, offset, pickle in pickles:
            self.study(pickle, f"{source}!{entry}" if entry else source, begins=offset)

    def add(self, remedy: str, where: str) -> None:
        """Adds a name that was met without its stream, for every use."""
        module, _, qualname = remedy.partition(":") if ":" in remedy else remedy.rpartition(".")
        name = f"{module}:{qualname}"
        self.entries.setdefault(name, Entry(name, where, set(USES), 1))

    def _wanted(self, data: bytes, limits: Limits | None) -> tuple[dict[str, Any], set[str]]:
        """The inspection of a pickle under the base and all it wants beyond it, and these names."""
        trial, wanted = self._base, set[str]()
        for _ in range(_ROUNDS):
            record = _surveyed(data, trial, limits)
            before = trial
            for finding in record["findings"]:
                remedy = finding.get("remedy")
                if remedy is None:
                    continue
                module, _, qualname = remedy.partition(":") if ":" in remedy else remedy.rpartition(".")
                wanted.add(f"{module}:{qualname}")
                trial = trial.allow(f"{module}:{qualname}")
            if trial == before:
                break
        return record, wanted

    def _widen(self, met: list[Entry], left: int, data: bytes, limits: Limits | None) -> None:
        """Adds the uses that a rule asks for without the stream doing it itself, such as calls through a partial."""

        def findings() -> int:
            return len(_surveyed(data, self.policy, limits)["findings"])

        count = findings()
        for entry in met:
            for use in USES:
                if count <= left:
                    return
                if use not in entry.uses:
                    entry.uses.add(use)
                    after = findings()
                    if after >= count:
                        entry.uses.discard(use)
                    count = min(count, after)
        if count > left:
            for entry in met:  # uses that only together are enough
                entry.uses.update(USES)

    def to_toml(self) -> str:
        """The policy as a TOML file with a comment on each name."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        import tomllib  # only here, since it takes a tenth of the time that importing torshi does

        start = tomllib.loads(self._base.to_toml())
        count = f"{self.pickles} pickle{'' if self.pickles == 1 else 's'}"
        yield _HEADER.format(version=__version__, count=count)
        yield f"base = {json.dumps(start['base'])} # what this allows already is not listed"
        yield "allow = ["
        for text in start["allow"]:
            yield f"    {json.dumps(text)}, # of the policy it started from"
        for name in sorted(self.entries):
            entry = self.entries[name]
            yield f"    # {printable(entry.where)}; in {entry.pickles} pickle{'' if entry.pickles == 1 else 's'}"
            for use in USES:
                if use in entry.uses:
                    yield f"    # {USES[use]}"
            yield f"    {json.dumps(entry.text)},"
        yield "]"
        yield f"deny = {json.dumps(start['deny'])}"
        if self.leftovers:
            yield "\n# Refused still, since no line can allow it:"
            for source, finding in self.leftovers:
                yield f"#   {printable(source)}: {printable(finding.message)}"


def _surveyed(data: bytes, policy: _native.Policy, limits: Limits | None) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(_native.survey(data, policy, limits))
    return record
