"""One exposure's circumstances: detector, pointing, seeing, sky, defects. And its PSF and WCS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray

from astrid_resources.images import ImageMeta, PSFModel
from astrid_resources.images.psf import polynomial_terms

Floats = NDArray[np.float64]
Position = float | NDArray[np.float64]
_STAMP_RADIUS_FWHM = 5.0


@dataclass(frozen=True)
class Epoch:
    """How the sky is seen once.

    The effective PSF (optics, air and pixel together) is a Moffat profile taken at pixel centres.
    ra_deg, dec_deg: the sky at the centre of the detector before `offset_pix`.
    rotation_deg: of the detector, north through east; offset_pix: dither (x, y) of the sky.
    distortion_pix: radial cubic SIP distortion, displacement at the corner.
    wcs_error_pix: (x, y) by which the header's WCS places sources wrongly.
    fwhm_variation: the FWHM runs from (1 - v) to (1 + v) of `fwhm_pix` corner to corner.
    ellipticity: 1 - b/a of a constant elongation at `ellipticity_angle_deg` (x towards y);
        ellipticity_variation: amount that grows quadratically from 0 at the
        centre to the edges.
    zero_point_ab_mag: magnitude of one ADU in the whole exposure.
    sky_gradient: fraction by which the sky rises from one corner to the other.
    cosmic_rays_per_mpix, bad_columns, satellite_trails: numbers of defects.
    noisy_quarter_factor: factor on the noise in the quarter x < nx/2, y < ny/2 (a bad amplifier).
    """

    shape: tuple[int, int] = (1024, 1024)
    ra_deg: float = 150.0
    dec_deg: float = 2.2
    pixel_scale_arcsec: float = 0.262
    rotation_deg: float = 0.0
    offset_pix: tuple[float, float] = (0.0, 0.0)
    distortion_pix: float = 0.0
    wcs_error_pix: tuple[float, float] = (0.0, 0.0)
    fwhm_pix: float = 3.5
    moffat_beta: float = 3.5
    fwhm_variation: float = 0.0
    ellipticity: float = 0.0
    ellipticity_angle_deg: float = 0.0
    ellipticity_variation: float = 0.0
    gain_e_per_adu: float = 1.5
    read_noise_e: float = 6.0
    sky_adu: float = 600.0
    sky_gradient: float = 0.0
    zero_point_ab_mag: float = 30.0
    saturation_adu: float = 50000.0
    exposure_time_s: float = 60.0
    mjd_mid_tai: float = 58334.2
    filter_band: str = "r"
    cosmic_rays_per_mpix: float = 0.0
    bad_columns: int = 0
    satellite_trails: int = 0
    noisy_quarter_factor: float = 1.0

    @property
    def sky_sigma_adu(self) -> float:
        """Standard deviation of a blank pixel at the mean sky, ADU."""
        gain = self.gain_e_per_adu
        return float(np.sqrt(self.sky_adu * gain + self.read_noise_e**2) / gain)

    def flux_adu(self, magnitude_ab: Floats) -> Floats:
        """Return counts of the whole exposure for AB magnitudes; +inf mag gives 0."""
        return 10.0 ** (-0.4 * (np.asarray(magnitude_ab, float) - self.zero_point_ab_mag))

    def magnitude_ab(self, flux_adu: Floats) -> Floats:
        """Return AB magnitudes of positive counts."""
        return self.zero_point_ab_mag - 2.5 * np.log10(flux_adu)

    def magnitude_of_snr(self, snr: float) -> float:
        """Return the magnitude of a point source of sky-limited `snr` at the field centre."""
        area = self.psf_model().noise_equivalent_area_pix
        return float(self.magnitude_ab(np.asarray(snr * self.sky_sigma_adu * np.sqrt(area))))

    def wcs(self, *, is_true: bool = False) -> WCS:
        """Return the header's WCS (or the true one): TAN, with SIP where there is distortion."""
        ny, nx = self.shape
        wcs = WCS(naxis=2)
        centre = np.array([(nx + 1) / 2, (ny + 1) / 2]) + self.offset_pix
        wcs.wcs.crpix = centre + (0.0 if is_true else np.asarray(self.wcs_error_pix))
        wcs.wcs.crval = [self.ra_deg, self.dec_deg]
        turn = np.radians(self.rotation_deg)
        scale = self.pixel_scale_arcsec / 3600
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        wcs.wcs.cd = rotation @ np.diag([-scale, scale])
        wcs.wcs.radesys = "ICRS"
        suffix = "-SIP" if self.distortion_pix else ""
        wcs.wcs.ctype = ["RA---TAN" + suffix, "DEC--TAN" + suffix]
        if self.distortion_pix:
            k = self.distortion_pix / np.hypot(nx / 2, ny / 2) ** 3
            a, b = np.zeros((4, 4)), np.zeros((4, 4))
            a[3, 0] = a[1, 2] = b[0, 3] = b[2, 1] = k
            wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
        wcs.pixel_shape = (nx, ny)
        wcs.wcs.set()
        return wcs

    def psf_shape(self, x: Position, y: Position) -> Floats:
        """Return Moffat parameters at positions: rows (alpha, cxx, cxy, cyy), shape (n, 4).

        q = (cxx dx^2 + 2 cxy dx dy + cyy dy^2) / alpha^2 is the squared elliptical radius.
        """
        ny, nx = self.shape
        u = 2 * np.asarray(x, float) / max(nx - 1, 1) - 1
        v = 2 * np.asarray(y, float) / max(ny - 1, 1) - 1
        fwhm = self.fwhm_pix * (1 + self.fwhm_variation * (u + v) / 2)
        angle = 2 * np.radians(self.ellipticity_angle_deg)
        e1 = self.ellipticity * np.cos(angle) + self.ellipticity_variation * (u**2 - v**2)
        e2 = self.ellipticity * np.sin(angle) + self.ellipticity_variation * 2 * u * v
        e = np.minimum(np.hypot(e1, e2), 0.9)
        theta = np.arctan2(e2, e1) / 2
        major, minor = 1 / np.sqrt(1 - e), np.sqrt(1 - e)
        c, s = np.cos(theta), np.sin(theta)
        alpha = fwhm / (2 * np.sqrt(2 ** (1 / self.moffat_beta) - 1))
        cxx = (c / major) ** 2 + (s / minor) ** 2
        cyy = (s / major) ** 2 + (c / minor) ** 2
        cxy = c * s * (major**-2 - minor**-2)
        return np.stack(np.broadcast_arrays(alpha, cxx, cxy, cyy), axis=-1)

    def psf_stamp(
        self, x: float, y: float, *, radius: int, dx: float = 0.0, dy: float = 0.0
    ) -> Floats:
        """Return the true PSF at (x, y), centred (dx, dy) off the centre of the stamp.

        (2 radius + 1)^2 pixels of a profile whose infinite sum is 1: not normalised to the stamp.
        """
        alpha, cxx, cxy, cyy = self.psf_shape(x, y)
        j, i = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
        i, j = i - dx, j - dy
        q = (cxx * i**2 + 2 * cxy * i * j + cyy * j**2) / alpha**2
        beta = self.moffat_beta
        return (beta - 1) / (np.pi * alpha**2) * (1 + q) ** -beta

    def psf_model(self) -> PSFModel:
        """Return the true PSF as a model: constant, or a cubic in x, y fitted on a grid."""
        radius = int(np.ceil(_STAMP_RADIUS_FWHM * self.fwhm_pix * (1 + self.fwhm_variation)))
        ny, nx = self.shape
        if not (self.fwhm_variation or self.ellipticity_variation):
            stamp = self.psf_stamp((nx - 1) / 2, (ny - 1) / 2, radius=radius)
            return PSFModel.constant(stamp, shape=self.shape)
        order, grid = 3, np.linspace(-1, 1, 9)
        stamps, terms = [], []
        for v in grid:
            for u in grid:
                stamp = self.psf_stamp(
                    (u + 1) / 2 * (nx - 1), (v + 1) / 2 * (ny - 1), radius=radius
                )
                stamps.append((stamp / stamp.sum()).ravel())
                terms.append(polynomial_terms(u, v, order=order))
        fit = np.linalg.lstsq(np.array(terms), np.array(stamps), rcond=None)[0]
        size = 2 * radius + 1
        return PSFModel(fit.reshape(-1, size, size).astype(np.float32), order, self.shape)

    def meta(self) -> ImageMeta:
        """Return what a calibrated image of this epoch knows of itself."""
        return ImageMeta(
            gain_e_per_adu=self.gain_e_per_adu,
            read_noise_e=self.read_noise_e,
            saturation_adu=self.saturation_adu,
            exposure_time_s=self.exposure_time_s,
            mjd_mid_tai=self.mjd_mid_tai,
            filter_band=self.filter_band,
            survey="synthetic",
            zero_point_ab_mag=self.zero_point_ab_mag,
            sky_level_adu=self.sky_adu,
            is_synthetic=True,
        )
