"""`torshi scan`: files, folders and archives in, verdicts and an exit code out. Never loads anything."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from torshi._policy import Policy
from torshi._scan import FileResult, ScanReport, Verdict, exit_code, results, scan_bytes
from torshi.cli import _remote
from torshi.cli._bar import Bar
from torshi.cli._files import UNREADABLE, add_command, add_policy_options, chosen_policy, complain
from torshi.cli._sarif import sarif
from torshi.cli._scan_text import Tally, lines

__all__ = ["add_to"]

_EPILOG = """\
Finds every pickle in files and folders and says what loading it would do that the policy does not allow.
Formats are told by content: gzip, bzip2, xz, lzma, zlib, zstd, lz4, zip, PyTorch, tar, .npy and .npz, joblib,
several pickles in a row, pickles hidden behind or within other data, and archives inside archives.

Files without findings are listed where they were named one by one or have remarks, or with --verbose.

examples:
  torshi scan model.pt data/                everything below data/, and one file
  torshi scan 'models/**/*.pkl' --jobs 4
  curl -s https://example.org/m.pkl.gz | torshi scan -
  torshi scan --trust 'myapp.models.*' --sarif . > torshi.sarif
  torshi scan s3://models/uploads --dask tcp://scheduler:8786 -o results.parquet
  torshi scan --jsonl data/ | jq -r 'select(.verdict != "no findings") | .path'

exit codes: 0 no findings, 1 findings, 2 a file is undecided or not readable; with both, 1
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "scan",
        run,
        help="find the pickles in files, folders and archives, and judge them",
        description="Find every pickle in files, folders and archives and judge it under a policy, without loading it.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="file, folder, pattern or URL such as s3://bucket/prefix; - for standard input",
    )
    add_policy_options(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write one JSON object with all results")
    form.add_argument("--jsonl", action="store_true", help="write one JSON object a line, as results come")
    form.add_argument("--sarif", action="store_true", help="write a SARIF 2.1.0 log")
    parser.add_argument("-v", "--verbose", action="store_true", help="list files without findings too")
    parser.add_argument("-j", "--jobs", type=_jobs, metavar="N", help="threads; default: one a processor")
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on standard error; default: if that is a terminal",
    )
    _remote.add_options(parser)


def _jobs(text: str) -> int:
    jobs = int(text)
    if jobs < 1:
        raise ValueError(text)
    return jobs


def run(arguments: argparse.Namespace) -> int:
    """Scans; returns the exit code of all files together."""
    policy = chosen_policy(arguments)
    shown = sys.stderr.isatty() if arguments.progress is None else arguments.progress
    with Bar(shown) as bar:
        try:
            return _write(_scanned(arguments, policy, bar), arguments, policy, bar)
        except _remote.RemoteProblem as problem:
            bar.wipe()
            complain("scan", str(problem))
            return UNREADABLE


def _write(every: Iterator[FileResult], arguments: argparse.Namespace, policy: Policy, bar: Bar) -> int:
    """Writes the results in the form that was asked for; returns the exit code of all."""
    if arguments.jsonl:
        return exit_code(_write_line(result) for result in every)
    if arguments.json or arguments.sarif:
        report = ScanReport(tuple(every), policy.name)
        bar.wipe()
        print(json.dumps(sarif(report), indent=2) if arguments.sarif else report.to_json())
        return report.exit_code
    return _write_text(every, arguments, policy, bar)


def _scanned(arguments: argparse.Namespace, policy: Policy, bar: Bar) -> Iterator[FileResult]:
    """All results: standard input where it was named, then the files."""
    if "-" in arguments.paths:
        yield scan_bytes(sys.stdin.buffer.read(), "<stdin>", policy=policy)
    paths = [path for path in arguments.paths if path != "-"]
    local = [path for path in paths if not _remote.is_remote(arguments, path)]
    remote = [path for path in paths if _remote.is_remote(arguments, path)]
    if local:
        yield from results(local, policy, jobs=arguments.jobs, progress=bar.update)
    if remote:
        yield from _remote.results(remote, arguments, policy, bar.update)


def _write_line(result: FileResult) -> Verdict:
    print(json.dumps(result.to_record()), flush=True)
    return result.verdict


def _write_text(every: Iterator[FileResult], arguments: argparse.Namespace, policy: Policy, bar: Bar) -> int:
    named = {*arguments.paths, "<stdin>"}
    tally, began = Tally(), time.monotonic()
    for result in every:
        tally.add(result)
        if result.verdict != "no findings" or result.remarks or arguments.verbose or result.path in named:
            bar.wipe()
            print("\n".join(lines(result, policy.name)))
    bar.wipe()
    print(tally.line(policy.name, time.monotonic() - began))
    return exit_code(tally.verdicts())
