"""The object store: content-addressed files, written once, verified whenever they are read."""

from astrid_resources.objects.backends import (
    Backend,
    ListedObject,
    LocalFolder,
    UnfinishedUpload,
)
from astrid_resources.objects.errors import (
    CorruptObjectError,
    MissingObjectError,
    StoreUnwritableError,
)
from astrid_resources.objects.keys import is_object_key, object_key
from astrid_resources.objects.retries import Retries
from astrid_resources.objects.s3 import S3Bucket
from astrid_resources.objects.store import ObjectStore
from astrid_resources.products import StoredObject

__all__ = [
    "Backend",
    "CorruptObjectError",
    "ListedObject",
    "LocalFolder",
    "MissingObjectError",
    "ObjectStore",
    "Retries",
    "S3Bucket",
    "StoreUnwritableError",
    "StoredObject",
    "UnfinishedUpload",
    "is_object_key",
    "object_key",
]
