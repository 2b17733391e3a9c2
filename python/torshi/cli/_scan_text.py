"""Scan results in, lines for a person out. Says "no findings under policy ...", and nothing stronger."""

from __future__ import annotations

from torshi._printable import printable
from torshi._scan import FileResult, Verdict

__all__ = ["Tally", "lines"]


def lines(result: FileResult, policy: str) -> list[str]:
    """One file: its verdict, then a line for each finding, each thing that could not be seen and each remark."""
    under = f"under policy {printable(policy)}"
    name = printable(result.path)
    what = f" [{printable(result.format)}]" if result.format else ""
    if result.verdict == "no findings":
        head = f"{name}: no findings {under} ({printable(result.reason)}){what}"
    elif result.verdict == "findings":
        count = len(result.findings)
        head = f"{name}: {count} finding{'' if count == 1 else 's'} {under}{what}"
    else:
        head = f"{name}: undecided{what}"
    body = [f"  {printable(str(finding))}" for finding in (*result.findings, *result.undecided)]
    body += [f"  remark: {printable(str(remark))}" for remark in result.remarks]
    more = [f"  and {result.left_out} more"] if result.left_out else []
    return [head, *body, *more]


class Tally:
    """Counts verdicts, for the last line."""

    def __init__(self) -> None:
        self.files: dict[Verdict, int] = {"no findings": 0, "findings": 0, "undecided": 0}
        self.pickles = 0
        self.bytes = 0

    def add(self, result: FileResult) -> None:
        """Counts one file."""
        self.files[result.verdict] += 1
        self.pickles += result.pickles
        self.bytes += result.size

    def verdicts(self) -> list[Verdict]:
        """Those that files had."""
        return [verdict for verdict, count in self.files.items() if count]

    def line(self, policy: str, seconds: float) -> str:
        """All of it in one line."""
        total = sum(self.files.values())
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in self.files.items() if count)
        files, pickles = _count(total, "file"), _count(self.pickles, "pickle")
        size = f"{self.bytes / 1e6:.1f} MB in {seconds:.1f} s"
        return f"{files}, {pickles}, {size}: {verdicts or 'nothing to scan'} (policy {printable(policy)})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
