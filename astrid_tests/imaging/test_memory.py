"""A process that asked for it gives freed arrays back."""

import subprocess
import sys

import pytest

_PROGRAM = """
import numpy as np, psutil
from astrid_assets.imaging.memory import return_freed_memory
if not return_freed_memory():
    raise SystemExit(3)
np.ones(9_000_000, np.uint8)
held = psutil.Process().memory_info().rss
arrays = [np.ones(9_000_000, np.uint8) for _ in range(40)]
full = psutil.Process().memory_info().rss
last = arrays[-1]
del arrays
left = psutil.Process().memory_info().rss
print((full - held) / 1e6, (left - held) / 1e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_freed_arrays_go_back_though_a_later_one_is_kept():
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    if ran.returncode == 3:
        pytest.skip("another C library than glibc")
    grown, left = (float(word) for word in ran.stdout.split())
    assert grown > 300
    assert left < 30
