"""The row of `reference_images` that records a version, and why a version may not be promoted."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from astrid_assets.reference.coadd import Coadd
from astrid_assets.reference.inputs import ReferenceGroup, StoredInput
from astrid_resources.identity import row_id
from astrid_resources.products import Row, StoredObject

COVERAGE_MIN = 0.5


def reference_row_id(product_id: str) -> UUID:
    """Return the row id of the reference with this product id."""
    return row_id("reference_images", product_id)


def reference_row(
    product_id: str,
    group: ReferenceGroup,
    inputs: Sequence[StoredInput],
    reference: Coadd,
    stored: StoredObject,
    *,
    version: int,
) -> Row:
    """Return the row of a reference whose image is stored; it lists the inputs that took part."""
    used = [inputs[entry.index] for entry in reference.inputs]
    nights = sorted({entry.night for entry in used})
    ny, nx = reference.image.shape
    corners = [[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]]
    sky = reference.image.wcs.all_pix2world(corners, 0)
    return {
        "id": reference_row_id(product_id),
        "survey_id": group.survey_id,
        "filter_band": group.filter_band,
        "product_id": product_id,
        "input_observation_ids": sorted(str(entry.observation_id) for entry in used),
        "input_nights": [night.isoformat() for night in nights],
        "first_night": nights[0],
        "last_night": nights[-1],
        "n_inputs": reference.n_inputs,
        "image_path": stored.key,
        "content_sha256": stored.sha256,
        "footprint": [[float(ra) % 360, float(dec)] for ra, dec in sky],
        "limiting_mag_5sigma": reference.limiting_mag_5sigma,
        "limiting_flux_5sigma": reference.flux_limit_5sigma_adu,
        "psf_fwhm_pix": reference.psf_fwhm_pix,
        "coverage_fraction": reference.coverage_fraction,
        "version": version,
    }


def coverage_failures(reference: Coadd) -> tuple[str, ...]:
    """Return why the reference may not be promoted: too little of its own area holds data."""
    if reference.coverage_fraction >= COVERAGE_MIN:
        return ()
    found = reference.coverage_fraction
    return (f"coverage: {found:.2f} of its area holds data, {COVERAGE_MIN:.2f} are needed",)
