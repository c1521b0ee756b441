"""What goes wrong with stored objects: missing, damaged, or not taken."""

from __future__ import annotations

from typing import Any

MAKE_AGAIN = (
    "Run the partition (or the tile's reference) that made it again, or deliver the file again; "
    "`astrid verify --repair` names all that is to be run"
)


class MissingObjectError(LookupError):
    """There is no object under the key."""


class CorruptObjectError(RuntimeError):
    """The bytes of a stored object do not have the hash its key names."""

    def __init__(self, key: str, found_sha256: str, *, now_at: str = "") -> None:
        where = f" It is now in quarantine, as {now_at}." if now_at else ""
        super().__init__(
            f"object {key} is damaged: its bytes have sha256 {found_sha256}.{where} {MAKE_AGAIN}"
        )
        self.key, self.found_sha256, self.now_at = key, found_sha256, now_at

    def __reduce__(self) -> tuple[Any, ...]:
        return _corrupt, (self.key, self.found_sha256, self.now_at)


class StoreUnwritableError(RuntimeError):
    """The place that holds the objects takes no more: full, read-only, over its quota."""


def _corrupt(key: str, found_sha256: str, now_at: str) -> CorruptObjectError:
    return CorruptObjectError(key, found_sha256, now_at=now_at)
