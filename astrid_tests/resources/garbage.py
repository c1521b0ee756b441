"""Garbage that tests may remove."""

from __future__ import annotations

from dataclasses import replace

from astrid_resources.integrity import Garbage
from astrid_resources.objects import LocalFolder, ObjectStore


def own(garbage: Garbage, store: ObjectStore) -> Garbage:
    """Return `garbage` without staging folders among the system's temporary files.

    Of a store on S3 these stand beside those of every other process of this user.
    """
    return garbage if isinstance(store.backend, LocalFolder) else replace(garbage, folders=())
