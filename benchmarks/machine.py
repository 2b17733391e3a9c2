"""The machine, the interpreter and the versions behind a figure, as data and as one paragraph.

Reads what the system tells about itself; measures nothing, and changes nothing.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
import sysconfig
from pathlib import Path
from typing import Any

import torshi

#: Distributions whose versions matter to a figure.
DISTRIBUTIONS = [
    *("numpy", "pandas", "scikit-learn", "msgspec", "ormsgpack", "orjson", "cloudpickle", "joblib"),
    *("picklescan", "fickling"),
]


def _first(path: str, key: str = "") -> str:
    """The first line of a file of the system, or what stands behind `key` in it."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = [line.partition(":")[2].strip() if key else line for line in lines if line.startswith(key)]
    return found[0] if found else ""


def _build() -> str:
    """How the interpreter was compiled, as far as it matters: its own pickle is up to 1.6 times as fast."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    ways = [name for name, mark in (("PGO", "--enable-optimizations"), ("LTO", "--with-lto")) if mark in options]
    return " and ".join(ways) or "a plain build"


def versions() -> dict[str, str]:
    """The installed ones of `DISTRIBUTIONS`, by name."""
    found = {"torshi": torshi.__version__}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def described() -> dict[str, Any]:
    """Everything about the machine that a figure should be read with."""
    return {
        "python": platform.python_version(),
        "build": _build(),
        "compiler": platform.python_compiler(),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}".rstrip(" ,"),
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "huge_pages": _first("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions(),
        "command": shlex.join([f"python{sys.version_info.major}.{sys.version_info.minor}", *_command()]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def _command() -> list[str]:
    script = Path(sys.argv[0])
    return [f"benchmarks/{script.name}", *sys.argv[1:]]


def paragraph(machine: dict[str, Any]) -> str:
    """The same as a paragraph of Markdown."""
    known = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"`{machine['command']}`, {machine['date']}: Python {machine['python']} ({machine['build']}, "
        f"{machine['compiler']}), {machine['system']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, load {machine['load']} at the start. {known}."
    )
