"""A process that asked for it uses freed arrays again, and loses no time on garbage of imports."""

import gc
import subprocess
import sys

import pytest

from astrid_assets.imaging.memory import imports_uncollected

_PROGRAM = """
import resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from astrid_assets.imaging.memory import reuse_freed_memory
if not reuse_freed_memory():
    raise SystemExit(3)

def used(_):
    np.ones(36_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF)

first = used(None)
for _ in range(5):
    with ThreadPoolExecutor(1) as pool:
        last, = pool.map(used, [None])
print(last.ru_minflt - first.ru_minflt, (last.ru_maxrss - first.ru_maxrss) / 1e3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_an_array_takes_the_room_of_one_that_another_thread_freed():
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    if ran.returncode == 3:
        pytest.skip("another C library than glibc")
    faults, grown_mb = (float(word) for word in ran.stdout.split())
    assert faults < 5000  # one array alone has 9000 pages
    assert grown_mb < 20


def test_imports_are_not_searched_for_garbage_and_the_rest_is():
    frozen = gc.get_freeze_count()
    with imports_uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    gc.unfreeze()
