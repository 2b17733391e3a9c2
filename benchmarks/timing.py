"""Functions into times: in turn, in one process, each as often as the others.

Every round runs all functions, in an order drawn anew from a fixed seed: whatever slows the machine for a while slows
them all, and none always follows the same other one, whose freed memory it would find. Garbage is collected before each
run and is not timed; what lives already is frozen, for no collection within a run should walk through what the
benchmark itself holds. The cyclic collector is on, as in a program. Results are dropped after the clock has stopped.
Nothing here knows what is measured.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

#: What `interleaved` runs: called with what `prepare` made for it.
Run = Callable[[Any], object]


def interleaved(
    runs: dict[str, Run],
    rounds: int,
    *,
    prepare: Callable[[str], Any] = lambda name: None,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Times of each run in seconds, one a round; the first rounds of all stand side by side.

    Args:
        runs: what to time, by name.
        rounds: how often each is run.
        prepare: makes the argument of the run of that name, before each run and outside its time.
        clock: processor time, unless something is waited for that counts.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    names, order = list(runs), random.Random(0)
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            order.shuffle(names)
            for name in names:
                argument, run = prepare(name), runs[name]
                gc.collect()
                start = clock()
                result = run(argument)
                times[name].append(clock() - start)
                del result, argument
    finally:
        gc.unfreeze()
    return times


def paired(base: list[float], other: list[float]) -> float:
    """How many times faster `other` is: the median over the rounds, each compared with its own neighbour."""
    return statistics.median(b / o for b, o in zip(base, other, strict=True))


def shown(seconds: float) -> str:
    """Seconds as a person reads them."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
