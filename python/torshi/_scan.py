"""scan and scan_bytes: files, folders and archives in, one verdict a file out, as plain data.

The native scanner tells formats by content, unpacks within limits and checks every pickle it finds; this
module names what to scan and turns its records into frozen dataclasses. Nothing is imported, built or called.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torshi import _native
from torshi._limits import Limits
from torshi._policy import Policy, Trust, policy_of
from torshi._version import __version__

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "FileResult",
    "ScanCode",
    "ScanEntry",
    "ScanFinding",
    "ScanLimits",
    "ScanProgress",
    "ScanReport",
    "Verdict",
    "exit_code",
    "results",
    "scan",
    "scan_bytes",
    "scan_codes",
    "worst",
]

Path: TypeAlias = str | os.PathLike[str]
Verdict: TypeAlias = Literal["no findings", "findings", "undecided"]

_EXIT_CODES: dict[Verdict, int] = {"no findings": 0, "findings": 1, "undecided": 2}
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ScanLimits:
    """How much of one file is unpacked before a scan says that it is undecided.

    Attributes:
        file: bytes of the file itself, which is read into memory whole.
        expanded: bytes that everything unpacked from it comes to, counted together.
        ratio: how many times its own size a compressed part may come to, once that is more than 256 MiB.
        nesting: containers inside containers, and pickles inside values of pickles.
        entries: entries of archives, counted together.
        load: the bounds of checking each pickle, as for a load; its `stream` is not used.

    Example:
        >>> import gzip, torshi
        >>> bomb = gzip.compress(bytes(10_000_000))
        >>> torshi.scan_bytes(bomb, limits=torshi.ScanLimits(expanded=1_000_000)).verdict
        'undecided'
    """

    file: int = 16 * 2**30
    expanded: int = 4 * 2**30
    ratio: int = 200
    nesting: int = 8
    entries: int = 100_000
    load: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in ("file", "expanded", "ratio", "nesting", "entries"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"limit {name} must be an int, not {type(value).__name__}")
            if not 0 <= value < (2**32 if name == "nesting" else 2**63):
                raise ValueError(f"limit {name} is out of range: {value}")


@dataclass(frozen=True)
class ScanFinding:
    """One finding, one remark, or one reason to stay undecided.

    Attributes:
        code: stable code, such as ``T101``; `scan_codes` explains each.
        rule: the same as words, such as ``untrusted-global``.
        severity: ``high``, ``medium`` or ``low``; of a remark ``note``.
        message: what is wrong.
        entry: which entry of the file, ``!`` between archives inside archives; empty for the file itself.
        format: how to get there, such as ``zip > gzip > pickle``.
        offset: byte offset in the entry, unpacked, or None.
        opcode: name of the opcode there, or None.
        path: where in the object, such as ``$.owner``, or None.
        name: the class or function concerned, or None.
        remedy: the shortest trust entry that would allow it, or None.
    """

    code: str
    rule: str
    severity: str
    message: str
    entry: str
    format: str
    offset: int | None
    opcode: str | None
    path: str | None
    name: str | None
    remedy: str | None

    def __str__(self) -> str:
        """The whole finding in one line: code, what, where, and the way out."""
        place = [f"{self.opcode} at byte {self.offset}" if self.opcode else f"byte {self.offset}"]
        if self.offset is None:
            place = []
        place += [f"at {self.path}"] if self.path else []
        place += [f"in {self.entry}"] if self.entry else []
        where = f" ({', '.join(place)})" if place else ""
        way = f"; expected it? --trust '{self.remedy}'" if self.remedy else ""
        return f"{self.code} {self.message}{where}{way}"


@dataclass(frozen=True)
class ScanEntry:
    """One entry at the end of a chain of containers.

    Attributes:
        name: its name, ``!`` between archives inside archives; empty for the file itself.
        format: how to get there, such as ``zip > gzip > pickle``.
        size: bytes, unpacked.
        pickles: pickles found in it.
    """

    name: str
    format: str
    size: int
    pickles: int


@dataclass(frozen=True)
class FileResult:
    """What a scan says of one file. Equal for equal bytes under one path, policy and limits.

    Attributes:
        path: the path, or the name given to the bytes.
        size: bytes.
        blake3: hexadecimal BLAKE3 digest of the file, or None if it could not be read.
        format: what the file is, such as ``gzip > pickle``.
        verdict: ``no findings``, ``findings`` or ``undecided``.
        reason: why, in one line: ``no pickle found``, ``3 pickles``, or what could not be seen.
        pickles: pickles found.
        findings: what is against the policy.
        undecided: what could not be seen.
        remarks: what is worth knowing and no part of the verdict.
        left_out: findings, reasons and remarks beyond the 500 of each that are kept.
        entries: what is in it.
        entries_left_out: entries beyond the 10,000 that are kept.
    """

    path: str
    size: int
    blake3: str | None
    format: str
    verdict: Verdict
    reason: str
    pickles: int
    findings: tuple[ScanFinding, ...]
    undecided: tuple[ScanFinding, ...]
    left_out: int
    entries: tuple[ScanEntry, ...]
    entries_left_out: int
    remarks: tuple[ScanFinding, ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FileResult:
        """Builds a result from a decoded JSON object, as `to_record` gives it."""
        return cls(
            **{
                **record,
                "findings": tuple(ScanFinding(**finding) for finding in record["findings"]),
                "undecided": tuple(ScanFinding(**finding) for finding in record["undecided"]),
                "entries": tuple(ScanEntry(**entry) for entry in record["entries"]),
                "remarks": tuple(ScanFinding(**remark) for remark in record.get("remarks") or ()),
            }
        )

    def to_record(self) -> dict[str, Any]:
        """The result as a dict of plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ScanProgress:
    """How far a scan is.

    Attributes:
        files: files to scan; 0 while folders are still being listed.
        done: files done.
        bytes: bytes of the files done.
    """

    files: int
    done: int
    bytes: int


