"""The IO manager inside Dagster: round trip for every kind of partition, objects before rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import Database, ProductRow
from astrid_resources.io_managers import ProductsIOManager
from astrid_resources.objects import MissingObjectError, ObjectStore, object_key
from astrid_resources.products import PartitionProducts, Product, StoredObject
from astrid_tests.resources.rows import NIGHT, TILE, add_observations, difference_product

NIGHTS = dg.DailyPartitionsDefinition("2018-08-01", end_date="2018-08-10")
TILES = dg.StaticPartitionsDefinition([TILE])
BOTH = dg.MultiPartitionsDefinition({"night": NIGHTS, "tile": TILES})
KEY = dg.MultiPartitionKey({"night": NIGHT.isoformat(), "tile": TILE})

pytestmark = pytest.mark.filterwarnings(
    "ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning"
)


@pytest.fixture
def resources(database: Database, database_url: str, tmp_path: Path) -> dict[str, Any]:
    database_resource = DatabaseResource(url=database_url)
    objects = ObjectStoreResource(url=(tmp_path / "objects").as_uri())
    with database.session() as session:
        add_observations(session, "a")
    return {"io_manager": ProductsIOManager(database=database_resource, objects=objects)}


def store_of(tmp_path: Path) -> ObjectStore:
    return ObjectStore.from_url((tmp_path / "objects").as_uri())


def materialize(
    assets: Sequence[Any], resources: dict[str, Any], partition_key: str | None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(list(assets), resources=resources, partition_key=partition_key)


@pytest.mark.parametrize(
    ("definition", "key", "night", "tile"),
    [
        (BOTH, KEY, NIGHT, TILE),
        (TILES, TILE, None, TILE),
        (NIGHTS, "2018-08-03", NIGHT, None),
        (None, None, None, None),
    ],
)
def test_round_trip_of_every_kind_of_partition(
    database: Database,
    resources: dict[str, Any],
    tmp_path: Path,
    definition: Any,
    key: str | None,
    night: date | None,
    tile: str | None,
):
    stored = store_of(tmp_path).put_bytes(b"pixels")
    seen: list[PartitionProducts] = []

    @dg.asset(partitions_def=definition)
    def first() -> PartitionProducts:
        product = Product("first", "p1", objects={"image": stored}, metrics={"n": 3})
        return PartitionProducts("first", night, tile, (product,))

    @dg.asset(partitions_def=definition)
    def second(first: PartitionProducts) -> PartitionProducts:
        seen.append(first)
        return PartitionProducts("second", night, tile, ())

    result = materialize([first, second], resources, key)
    assert result.success
    (loaded,) = seen
    assert (loaded.night, loaded.tile) == (night, tile)
    assert loaded.products[0].objects["image"] == stored
    (event,) = result.asset_materializations_for_node("first")
    assert event.metadata["rows_inserted"].value == 1
    with database.read() as session:
        row = session.scalars(sa.select(ProductRow)).one()
        assert (row.night, row.tile, row.metrics) == (night, tile, {"n": 3})


def test_rows_come_back_with_the_products(
    database: Database, resources: dict[str, Any], tmp_path: Path
):
    with database.session() as session:
        (one,) = add_observations(session, "a")
    stored = store_of(tmp_path).put_bytes(b"difference")
    made = difference_product(one, n_candidates=2)
    made = Product(
        made.asset, made.product_id, one, {"difference": stored}, rows=made.rows, inputs=made.inputs
    )
    handed = PartitionProducts("difference_images", NIGHT, TILE, (made,))
    seen: list[PartitionProducts] = []

    @dg.asset(partitions_def=BOTH)
    def difference_images() -> PartitionProducts:
        return handed

    @dg.asset(partitions_def=BOTH)
    def candidates(difference_images: PartitionProducts) -> PartitionProducts:
        seen.append(difference_images)
        return PartitionProducts("candidates", NIGHT, TILE)

    for _ in range(2):
        result = materialize([difference_images, candidates], resources, KEY)
    (event,) = result.asset_materializations_for_node("difference_images")
    changed = [event.metadata[f"rows_{what}"].value for what in ("inserted", "updated", "deleted")]
    assert changed == [0, 0, 0]
    assert seen[0].data_version == seen[1].data_version == handed.data_version
    assert len(seen[0].products[0].rows["candidates"]) == 2


def test_nothing_is_committed_before_its_objects_are_stored(
    database: Database, resources: dict[str, Any]
):
    lost = StoredObject(object_key("0" * 64), "0" * 64, 1)

    @dg.asset
    def first() -> PartitionProducts:
        return PartitionProducts("first", None, None, (Product("first", "p", objects={"i": lost}),))

    with pytest.raises(MissingObjectError, match="stored before the commit"):
        materialize([first], resources, None)
    with database.read() as session:
        assert session.scalars(sa.select(ProductRow)).all() == []


def test_the_event_follows_the_commit(
    database: Database, resources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    from astrid_resources.io_managers import products

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("lost while committing")

    monkeypatch.setattr(products, "replace_partition", interrupted)

    @dg.asset
    def first() -> PartitionProducts:
        return PartitionProducts("first", None, None, (Product("first", "p"),))

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [first], resources=resources, instance=instance, raise_on_error=False
        )
        assert not result.success
        assert instance.get_latest_materialization_event(dg.AssetKey("first")) is None


@pytest.mark.parametrize(
    "handed",
    [
        PartitionProducts("first", None, TILE),
        PartitionProducts("first", date(2018, 8, 4), TILE),
        PartitionProducts("another", NIGHT, TILE),
        [],
    ],
)
def test_products_of_another_partition_are_refused(resources: dict[str, Any], handed: Any):
    @dg.asset(partitions_def=BOTH)
    def first() -> Any:
        return handed

    with pytest.raises((ValueError, TypeError), match=r"first|PartitionProducts"):
        materialize([first], resources, KEY)


def test_several_partitions_at_once_are_refused(resources: dict[str, Any]):
    @dg.asset(partitions_def=NIGHTS)
    def first() -> PartitionProducts:
        return PartitionProducts("first", NIGHT, None)

    @dg.asset(
        ins={"first": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
    )
    def second(first: PartitionProducts) -> PartitionProducts:
        return PartitionProducts("second", None, None)

    with pytest.raises(ValueError, match="one partition at a time"):
        dg.materialize([first, second], resources=resources, selection=[second])


def test_secrets_are_not_part_of_dagsters_configuration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ASTRID_DATABASE_URL", "postgresql://astrid:hunter2@db/astrid")
    monkeypatch.setenv("ASTRID_S3_SECRET_ACCESS_KEY", "hunter2")
    manager = ProductsIOManager(database=DatabaseResource(), objects=ObjectStoreResource())
    assert "hunter2" not in repr(manager) + manager.model_dump_json()
