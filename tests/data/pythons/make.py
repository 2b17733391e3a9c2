"""Writes what the Python that runs it pickles, at each of its protocols, to the folder of this script.

for v in 2.7.18 3.6.15 3.7.16 3.8.18 3.9.18 3.10.13 3.11.7 3.12.1 3.13.0; do
  ~/.pyenv/versions/$v/bin/python tests/data/pythons/make.py
done

The test imports it for the values, so it is written for Python 2.7 and for today's alike.
"""

from __future__ import absolute_import, division, print_function, unicode_literals

import array
import collections
import datetime
import decimal
import fractions
import os
import pickle
import sys
import uuid

PYTHON_2 = sys.version_info < (3,)


def plain():
    """Values of the language itself."""
    shared = ["shared"]
    found = {
        "constants": [None, True, False],
        "integers": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**100), 2**2100],
        "floats": [0.0, -0.0, 1.5, -2.25e300, 5e-324, float("inf"), float("-inf")],
        "complex": 1.5 - 2j,
        "text": ["", "text", "line\nand \\u0041 'quotes'", "\xe4\u20ac", "x" * 300],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "containers": {"list": [[], [1, [2]]], "dict": {1: {"a": 2}, "b": {}}},
        "sets": [set(), {1, 2}, frozenset(), frozenset(["a"])],
        "shared": [shared, shared],
        "more than a batch": list(range(1100)),
        "bytearray": bytearray(b"\x00\xff"),
    }
    if not PYTHON_2:
        found["bytes"] = [b"", b"bytes", b"\x00\xff", b"x" * 300]
        found["astral text"] = "\U0001f600"
        found["ellipsis"] = [Ellipsis, NotImplemented]
    return found


def library():
    """Values of the standard library."""
    found = {
        "decimal": [decimal.Decimal("1.50"), decimal.Decimal("-Infinity")],
        "fraction": fractions.Fraction(22, 7),
        "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
        "default": collections.defaultdict(list, {"a": [1]}),
        "counter": collections.Counter("abca"),
        "deque": [collections.deque([1, 2]), collections.deque([1], 5)],
        "timedelta": datetime.timedelta(days=1, seconds=2, microseconds=3),
        "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "array": [array.array(str("i"), [1, -2]), array.array(str("d"), [1.5])],
    }
    if not PYTHON_2:
        import ipaddress
        import types

        found.update(dates())
        found["timezone"] = datetime.timezone(datetime.timedelta(hours=2), "X")
        found["aware"] = datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc)
        found["address"] = [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_network("2001:db8::/32")]
        found["namespace"] = types.SimpleNamespace(a=1)
        found["range"] = [range(3), range(10, 0, -2)]
    return found


def dates():
    """Values that Python 2 keeps in text that is no text: they want ``encoding="latin1"``, as in stock pickle."""
    return {
        "datetime": datetime.datetime(2020, 2, 29, 13, 59, 58, 999999),
        "date": datetime.date(1999, 12, 31),
        "time": datetime.time(23, 59, 59, 1),
    }


def paths():
    """Paths, which have lived in more than one module."""
    import pathlib

    return [pathlib.PurePosixPath("/a/b.txt"), pathlib.PureWindowsPath("c:/a"), pathlib.PurePosixPath()]


def main():
    """Writes the files."""
    folder = os.path.dirname(os.path.abspath(__file__))
    version = "%d.%d" % sys.version_info[:2]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for make in (plain, library, dates) if PYTHON_2 else (plain, library, paths):
            path = os.path.join(folder, "%s-%d-%s.pkl" % (version, protocol, make.__name__))
            with open(path, "wb") as file:
                pickle.dump(make(), file, protocol)


if __name__ == "__main__":
    main()
