"""Long loads get the memory of their objects in huge pages. It must be ordinary memory to everything else: given back
when the objects are gone, whoever frees them, in whatever order, whatever allocator is in use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import torshi

ROUNDS = """
import gc, pickle, torshi

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

data = pickle.dumps([i * 1_000_003 for i in range(600_000)], 5)
kept = []
sizes = []
for round in range(12):
    value = torshi.loads(data)
    assert value[-1] == 599_999 * 1_000_003
    kept.append(value[::10_000])  # leaves arenas that are free but for one object
    del value
    other = [object() for _ in range(200_000)]  # and what is freed is used by others
    del other
    gc.collect()
    sizes.append(resident())
kept.clear()
gc.collect()
print(max(sizes[6:]) - sizes[3], resident() - sizes[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("allocator", ["default", "malloc", "pymalloc_debug"])
def test_memory_of_long_loads_is_given_back(allocator: str) -> None:
    """Arenas that stay after their objects are gone would make every long load a leak."""
    environment = {**os.environ, "PYTHONMALLOC": allocator}
    run = subprocess.run([sys.executable, "-c", ROUNDS], capture_output=True, text=True, env=environment, check=True)
    growth, left = map(int, run.stdout.split())
    assert growth < 8 << 20, run.stdout
    assert left < 8 << 20, run.stdout


def test_objects_outlive_the_load_in_other_threads() -> None:
    """Objects made in a huge page are freed by whichever thread has them last."""
    data = torshi.dumps([str(i) for i in range(100_000)])
    values: list[list[str]] = []

    def load() -> None:
        values.append(torshi.loads(data))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(value[99_999] == "99999" for value in values)
    while values:
        values.pop()
        assert torshi.loads(data)[5] == "5"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_may_free_and_load() -> None:
    """A child has the same arenas, and the same lock, as its parent."""
    code = """
import os, torshi
data = torshi.dumps([i * 1_000_003 for i in range(300_000)])
value = torshi.loads(data)
child = os.fork()
if not child:
    del value
    os._exit(0 if torshi.loads(data)[7] == 7_000_021 else 1)
assert os.waitpid(child, 0)[1] == 0
del value
assert torshi.loads(data)[7] == 7_000_021
"""
    subprocess.run([sys.executable, "-c", code], check=True)
