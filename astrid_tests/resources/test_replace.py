"""The commit of a partition: whole, repeatable to the byte, and never against a person's word."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import (
    Base,
    Candidate,
    Database,
    DifferenceRun,
    Observation,
    ProductRow,
    ValidationEvent,
    load_partition,
    replace_partition,
    upsert,
)
from astrid_resources.identity import UnstorableValueError, row_id
from astrid_resources.products import Product, Verdict
from astrid_tests.resources.rows import NIGHT, TILE, add_observations, difference_product

ASSET = "difference_images"


def commit(session: Session, *products: Product, **where: Any):
    place = {"asset": ASSET, "night": NIGHT, "tile": TILE, **where}
    return replace_partition(session, products=products, **place)


def everything(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: [tuple(row) for row in session.execute(sa.select(table).order_by(table.c.id))]
        for table in Base.metadata.sorted_tables
    }


def detection_rows(candidate: dict[str, Any], model_id: Any) -> dict[str, tuple[Any, ...]]:
    run_id = row_id("model_runs", candidate["observation_id"], "detections", str(model_id))
    return {
        "model_runs": (
            {
                "id": run_id,
                "model_id": model_id,
                "observation_id": candidate["observation_id"],
                "difference_run_id": candidate["difference_run_id"],
                "status": "completed",
            },
        ),
        "detections": (
            {
                "id": row_id("detections", candidate["id"], str(model_id)),
                "model_run_id": run_id,
                "candidate_id": candidate["id"],
                "observation_id": candidate["observation_id"],
                "ra": candidate["ra"],
                "dec": candidate["dec"],
                "pixel_x": 1.0,
                "pixel_y": 2.0,
                "confidence_score": 0.9,
                "model_version": "1",
            },
        ),
    }


def test_round_trip(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        product = difference_product(one, n_candidates=3)
        done = commit(session, product)
    assert (done.inserted, done.updated, done.deleted) == (6, 0, 0)
    with database.read() as session:
        loaded = load_partition(session, asset=ASSET, night=NIGHT, tile=TILE)
    (back,) = loaded.products
    assert back.objects == product.objects
    assert dict(back.metrics) == dict(product.metrics)
    assert back.inputs == product.inputs
    assert [row["rank"] for row in back.rows["candidates"]] == [0, 1, 2]
    assert back.rows["difference_runs"][0]["parameters"] == {
        "tiny": 1e-7,
        "huge": 1e16,
        "text": "ü",
    }
    from astrid_resources.products import PartitionProducts

    given = PartitionProducts(ASSET, NIGHT, TILE, (product,))
    assert loaded.data_version == given.data_version


def test_an_equal_partition_changes_no_byte_of_any_row(database: Database):
    with database.session() as session:
        one, two = add_observations(session, "a", "b")
        products = [difference_product(one, n_candidates=2), difference_product(two)]
        commit(session, *products)
    with database.read() as session:
        before = everything(session)
    run = {**products[0].rows["difference_runs"][0], "processing_time_seconds": 99.0}
    slower = replace(
        products[0],
        rows={**products[0].rows, "difference_runs": (run,)},
        metrics={"score_std": 1.02, "processing_time_seconds": 77.0},
    )
    with database.session() as session:
        done = commit(session, products[1], slower)
    assert (done.inserted, done.updated, done.deleted, done.superseded) == (0, 0, 0, 0)
    with database.read() as session:
        assert everything(session) == before


def test_what_vanished_is_deleted_and_the_manifest_keeps_history(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        commit(session, difference_product(one, n_candidates=3))
    with database.session() as session:
        fewer = replace(
            difference_product(one, n_candidates=1), product_id="second", rows_sha256=""
        )
        done = commit(session, fewer)
        assert (done.deleted, done.superseded) == (2, 0)
        rows = session.scalars(sa.select(ProductRow)).all()
        assert {row.product_id: row.is_current for row in rows} == {
            f"product-{one}": False,
            "second": True,
        }
        assert len(session.scalars(sa.select(Candidate)).all()) == 1
        commit(session)
        assert session.scalars(sa.select(Candidate)).all() == []
        assert session.scalars(sa.select(DifferenceRun)).all() == []


def test_a_change_of_a_value_is_written(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        commit(session, difference_product(one, n_candidates=2))
        changed = difference_product(one, n_candidates=2, flux=101.0)
        done = commit(session, changed)
        assert (done.inserted, done.updated) == (0, 3)
        assert set(session.scalars(sa.select(Candidate.flux))) == {101.0}


def test_what_a_person_spoke_of_is_superseded_not_deleted(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        product = difference_product(one, n_candidates=2)
        commit(session, product)
        model_id = row_id("models", "unet", "m")
        model = {
            "id": model_id,
            "name": "unet",
            "version": "1",
            "model_type": "unet",
            "model_path": "k",
            "content_sha256": "m",
        }
        upsert(session, "models", [model])
        candidate = product.rows["candidates"][0]
        rows = detection_rows(dict(candidate), model_id)
        detections = Product("detections", "d", one, rows=rows)
        commit(session, detections, asset="detections")
        detection_id = rows["detections"][0]["id"]
        session.add(
            ValidationEvent(
                detection_id=detection_id,
                ra=318.1,
                dec=-66.0,
                mjd_mid=58334.0,
                validator_id="ada",
                is_valid=True,
                label="supernova",
                confidence_level="expert",
            )
        )
    with database.session() as session:
        done = commit(session)
        assert (done.deleted, done.superseded) == (1, 2)
        kept = session.scalars(sa.select(Candidate)).one()
        assert (kept.id, kept.is_superseded) == (candidate["id"], True)
        loaded = load_partition(session, asset=ASSET, night=NIGHT, tile=TILE)
        assert loaded.products == ()
        label = session.execute(
            sa.text("SELECT human_label, is_validated, human_is_valid FROM labelled_detections")
        ).one()
        assert tuple(label) == ("supernova", True, True)
    with database.session() as session:
        done = commit(session, product)
        assert done.superseded == 0
        found = session.scalars(sa.select(Candidate.is_superseded)).all()
        assert found == [False, False]


def test_a_review_is_not_undone_by_a_new_commit(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        product = difference_product(one, n_candidates=1)
        commit(session, product)
        model_id = row_id("models", "unet", "m")
        model = {
            "id": model_id,
            "name": "unet",
            "version": "1",
            "model_type": "unet",
            "model_path": "k",
            "content_sha256": "m",
        }
        upsert(session, "models", [model])
        rows = detection_rows(dict(product.rows["candidates"][0]), model_id)
        commit(session, Product("detections", "d", one, rows=rows), asset="detections")
        session.execute(sa.text("UPDATE detections SET status = 'confirmed'"))
        better = {**rows["detections"][0], "confidence_score": 0.95, "status": "pending"}
        rows = {**rows, "detections": (better,)}
        commit(session, Product("detections", "d", one, rows=rows), asset="detections")
        found = session.execute(sa.text("SELECT status, confidence_score FROM detections")).one()
        assert tuple(found) == ("confirmed", 0.95)


def test_an_exposure_that_moves_to_another_night_is_in_one_partition_only(database: Database):
    other = date(2016, 8, 17)
    with database.session() as session:
        (one,) = add_observations(session, "a")
        product = difference_product(one, n_candidates=2)
        commit(session, product)
        commit(session, product, night=other)
        done = commit(session)
        assert done.deleted == 0
        assert set(session.scalars(sa.select(Candidate.night))) == {other}
        assert session.scalars(sa.select(ProductRow.night)).all() == [other]


def test_products_of_no_work_are_kept_with_their_reason(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        product = Product(ASSET, "p", one, verdict=Verdict.NO_WORK, reasons=("no reference yet",))
        commit(session, product)
        (back,) = load_partition(session, asset=ASSET, night=NIGHT, tile=TILE).products
    assert (back.verdict, back.reasons) == (Verdict.NO_WORK, ("no reference yet",))


@pytest.mark.parametrize("where", [{"night": None}, {"night": None, "tile": None}])
def test_partitions_without_a_night_or_a_tile(database: Database, where: dict[str, Any]):
    with database.session() as session:
        add_observations(session, "a")
        product = Product(ASSET, "p")
        commit(session, product, **where)
        assert commit(session, product, **where).unchanged == 1
        commit(session, Product(ASSET, "p"))
        assert len(session.scalars(sa.select(ProductRow)).all()) == 2


def test_references_are_versions_and_promotion_survives(database: Database):
    def reference(version: int) -> Product:
        row = {
            "id": row_id("reference_images", version),
            "survey_id": row_id("surveys", "test"),
            "filter_band": "i",
            "product_id": f"r{version}",
            "input_observation_ids": ["x"],
            "input_nights": ["2016-08-17"],
            "n_inputs": 1,
            "image_path": "k",
            "content_sha256": str(version),
            "version": version,
        }
        return Product("reference_images", f"r{version}", rows={"reference_images": (row,)})

    place = {"asset": "reference_images", "night": None}
    with database.session() as session:
        add_observations(session, "a")
        commit(session, reference(1), **place)
        session.execute(sa.text("UPDATE reference_images SET is_current = :yes"), {"yes": True})
        commit(session, reference(2), **place)
        found = session.execute(
            sa.text("SELECT version, is_current, is_superseded FROM reference_images ORDER BY 1")
        ).all()
        assert [tuple(row) for row in found] == [(1, True, True), (2, False, False)]
        commit(session, reference(1), **place)
        is_current = sa.text("SELECT is_current FROM reference_images WHERE version = 1")
        assert session.execute(is_current).scalar_one() == 1


def test_what_stands_on_a_replaced_product_is_stale(database: Database):
    def chain(session: Session, calibrated: str) -> None:
        commit(session, Product("calibrated", calibrated, one), asset="calibrated")

    with database.session() as session:
        (one,) = add_observations(session, "a")
        chain(session, "c1")
        commit(session, Product(ASSET, "d1", one, inputs=("c1", "0" * 64)))
        commit(session, Product("candidates", "k1", one, inputs=("d1",)), asset="candidates")
        query = sa.text("SELECT product_id FROM stale_products ORDER BY product_id")
        assert session.scalars(query).all() == []
        chain(session, "c2")
        assert session.scalars(query).all() == ["d1", "k1"]
        commit(session, Product(ASSET, "d2", one, inputs=("c2",)))
        assert session.scalars(query).all() == ["k1"]


def test_a_commit_that_fails_half_way_leaves_the_old_partition(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
        commit(session, difference_product(one, n_candidates=2))
    with database.read() as session:
        before = everything(session)
    bad = difference_product(one, n_candidates=5)
    broken = {**bad.rows["candidates"][4], "significance": None}
    bad = replace(
        bad, rows={**bad.rows, "candidates": (*bad.rows["candidates"][:4], broken)}, rows_sha256=""
    )
    with pytest.raises(sa.exc.IntegrityError), database.session() as session:
        commit(session, bad)
    with database.read() as session:
        assert everything(session) == before


def test_nan_in_metrics_and_rows_is_refused(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
    with pytest.raises(UnstorableValueError, match="never stored"):
        difference_product(one, n_candidates=1, flux=float("nan"))
    with (
        pytest.raises(UnstorableValueError, match=r"products\.metrics\.seeing is nan"),
        database.session() as session,
    ):
        commit(session, Product(ASSET, "p", one, metrics={"seeing": float("nan")}))


def test_rows_of_other_tables_are_not_an_asset_s(database: Database):
    product = Product(ASSET, "p", rows={"surveys": ({"id": row_id("surveys", "x"), "name": "x"},)})
    with pytest.raises(ValueError, match="surveys"), database.session() as session:
        commit(session, product)
    with database.read() as session:
        assert session.scalars(sa.select(Observation)).all() == []
