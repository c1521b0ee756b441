"""The PSF container: stamps times polynomials of the position on the image.

Fitting a PSF is the business of `astrid_assets.imaging`; this is only what is stored and evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_OVERSAMPLING = 9


def polynomial_terms(
    x: float | NDArray[np.float64], y: float | NDArray[np.float64], *, order: int
) -> NDArray[np.float64]:
    """Return the terms x^i y^j, i + j <= order, of normalised positions; shape (n_terms, ...)."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    return np.stack([x**i * y**j for i in range(order + 1) for j in range(order + 1 - i)])


@dataclass(frozen=True)
class PSFModel:
    """A point-spread function that may vary over the image.

    stamps: float32 (n_terms, n, n), n odd, the centre of the PSF on pixel (n // 2, n // 2).
    order: polynomial order of the variation; n_terms = (order + 1)(order + 2) / 2.
    shape: (ny, nx) of the image it belongs to, in which positions are normalised to [-1, 1].
    """

    stamps: NDArray[np.float32] = field(repr=False)
    order: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        n_terms = (self.order + 1) * (self.order + 2) // 2
        size = self.stamps.shape[-1]
        if self.stamps.ndim != 3 or self.stamps.shape != (n_terms, size, size) or size % 2 == 0:
            raise ValueError(
                f"PSF stamps of order {self.order} must have shape ({n_terms}, n, n) with n odd, "
                f"got {self.stamps.shape}"
            )
        if not np.isfinite(self.stamps).all():
            raise ValueError("PSF stamps must be finite")

    @classmethod
    def constant(cls, stamp: NDArray[np.floating], *, shape: tuple[int, int]) -> PSFModel:
        """Return the model of one PSF `stamp` (n, n) for the whole image; it is normalised."""
        total = float(np.sum(stamp, dtype=float))
        if not np.isfinite(total) or total <= 0:
            raise ValueError(f"a PSF stamp must have a positive finite sum, got {total}")
        return cls(np.asarray(stamp / total, np.float32)[None], 0, shape)

    @property
    def size(self) -> int:
        """Edge length of a stamp, pixels (odd)."""
        return int(self.stamps.shape[-1])

    def at(self, x: float, y: float) -> NDArray[np.float32]:
        """Return the PSF at pixel position (x, y), 0-based: a stamp (n, n) with sum 1."""
        ny, nx = self.shape
        terms = polynomial_terms(
            2 * x / max(nx - 1, 1) - 1, 2 * y / max(ny - 1, 1) - 1, order=self.order
        )
        stamp = np.tensordot(terms, self.stamps.astype(float), axes=1)
        return (stamp / stamp.sum()).astype(np.float32)

    @property
    def centre(self) -> NDArray[np.float32]:
        """The PSF at the centre of the image."""
        return self.at((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)

    @cached_property
    def fwhm_pix(self) -> float:
        """FWHM at the centre of the image: 2 sqrt(area above half maximum / pi), pixels.

        The area is counted on a band-limited (Fourier) interpolation of the stamp.
        """
        n = self.size
        spectrum = np.fft.fftshift(np.fft.fft2(self.centre.astype(float)))
        pad = (_OVERSAMPLING - 1) * n // 2
        fine = np.fft.ifft2(np.fft.ifftshift(np.pad(spectrum, pad))).real
        scale = fine.shape[0] / n
        return float(2 * np.sqrt((fine > fine.max() / 2).sum() / np.pi) / scale)

    @cached_property
    def noise_equivalent_area_pix(self) -> float:
        """1 / sum(PSF^2) at the centre, pixels: blank-sky flux variance over pixel variance."""
        return float(1 / np.sum(self.centre.astype(float) ** 2))
