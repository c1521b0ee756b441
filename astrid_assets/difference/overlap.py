"""Whether a reference covers a science image at all."""

from __future__ import annotations

import numpy as np

from astrid_assets.difference.matching import on_reference
from astrid_resources.images import Image, NoWork


class NoOverlapError(NoWork):
    """The reference does not cover the science image."""


def require_overlap(science: Image, reference: Image, *, fraction_min: float) -> None:
    """Raise NoOverlapError where a coarse grid of science pixels misses the reference."""
    ny, nx = science.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 16), np.linspace(0, ny - 1, 16))
    u, v = on_reference(science, reference, x.ravel(), y.ravel()).T
    inside = (u >= 0) & (v >= 0) & (u < reference.shape[1]) & (v < reference.shape[0])
    if not inside.any():
        raise no_overlap(0.0, fraction_min)


def no_overlap(coverage: float, fraction_min: float) -> NoOverlapError:
    """Return the outcome of a reference that covers the share `coverage` of the science image."""
    return NoOverlapError(
        f"the reference covers {coverage:.1%} of the science image, {fraction_min:.0%} are needed",
        coverage_fraction=coverage,
        coverage_fraction_min=fraction_min,
    )
