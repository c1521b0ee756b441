"""A subtraction read back from its product, as it was when it was made."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from astrid_assets.difference.alard_lupton.solution import KernelSolution
from astrid_assets.difference.metrics import Quality, SubtractionMetrics
from astrid_assets.difference.subtract import Subtraction
from astrid_assets.stored import difference_of, image_of
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Product


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
    )


def _tupled(value: Any) -> Any:
    """Return a list of JSON as the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value
