"""The one frozen image type, and the raw exposure it is made from.

Arrays are [y, x], float32 (mask uint32), C-contiguous, native byte order; they are marked
read-only, so that no stage can change what another one holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from astrid_resources.images.masks import MaskPlane
from astrid_resources.images.psf import PSFModel

if TYPE_CHECKING:
    from astropy.nddata import CCDData

FloatArray = NDArray[np.float32]
MaskArray = NDArray[np.uint32]


def settle(array: Any, dtype: type, name: str, shape: tuple[int, ...] | None = None) -> Any:
    """Return `array` as a read-only C-contiguous native array of `dtype` and the given shape."""
    out: NDArray[Any] = np.ascontiguousarray(array, dtype=dtype)
    if out is array and out.flags.writeable:
        out = out.view()
    if out.ndim != 2 or (shape is not None and out.shape != shape):
        raise ValueError(f"{name} must be 2-D of shape {shape or '(ny, nx)'}, got {out.shape}")
    out.flags.writeable = False
    return out


@dataclass(frozen=True)
class ImageMeta:
    """What is known of an image beside its pixels; None where it is not known.

    Counts are ADU of the whole exposure; times are mid-exposure.
    """

    gain_e_per_adu: float
    read_noise_e: float
    saturation_adu: float
    exposure_time_s: float | None = None
    mjd_mid_tai: float | None = None
    filter_band: str | None = None
    survey: str | None = None
    observation_id: str | None = None
    product_id: str | None = None
    zero_point_ab_mag: float | None = None
    zero_point_err: float | None = None
    sky_level_adu: float | None = None
    is_resampled: bool = False
    is_synthetic: bool = False


@dataclass(frozen=True)
class RawExposure:
    """One detector's exposure as it came: detrended counts with sky, cosmic rays and defects.

    data: float32 [y, x], ADU; NaN where the file has none.
    variance: float32 [y, x], ADU^2, or None where the file carries none.
    bad: bool [y, x], True where the file's own mask says bad, or None.
    is_sky_subtracted: the delivered frame has its sky removed, so its level is unknown.
    """

    data: FloatArray = field(repr=False)
    wcs: WCS = field(repr=False)
    meta: ImageMeta
    header: fits.Header = field(default_factory=fits.Header, repr=False)
    variance: FloatArray | None = field(default=None, repr=False)
    bad: NDArray[np.bool_] | None = field(default=None, repr=False)
    is_sky_subtracted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", settle(self.data, np.float32, "data"))
        shape = self.data.shape
        if self.variance is not None:
            variance = settle(self.variance, np.float32, "variance", shape)
            object.__setattr__(self, "variance", variance)
        if self.bad is not None:
            object.__setattr__(self, "bad", settle(self.bad, np.bool_, "bad", shape))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in pixels."""
        return self.data.shape


@dataclass(frozen=True)
class Image:
    """A calibrated image: `data` (ADU, sky removed), `variance` (ADU^2), `mask` (named planes).

    data and variance are finite everywhere: what was not measured is 0 in `data`, holds the local
    sky variance in `variance`, and has its plane set in `mask`.
    """

    data: FloatArray = field(repr=False)
    variance: FloatArray = field(repr=False)
    mask: MaskArray = field(repr=False)
    wcs: WCS = field(repr=False)
    meta: ImageMeta
    psf: PSFModel | None = field(default=None, repr=False)
    header: fits.Header = field(default_factory=fits.Header, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", settle(self.data, np.float32, "data"))
        shape = self.data.shape
        variance = settle(self.variance, np.float32, "variance", shape)
        object.__setattr__(self, "variance", variance)
        object.__setattr__(self, "mask", settle(self.mask, np.uint32, "mask", shape))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in pixels."""
        return self.data.shape

    def with_(self, **changes: Any) -> Image:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)

    def to_ccddata(self) -> CCDData:
        """Return an astropy `CCDData` in adu; its boolean mask is True where any plane is set."""
        from astropy.nddata import CCDData, VarianceUncertainty

        return CCDData(
            self.data.copy(),
            unit="adu",
            uncertainty=VarianceUncertainty(self.variance.copy()),
            mask=self.mask != 0,
            wcs=self.wcs,
            meta=dict(self.header),
        )

    @classmethod
    def from_ccddata(cls, ccd: CCDData, *, meta: ImageMeta, psf: PSFModel | None = None) -> Image:
        """Return the image held by `ccd`; masked and non-finite pixels become BAD."""
        from astropy.nddata import StdDevUncertainty, VarianceUncertainty

        if ccd.uncertainty is None or ccd.wcs is None:
            raise ValueError("a CCDData needs an uncertainty and a wcs to become an Image")
        uncertainty = ccd.uncertainty
        if not isinstance(uncertainty, (StdDevUncertainty, VarianceUncertainty)):
            raise ValueError(f"uncertainty must be std or variance, got {type(uncertainty)}")
        variance = np.asarray(uncertainty.represent_as(VarianceUncertainty).array, np.float32)
        data = np.asarray(ccd.data, np.float32)
        bad = ~np.isfinite(data) | ~np.isfinite(variance)
        if ccd.mask is not None:
            bad |= np.asarray(ccd.mask, bool)
        sky = float(np.median(variance[~bad])) if (~bad).any() else 1.0
        return cls(
            np.where(np.isfinite(data), data, 0),
            np.where(np.isfinite(variance), variance, sky),
            np.where(bad, np.uint32(MaskPlane.BAD.flag), np.uint32(0)),
            ccd.wcs,
            meta,
            psf=psf,
        )
