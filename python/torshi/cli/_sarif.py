"""Scan results in, a SARIF 2.1.0 log out, for code-scanning services and editors.

Findings are results of kind ``fail``; what could not be seen is a result of kind ``open``, which the standard
keeps for just that. Remarks are failures of the level ``note``, which stop nothing.
"""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torshi._scan import FileResult, ScanFinding, scan_codes
from torshi._version import __version__

__all__ = ["sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"high": "error", "medium": "warning", "low": "note", "note": "note"}


def sarif(results: Iterable[FileResult]) -> dict[str, Any]:
    """The log, with one run."""
    codes = scan_codes()
    index = {code.id: at for at, code in enumerate(codes)}
    rules = [
        {
            "id": code.id,
            "name": "".join(word.capitalize() for word in code.rule.split("-")),
            "shortDescription": {"text": code.title},
            "fullDescription": {"text": code.text},
            "help": {"text": f"{code.text} {code.advice}"},
            "defaultConfiguration": {"level": _LEVELS[code.severity] if code.kind != "undecided" else "none"},
        }
        for code in codes
    ]
    every = list(results)
    driver = {"name": "torshi", "semanticVersion": __version__, "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "artifacts": [_artifact(result) for result in every],
        "results": [
            _result(result, finding, at, index[finding.code], kind)
            for at, result in enumerate(every)
            for kind, findings in (("fail", (*result.findings, *result.remarks)), ("open", result.undecided))
            for finding in findings
        ],
        "columnKind": "unicodeCodePoints",
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _uri(path: str) -> str:
    """Relative paths stay relative, so that a service finds the file in its checkout."""
    if os.path.isabs(path):
        return Path(path).as_uri()
    return urllib.parse.quote(path.replace(os.sep, "/").removeprefix("./"), errors="surrogateescape")


def _artifact(result: FileResult) -> dict[str, Any]:
    artifact: dict[str, Any] = {"location": {"uri": _uri(result.path)}, "length": result.size}
    if result.blake3:
        artifact["hashes"] = {"blake3": result.blake3}
    return artifact


def _result(result: FileResult, finding: ScanFinding, at: int, rule: int, kind: str) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": 1}
    # Offsets count in the unpacked entry: only where that is the file itself are they places in it.
    if finding.offset is not None and not finding.entry and finding.format == "pickle":
        region = {"byteOffset": finding.offset, "byteLength": 1}
    logical = [part for part in (finding.entry, finding.path) if part]
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(result.path), "index": at}, "region": region}
    }
    if logical:
        location["logicalLocations"] = [{"fullyQualifiedName": " ".join(logical)}]
    same = "\0".join((finding.code, finding.entry, finding.name or finding.message))
    properties = {"format": finding.format, "offset": finding.offset, "opcode": finding.opcode, "name": finding.name}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "kind": kind,
        "level": _LEVELS[finding.severity] if kind == "fail" else "none",
        "message": {"text": str(finding)},
        "locations": [location],
        "partialFingerprints": {"torshi/v1": hashlib.sha256(same.encode("utf-8", "replace")).hexdigest()},
        "properties": {key: value for key, value in properties.items() if value is not None},
    }
