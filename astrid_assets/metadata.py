"""What people read in the Dagster UI of an asset's products: tables, numbers and pictures."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from astrid_resources.products import PartitionProducts

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def picture(png: bytes, *, title: str) -> str:
    """Return `png` as Markdown that the UI shows without any file beside it.

    title: any text; it is shown as it is, and never read as Markdown or HTML.
    """
    text = html.escape(_MARKDOWN.sub(r"\\\1", title))
    return f"**{text}**\n\n![{text}](data:image/png;base64,{base64.b64encode(png).decode()})"


def pictures(named: Mapping[str, bytes], *, name: str = "previews") -> dict[str, dg.MetadataValue]:
    """Return one Markdown entry with the pictures, in their order; nothing where there are none."""
    if not named:
        return {}
    text = "\n\n".join(picture(png, title=title) for title, png in named.items())
    return {name: dg.MetadataValue.md(text)}


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Return `rows` (equal keys) as a table of the UI; numbers keep four significant digits."""
    records = [dg.TableRecord({key: _shown(value) for key, value in row.items()}) for row in rows]
    columns = [dg.TableColumn(key, _column_type(key, rows)) for key in (rows[0] if rows else ())]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def products_metadata(
    products: PartitionProducts, *, labels: Mapping[Any, str], metrics: Sequence[str]
) -> dict[str, dg.MetadataValue]:
    """Return counts and a table of the products' verdicts and chosen metrics.

    labels: the exposure's name for people, by observation id.
    """
    verdicts = [product.verdict.value for product in products.products]
    entries: dict[str, dg.MetadataValue] = {
        "n_products": dg.MetadataValue.int(len(verdicts)),
        "n_passed": dg.MetadataValue.int(verdicts.count("passed")),
        "n_failed": dg.MetadataValue.int(verdicts.count("failed")),
        "n_no_work": dg.MetadataValue.int(verdicts.count("no_work")),
        "bytes": dg.MetadataValue.int(
            sum(stored.size for product in products.products for stored in product.objects.values())
        ),
    }
    if products.products:
        entries["exposures"] = table(
            [
                {
                    "exposure": labels.get(product.observation_id, product.product_id[:12]),
                    "verdict": product.verdict.value,
                    **{name: product.metrics.get(name) for name in metrics},
                    "reasons": "; ".join(product.reasons),
                }
                for product in products.products
            ]
        )
    return entries


def _shown(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, int):
        return value
    return str(value)


def _column_type(key: str, rows: Sequence[Mapping[str, Any]]) -> str:
    kinds = {type(_shown(row[key])) for row in rows if row[key] is not None}
    if kinds == {bool}:
        return "bool"
    return "float" if kinds and kinds <= {int, float} else "string"
