"""Which algorithms there are, and what each makes of an aligned pair before the shared filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from astrid_assets.difference.alard_lupton.fit import KernelSettings, fit_kernel
from astrid_assets.difference.alard_lupton.solution import KernelSolution
from astrid_assets.difference.kernels import Scheme
from astrid_assets.difference.levels import on_one_scale
from astrid_assets.difference.matching import StarMatch
from astrid_resources.images import Algorithm, Image


@dataclass(frozen=True)
class Plan:
    """How a pair is subtracted.

    reference: on the science grid, its flux scale that of the field's centre everywhere.
    scheme_at: the scheme at pixel (x, y). order: of its variation over the field, 0 for none.
    model_error: fraction of a star that the matching leaves, beyond noise.
    kernel: the fitted kernel; None for ZOGY, whose kernels are the PSFs.
    """

    reference: Image
    scheme_at: Callable[[float, float], Scheme] = field(repr=False)
    order: int
    model_error: float
    kernel: KernelSolution | None


def plan(
    algorithm: Algorithm, science: Image, aligned: Image, match: StarMatch, settings: KernelSettings
) -> Plan:
    """Return the plan of `algorithm` for a reference that lies on the science grid.

    A kernel that `match` holds already is used as it is, else it is fitted at the match's stars.
    Raises ValueError without a PSF on both images, and TooFewKernelStarsError.
    """
    psf, psf_reference = science.psf, aligned.psf
    if psf is None or psf_reference is None:
        raise ValueError("a subtraction needs a PSF on both images")
    reference = on_one_scale(aligned, match.log_flux_ratio)
    if algorithm == "zogy":
        return Plan(
            reference,
            lambda x, y: Scheme.zogy(psf.at(x, y), psf_reference.at(x, y), match.flux_ratio),
            max(psf.order, psf_reference.order),
            match.psf_error,
            None,
        )
    solution = match.kernel or fit_kernel(
        science,
        reference,
        match.x,
        match.y,
        flux_ratio=match.flux_ratio,
        flux_ratio_error=match.flux_ratio_error,
        settings=settings,
    )
    return Plan(
        reference,
        lambda x, y: solution.scheme(psf.at(x, y), solution.at(x, y, science.shape)),
        max(psf.order, solution.order),
        solution.misfit,
        solution,
    )
