"""Images into and out of the object store; what is not about bytes has no place here."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from astrid_resources.images import (
    DifferenceImage,
    Image,
    read_difference,
    read_image,
    write_difference,
    write_image,
)
from astrid_resources.objects import ObjectStore
from astrid_resources.products import PartitionProducts, Product, StoredObject

PREVIEW = "preview"
"""The role of the picture that a product is shown by in the UI."""
PREVIEWS_MAX = 5


def store_image(store: ObjectStore, image: Image) -> StoredObject:
    """Write `image` into the store; return its key, hash and size."""
    stream = io.BytesIO()
    write_image(image, stream)
    return store.put_bytes(stream.getvalue())


def store_difference(store: ObjectStore, difference: DifferenceImage) -> StoredObject:
    """Write `difference` into the store; return its key, hash and size."""
    stream = io.BytesIO()
    write_difference(difference, stream)
    return store.put_bytes(stream.getvalue())


def image_at(store: ObjectStore, key: str) -> Image:
    """Return the image stored under `key`, its bytes verified against their hash."""
    return read_image(io.BytesIO(store.get_bytes(key)))


def image_of(store: ObjectStore, product: Product, role: str = "image") -> Image:
    """Return an image of `product`, its bytes verified against their hash."""
    return image_at(store, product.objects[role].key)


def difference_of(store: ObjectStore, product: Product) -> DifferenceImage:
    """Return the difference image of `product`, its bytes verified against their hash."""
    return read_difference(io.BytesIO(store.get_bytes(product.objects["difference"].key)))


def previews_of(
    store: ObjectStore, products: PartitionProducts, *, labels: Mapping[Any, str]
) -> dict[str, bytes]:
    """Return the first `PREVIEWS_MAX` stored pictures by exposure, also of products taken over."""
    with_picture = [product for product in products.products if PREVIEW in product.objects]
    return {
        labels.get(product.observation_id, product.product_id[:12]): store.get_bytes(
            product.objects[PREVIEW].key
        )
        for product in with_picture[:PREVIEWS_MAX]
    }
