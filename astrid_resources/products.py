"""What an asset hands over: its products with hashes, numbers, verdict and database rows.

Pixels are in the object store by the time a `Product` exists; here are names and numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from astrid_resources.identity import sha256_json, stable

Row = Mapping[str, Any]


class Verdict(StrEnum):
    """What became of one product of one exposure."""

    PASSED = "passed"
    FAILED = "failed"
    NO_WORK = "no_work"


@dataclass(frozen=True)
class StoredObject:
    """An object in the store: its key, the sha256 of its bytes, its size in bytes."""

    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Product:
    """One product of an asset, usually of one exposure, with everything that is committed for it.

    objects: stored objects by role ("image", "difference", ...).
    metrics: quality numbers; NaN is refused when committed, None says "not measured".
    reasons: why it failed or had no work, readable by a person; first word(s) a stable code.
    rows: database rows by table name; each has its deterministic `id`. night, tile, healpix29,
        timestamps and the manifest's id are filled in when committed.
    inputs: product ids (or content hashes) it was made from.
    rows_sha256: hash of `rows` without volatile columns; computed when not given.
    """

    asset: str
    product_id: str
    observation_id: UUID | None = None
    objects: Mapping[str, StoredObject] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict = Verdict.PASSED
    reasons: tuple[str, ...] = ()
    rows: Mapping[str, tuple[Row, ...]] = field(default_factory=dict, repr=False)
    code_version: str = ""
    inputs: tuple[str, ...] = ()
    rows_sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "verdict", Verdict(self.verdict))
        object.__setattr__(self, "reasons", tuple(self.reasons))
        object.__setattr__(self, "inputs", tuple(sorted(set(self.inputs))))
        if self.verdict is not Verdict.PASSED and not self.reasons:
            raise ValueError(
                f"product {self.product_id} of {self.asset} is {self.verdict.value} "
                f"and gives no reason: a person must be able to read why"
            )
        rows = {table: tuple(self.rows[table]) for table in sorted(self.rows) if self.rows[table]}
        object.__setattr__(self, "rows", MappingProxyType(rows))
        object.__setattr__(self, "objects", MappingProxyType(dict(self.objects)))
        object.__setattr__(self, "metrics", MappingProxyType(dict(self.metrics)))
        if not self.rows_sha256:
            digest = sha256_json(
                {
                    table: sorted((stable(row) for row in members), key=lambda row: str(row["id"]))
                    for table, members in rows.items()
                }
            )
            object.__setattr__(self, "rows_sha256", digest)

    @property
    def has_passed(self) -> bool:
        """Whether later stages may use it."""
        return self.verdict is Verdict.PASSED


class Partition(NamedTuple):
    """A night and tile; None where an asset's partitions have no such dimension."""

    night: date | None
    tile: str | None


@dataclass(frozen=True)
class PartitionProducts:
    """All products of one asset in one partition: what its IO manager commits and loads.

    night and tile are None where the asset's partitions have no such dimension.
    """

    asset: str
    night: date | None
    tile: str | None
    products: tuple[Product, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "products", tuple(self.products))
        for product in self.products:
            if product.asset != self.asset:
                raise ValueError(
                    f"a product of {product.asset!r} was handed over by {self.asset!r}"
                )

    @property
    def passed(self) -> tuple[Product, ...]:
        """The products later stages may use."""
        return tuple(product for product in self.products if product.has_passed)

    @property
    def data_version(self) -> str:
        """sha256 (hex) over product ids, object and row hashes and verdicts; order-independent."""
        return sha256_json(
            sorted(
                [
                    product.product_id,
                    str(product.observation_id or ""),
                    sorted([role, item.sha256] for role, item in product.objects.items()),
                    product.rows_sha256,
                    product.verdict.value,
                    list(product.reasons),
                ]
                for product in self.products
            )
        )

    def of_observation(self, observation_id: UUID) -> Product:
        """Return the one product of an observation; KeyError where there is none."""
        for product in self.products:
            if product.observation_id == observation_id:
                return product
        raise KeyError(f"{self.asset} has no product of observation {observation_id}")
