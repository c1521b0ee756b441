"""The object store: content-addressed files, written once, verified whenever they are read."""

from astrid_resources.objects.backends import Backend, LocalFolder, S3Bucket
from astrid_resources.objects.store import (
    CorruptObjectError,
    MissingObjectError,
    ObjectStore,
    object_key,
)
from astrid_resources.products import StoredObject

__all__ = [
    "Backend",
    "CorruptObjectError",
    "LocalFolder",
    "MissingObjectError",
    "ObjectStore",
    "S3Bucket",
    "StoredObject",
    "object_key",
]
