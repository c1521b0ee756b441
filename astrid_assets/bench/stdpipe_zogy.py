"""stdpipe's ZOGY on arrays from a file, run by an interpreter that has stdpipe.

`PYTHON stdpipe_zogy.py PAIR.npz` prints the wall and CPU seconds of the call, its second time.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from stdpipe.subtraction import run_zogy  # type: ignore[import-not-found,unused-ignore]


def main(path: str) -> None:
    """Subtract the pair twice without fits of scale or shift, which are given."""
    pair = np.load(path)
    arrays = {name: pair[name] for name in pair.files}
    settings = {
        "mask": arrays["mask"],
        "template_mask": arrays["mask"],
        "err": arrays["science_error"],
        "template_err": arrays["reference_error"],
        "image_psf": _psf(arrays["psf_science"]),
        "template_psf": _psf(arrays["psf_reference"]),
        "scale": float(arrays["flux_ratio"]),
        "dx": 0.01,
        "dy": 0.01,
        "fit_scale": False,
        "fit_shift": False,
        "get_psf": True,
        "get_Fpsf": True,
    }
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        run_zogy(arrays["science"], arrays["reference"], **settings)
        cost = time.perf_counter() - wall, time.process_time() - cpu
    sys.stdout.write(f"\n{cost[0]} {cost[1]}\n")


def _psf(stamp: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return a constant PSF of one sample per pixel as stdpipe describes it."""
    size = stamp.shape[0]
    return {
        "data": stamp[None].astype(float), "degree": 0, "sampling": 1.0, "fwhm": 3.5,
        "width": size, "height": size, "ncoeffs": 1, "x0": 0.0, "y0": 0.0, "sx": 1.0, "sy": 1.0,
    }  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
