"""Products say what was made; their data version follows content and nothing else."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid5

import pytest

from astrid_resources.identity import NAMESPACE
from astrid_resources.products import PartitionProducts, Product, StoredObject, Verdict

OBSERVATION = uuid5(NAMESPACE, "test")


def product(**changes) -> Product:
    fields = {
        "asset": "candidates",
        "product_id": "p",
        "observation_id": OBSERVATION,
        "objects": {"table": StoredObject("sha256/aa/x", "aax", 3)},
        "rows": {"candidates": ({"id": OBSERVATION, "flux": 1.0},)},
    }
    return Product(**{**fields, **changes})


def version(*products: Product) -> str:
    return PartitionProducts("candidates", None, "t", products).data_version


def test_data_version_follows_content_only():
    first, second = product(), product(product_id="q")
    assert version(first, second) == version(second, first)
    timed = product(rows={"candidates": ({"id": OBSERVATION, "flux": 1.0, "updated_at": None},)})
    assert version(timed) == version(first)
    for changed in (
        product(product_id="r"),
        product(objects={"table": StoredObject("sha256/bb/x", "bbx", 3)}),
        product(rows={"candidates": ({"id": OBSERVATION, "flux": 2.0},)}),
        product(verdict=Verdict.FAILED, reasons=("seeing",)),
    ):
        assert version(changed) != version(first)


def test_row_order_does_not_matter():
    rows = tuple({"id": uuid5(NAMESPACE, str(n)), "flux": float(n)} for n in range(3))
    one = product(rows={"candidates": rows})
    assert version(one) == version(product(rows={"candidates": rows[::-1]}))


def test_passed_leaves_out_failures_and_no_work():
    products = (
        product(),
        product(product_id="q", verdict="failed", reasons=("x",)),
        product(product_id="r", verdict="no_work", reasons=("no reference yet",)),
    )
    partition = PartitionProducts("candidates", None, "t", products)
    assert partition.passed == products[:1]
    assert partition.of_observation(OBSERVATION) is products[0]


def test_a_failure_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="gives no reason"):
        product(verdict=Verdict.NO_WORK)


def test_products_of_another_asset_are_refused():
    with pytest.raises(ValueError, match="handed over"):
        PartitionProducts("detections", None, None, (product(),))


def test_products_are_frozen():
    one = product()
    with pytest.raises(TypeError):
        one.rows["more"] = ()  # type: ignore[index]
    assert replace(one, product_id="q").rows_sha256 == one.rows_sha256
