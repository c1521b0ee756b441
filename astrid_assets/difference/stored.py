"""A subtraction into the object store, and read back from its product as it was made."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astrid_assets.difference.alard_lupton.solution import KernelSolution
from astrid_assets.difference.metrics import Quality, SubtractionMetrics
from astrid_assets.difference.subtract import Subtraction
from astrid_assets.stored import difference_of, image_of, store_difference, store_image
from astrid_resources.images.fits_form import array_hdu, open_verified, wcs_cards, write_hdus
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Product, StoredObject

OTHER_SCORE = "other_score"
"""The role of the score map of the second algorithm, where one ran."""


def store_subtraction(store: ObjectStore, made: Subtraction) -> dict[str, StoredObject]:
    """Write what a subtraction made into the store; return its objects by role."""
    objects = {
        "difference": store_difference(store, made.difference),
        "reference_on_science": store_image(store, made.reference_on_science),
    }
    if made.other_score is not None:
        stream = io.BytesIO()
        cards = wcs_cards(made.difference.image.wcs)
        hdu = array_hdu(made.other_score, "SCORE", header=cards)
        write_hdus([hdu], stream, primary=fits.Header())
        objects[OTHER_SCORE] = store.put_bytes(stream.getvalue())
    return objects


def other_score_of(store: ObjectStore, product: Product) -> NDArray[np.float32] | None:
    """Return the second algorithm's score map of a product, None where none ran."""
    if OTHER_SCORE not in product.objects:
        return None
    with open_verified(io.BytesIO(store.get_bytes(product.objects[OTHER_SCORE].key))) as hdus:
        return np.ascontiguousarray(hdus["SCORE"].data, np.float32)


def stored_subtraction(store: ObjectStore, product: Product) -> Subtraction:
    """Return the subtraction of a product of `difference_images`."""
    names = {field.name for field in fields(SubtractionMetrics)}
    metrics = {name: _tupled(value) for name, value in product.metrics.items() if name in names}
    if metrics.get("kernel") is not None:
        kernel = {name: _tupled(value) for name, value in metrics["kernel"].items()}
        metrics["kernel"] = KernelSolution(**kernel)
    return Subtraction(
        difference_of(store, product),
        image_of(store, product, "reference_on_science"),
        SubtractionMetrics(**metrics),
        Quality(product.has_passed, product.reasons),
        other_score_of(store, product),
    )


def _tupled(value: Any) -> Any:
    """Return a list of JSON as the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value
