"""What a user's own package looks like to an attacker: a few value classes, and modules it imports.

The tests trust it as ``victim.*``; nothing that it merely imports may be reached by that.
"""

import os
import subprocess
from os import mkdir
from os import path as renamed

__all__ = ["Slotted", "Value", "Watched", "mkdir", "os", "renamed", "subprocess"]


class Value:
    """An ordinary class."""

    def __init__(self, x=0):
        self.x = x


class Slotted:
    """A class whose state is slots."""

    __slots__ = ("x", "y")


class Watched(list):
    """A list that can hold attributes."""


class Restored:
    """A class with a `__setstate__` of its own."""

    def __setstate__(self, state):
        self.restored = True


class Command:
    """A class whose instances do something when they are called; its user trusts no stream to call them."""

    def __init__(self, what=None):
        self.what = what

    def __setstate__(self, state):
        self.state = state

    def __call__(self):
        mkdir("torshi-canary")
