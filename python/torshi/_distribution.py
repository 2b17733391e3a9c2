"""Distributions: what is installed, as a manifest names it.

Names of modules into the distributions that they come from and the versions of these. Reads what installers wrote, asks
for each name once in a process, and imports nothing.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata

__all__ = ["distribution_of", "installed_version", "release"]

# What this process has asked of its environment: by the first part of a module's name, and by distribution.
_owners: dict[str, tuple[str, str] | None] = {}
_versions: dict[str, str | None] = {}


def distribution_of(module: str) -> tuple[str, str] | None:
    """Name and version of the distribution a module comes from; None for the standard library and loose files."""
    top = module.partition(".")[0]
    if not top or top in sys.stdlib_module_names or top in ("__main__", "__mp_main__"):
        return None
    if top not in _owners:
        _owners[top] = _look_up(top)
    return _owners[top]


def _look_up(top: str) -> tuple[str, str] | None:
    version = installed_version(top)
    if version is not None:
        return top, version
    # Reads what every distribution has installed, some milliseconds each: for names that are not their distribution's.
    for name in metadata.packages_distributions().get(top, ()):
        version = installed_version(name)
        if version is not None:
            return name, version
    return None


def installed_version(distribution: str) -> str | None:
    """The version of a distribution that is installed; None if it is not."""
    if distribution not in _versions:
        try:
            _versions[distribution] = metadata.version(distribution)
        except (metadata.PackageNotFoundError, ValueError):
            _versions[distribution] = None
    return _versions[distribution]


def release(version: str) -> list[str]:
    """Major and minor version.

    Example:
        >>> from torshi._distribution import release
        >>> release("1.26.4"), release("2")
        (['1', '26'], ['2'])
    """
    return re.findall(r"\d+", version)[:2]