@dataclass(frozen=True)
class ScanReport:
    """The results of a scan, one a file, in the order of the paths.

    Attributes:
        results: one `FileResult` a file. Iterating over the report gives them too.
        policy: what the policy is called.

    Example:
        >>> import torshi
        >>> with open("model.pkl", "wb") as file:
        ...     _ = file.write(b"cposix\\nsystem\\n(S'true'\\ntR.")
        >>> report = torshi.scan("model.pkl")
        >>> report.verdict, [finding.code for result in report for finding in result.findings]
        ('findings', ['T101'])
    """

    results: tuple[FileResult, ...]
    policy: str

    def __iter__(self) -> Iterator[FileResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict: ``findings`` if any file has some, else ``undecided`` if any is."""
        return worst(result.verdict for result in self.results)

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 1 if any file has findings, else 2 if any is undecided, else 0."""
        return _EXIT_CODES[self.verdict]

    def to_json(self) -> str:
        """The report as one JSON object: tool, policy, counts and files."""
        counts = {verdict: sum(result.verdict == verdict for result in self.results) for verdict in _EXIT_CODES}
        record = {
            "tool": "torshi",
            "version": __version__,
            "policy": self.policy,
            "verdict": self.verdict,
            "counts": counts,
            "files": [result.to_record() for result in self.results],
        }
        return json.dumps(record, indent=2)


@dataclass(frozen=True)
class ScanCode:
    """One row of the table of codes.

    Attributes:
        id: the code.
        rule: the same as words.
        kind: ``finding``, ``remark`` or ``undecided``.
        severity: ``high``, ``medium`` or ``low``; of a remark ``note``.
        title: what it is, in one line.
        text: what it means.
        advice: what to do about it.
    """

    id: str
    rule: str
    kind: str
    severity: str
    title: str
    text: str
    advice: str


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of all: ``findings`` if any has some, else ``undecided`` if any is."""
    every = set(verdicts)
    return "findings" if "findings" in every else "undecided" if "undecided" in every else "no findings"


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """What the command line exits with."""
    return _EXIT_CODES[worst(verdicts)]


def scan_codes() -> tuple[ScanCode, ...]:
    """The table of codes that findings have.

    Example:
        >>> from torshi._scan import scan_codes
        >>> next(code.title for code in scan_codes() if code.id == "T101")
        'a class or function that the policy does not list'
    """
    rows = json.loads(_native.scan_codes())
    return tuple(ScanCode(kind=row.pop("class"), **row) for row in rows)


def scan(
    paths: Path | Iterable[Path],
    *,
    policy: Policy | None = None,
    trust: Trust = None,
    jobs: int | None = None,
    limits: ScanLimits | None = None,
    progress: Callable[[ScanProgress], object] | None = None,
) -> ScanReport:
    """Finds every pickle in files and folders, and judges it under a policy, without loading anything.

    Formats are told by content, never by name: compressed files, zip (numpy's and PyTorch's too) and tar
    archives and what is inside them, `.npy` arrays, several pickles in a row, pickles hidden in other data.

    Args:
        paths: a file, a folder (walked with everything below), a pattern such as ``"models/**/*.pkl"``, or an
            iterable of them.
        policy: what is allowed; the default policy if absent.
        trust: the same in the form `load` takes it; only one of the two may be given.
        jobs: threads; as many as there are processors if absent.
        limits: how much of each file is unpacked.
        progress: called with a `ScanProgress` now and then, in this thread.

    Returns:
        One result a file, in the order of the paths. A file that cannot be read is undecided, and says why.

    Raises:
        TypeError: both `policy` and `trust` are given.
        ValueError: `jobs` is not positive.

    Example:
        >>> import torshi
        >>> with open("data.pkl", "wb") as file:
        ...     torshi.dump([1, 2, 3], file)
        >>> [(result.path, result.verdict, result.reason) for result in torshi.scan("data.pkl")]
        [('data.pkl', 'no findings', '1 pickle')]
    """
    chosen = _chosen(policy, trust)
    every = tuple(results(paths, chosen, jobs=jobs, limits=limits, progress=progress))
    return ScanReport(every, chosen.name)


def scan_bytes(
    data: Buffer,
    name: str = "<bytes>",
    *,
    policy: Policy | None = None,
    trust: Trust = None,
    limits: ScanLimits | None = None,
) -> FileResult:
    """Judges bytes as a file that holds them.

    Args:
        data: bytes-like object.
        name: what to call it in the result.
        policy: what is allowed; the default policy if absent.
        trust: the same in the form `load` takes it; only one of the two may be given.
        limits: how much is unpacked.

    Returns:
        The result, which can be pickled, compared and written as JSON.

    Raises:
        TypeError: `data` is not bytes-like, or both `policy` and `trust` are given.

    Example:
        >>> import gzip, torshi
        >>> result = torshi.scan_bytes(gzip.compress(torshi.dumps({"a": 1})))
        >>> result.verdict, result.format
        ('no findings', 'gzip > pickle')
    """
    chosen = _chosen(policy, trust)
    return FileResult.from_record(json.loads(_native.scan_bytes(data, name, chosen._inner, limits)))


def results(
    paths: Path | Iterable[Path],
    policy: Policy,
    *,
    jobs: int | None = None,
    limits: ScanLimits | None = None,
    progress: Callable[[ScanProgress], object] | None = None,
) -> Iterator[FileResult]:
    """As `scan`, one result after another as they come, in the order of the paths."""
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    run = _native.ScanRun(_expanded(paths), policy._inner, limits, jobs)
    while (ready := run.poll(_POLL_SECONDS)) is not None:
        if progress is not None:
            progress(ScanProgress(*run.progress()))
        for text in ready:
            yield FileResult.from_record(json.loads(text))


def _chosen(policy: Policy | None, trust: Trust) -> Policy:
    if policy is not None and trust is not None:
        raise TypeError("give policy or trust, not both")
    return policy_of(trust) if policy is None else policy


def _expanded(paths: Path | Iterable[Path]) -> list[str]:
    """The paths, patterns replaced by what they match; a pattern that matches nothing stays, to be reported."""
    every = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found: list[str] = []
    for item in every:
        path = os.fspath(item)
        if not os.path.lexists(path) and glob.has_magic(path):
            found += sorted(glob.glob(path, recursive=True)) or [path]
        else:
            found.append(path)
    return found


for _public in (FileResult, ScanCode, ScanEntry, ScanFinding, ScanLimits, ScanProgress, ScanReport):
    _public.__module__ = "torshi"
