"""The keys of objects: their content's sha256, and places in the quarantine."""

from __future__ import annotations

import re
import uuid

_KEY = re.compile(r"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")


def object_key(sha256: str) -> str:
    """Return the key of the object whose bytes have this sha256 (hex)."""
    key = f"sha256/{sha256[:2]}/{sha256}"
    sha256_of(key)
    return key


def is_object_key(text: str) -> bool:
    """Return whether `text` is the key of an object."""
    return _KEY.fullmatch(text) is not None


def sha256_of(key: str) -> str:
    """Return the sha256 that a key names; ValueError where it is no object's key."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"an object key reads sha256/ab/<64 hex digits>, got {key!r}")
    return match.group(2)


def quarantine_key(sha256: str) -> str:
    """Return a new key in the quarantine for a bad object that stood under `sha256`."""
    return f"quarantine/{sha256}.{uuid.uuid4().hex}"
