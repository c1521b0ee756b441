"""What people said, as training samples: their split by sky and night, and what stands for truth.

Pure functions of arrays; reading labels and cutouts stands in `human_labels.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from astrid_assets.catalog.association import DetectionArrays, associate
from astrid_assets.detections.cutouts import CutoutSettings
from astrid_assets.training.labels import LabelSettings
from astrid_assets.training.samples import fold_of_night, pack_masks

Floats = NDArray[np.float64]

KIND = "human"
"""What `kind` says of samples that people labelled."""
_FIRST_CELL = 1_000_000


@dataclass(frozen=True)
class LabelledSettings:
    """Which labels join, and what on the sky is one thing.

    levels: how sure a validator must be. match_arcsec: a label belongs to the nearest present
    candidate of its exposure within this. object_radius_arcsec: labels closer than this are of one
    object. cell_order: HEALPix order of the sky cells that are the split's units (8: 0.23 degrees).
    """

    levels: tuple[str, ...] = ("medium", "high", "expert")
    match_arcsec: float = 1.0
    object_radius_arcsec: float = 2.0
    cell_order: int = 8


@dataclass(frozen=True)
class Split:
    """For each of n labels: its sky cell, night and object as numbers, and whether it may join.

    A label joins where cell and night fall into the same fold: then neither its object nor its
    night stands on two sides of the split. No number is one of the synthetic sky's.
    """

    sky_field: NDArray[np.int64] = field(repr=False)
    night: NDArray[np.int64] = field(repr=False)
    source: NDArray[np.int64] = field(repr=False)
    is_kept: NDArray[np.bool_] = field(repr=False)


def split_labels(
    ra: Floats,
    dec: Floats,
    mjd: Floats,
    nights: Sequence[date],
    *,
    settings: LabelledSettings | None = None,
) -> Split:
    """Return the split of n labels at ra, dec (ICRS degrees), mjd (days, TAI), taken on `nights`.

    An object near a cell's border belongs to the cell of its earliest label, wherever the others
    lie. The same function decides the fold of nights as for synthetic fields.
    """
    from astropy import units
    from astropy_healpix import lonlat_to_healpix

    settings = settings or LabelledSettings()
    n = len(ra)
    ids = tuple(f"{i:09d}" for i in range(n))
    arrays = DetectionArrays(ids, ra, dec, mjd, np.zeros(n))
    own = lonlat_to_healpix(
        np.asarray(ra, float) * units.deg,
        np.asarray(dec, float) * units.deg,
        2**settings.cell_order,
        order="nested",
    )
    cell, source = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for number, group in enumerate(associate(arrays, radius_arcsec=settings.object_radius_arcsec)):
        members = [int(identity) for identity in group.ids]
        cell[members], source[members] = own[members[0]], number
    night = np.array([day.toordinal() for day in nights], np.int64)
    kept = [
        fold_of_night(int(c)) == fold_of_night(int(d)) for c, d in zip(cell, night, strict=True)
    ]
    return Split(_FIRST_CELL + cell, night, source, np.array(kept, bool))


def centre_masks(
    is_real: NDArray[np.bool_],
    *,
    fwhm_pix: Floats,
    cutouts: CutoutSettings,
    labels: LabelSettings | None = None,
) -> NDArray[np.uint8]:
    """Return packed masks of n cutouts: where a point source at the centre is, none of bogus.

    fwhm_pix: (n,) of the difference. A person marks no pixels: a source counts as a point.
    """
    labels = labels or LabelSettings()
    size = cutouts.size_pix
    yy, xx = np.mgrid[:size, :size] - (size - 1) / 2
    scale = np.array([cutouts.scale(float(value)) for value in fwhm_pix])
    radius = labels.mask_fwhm * np.asarray(fwhm_pix, float) / np.maximum(scale, 1e-9)
    masks = np.hypot(xx, yy)[None] <= radius[:, None, None]
    return pack_masks(masks & np.asarray(is_real, bool)[:, None, None])
