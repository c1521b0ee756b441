"""The manifest: which products exist, where their objects are, and what they were made from."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from astrid_resources.database import columns as col
from astrid_resources.database.base import Base, Identified, Timestamped
from astrid_resources.products import Verdict


class ProductRow(Identified, Timestamped, Base):
    """One product of an asset in a partition; what is not current is history."""

    __tablename__ = "products"
    __table_args__ = (
        sa.Index(None, "asset", "night", "tile", "is_current"),
        sa.Index(None, "night", "tile"),
        sa.Index(None, "observation_id", "asset"),
        sa.Index(None, "product_id"),
    )

    asset: Mapped[str] = col.text("asset that made it")
    night: Mapped[date | None] = mapped_column(
        sa.Date(),
        info={"description": "night of the partition", "unit": "", "ucd": "time.epoch"},
    )
    tile: Mapped[str | None] = col.text("tile of the partition")
    observation_id: Mapped[uuid.UUID | None] = col.refers_to(
        "observations.id", "exposure it was made of", on_delete="RESTRICT"
    )
    product_id: Mapped[str] = col.text("hash of code version, parameters and inputs", ucd="meta.id")
    code_version: Mapped[str] = col.text("version of the code that made it", default="")
    objects: Mapped[dict[str, Any]] = col.json("object key, sha256 and size by role")
    sha256: Mapped[str] = col.text("one hash over the objects by role")
    bytes: Mapped[int] = col.whole(
        "size of the objects together", unit="byte", interval=f"[0, {2**62}]"
    )
    metrics: Mapped[dict[str, Any]] = col.json("quality numbers")
    verdict: Mapped[Verdict] = col.choice(Verdict, "whether later stages may use it")
    reasons: Mapped[list[str]] = col.json("why it failed or had no work")
    rows_sha256: Mapped[str] = col.text("hash of its rows without volatile columns")
    is_current: Mapped[bool] = col.flag("false once its partition was replaced", default=True)
    stored_rows_sha256: Mapped[str | None] = col.text(
        "hash of its rows as they stand in the tables; null where an earlier version wrote them",
        sort_order=200,
    )
    withdrawn_at: Mapped[datetime | None] = col.instant(
        "when a repair found it damaged; null again once its partition was committed",
        sort_order=201,
    )


class ProductInput(Identified, Timestamped, Base):
    """An input of a product, by product id or content hash; id from (product row, input)."""

    __tablename__ = "product_inputs"
    __table_args__ = (
        sa.UniqueConstraint("product_row_id", "input_product_id"),
        sa.Index(None, "input_product_id"),
    )

    product_row_id: Mapped[uuid.UUID] = col.refers_to("products.id", "the product made of it")
    input_product_id: Mapped[str] = col.text("product id or content hash of the input")
