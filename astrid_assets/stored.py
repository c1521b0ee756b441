"""Images into and out of the object store; what is not about bytes has no place here."""

from __future__ import annotations

import io

from astrid_resources.images import (
    DifferenceImage,
    Image,
    read_difference,
    read_image,
    write_difference,
    write_image,
)
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Product, StoredObject


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
