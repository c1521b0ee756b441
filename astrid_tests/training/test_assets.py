"""The training assets, really run: a tiny model from a stored set to its promotion and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from astrid_assets.detections.champion_files import ModelAlteredError, load_champion
from astrid_assets.detections.model_in_use import active_model, model_in_use
from astrid_assets.detections.model_rollback import rollback
from astrid_assets.training import assets as room
from astrid_assets.training.asset_parts import TrainingConfig, require_same_settings
from astrid_assets.training.checks import challenger_is_better, registry_mirrors_table
from astrid_assets.training.promote import AlreadyInUse, Considered, consider
from astrid_assets.training.samples import FOLDS, fold, load_training_set, save_training_set
from astrid_resources.dagster_resources import DatabaseResource, ObjectStoreResource
from astrid_resources.database import AuditEntry, Database, Model, load_partition, replace_partition
from astrid_resources.io_managers import ProductsIOManager
from astrid_resources.model_registry import MLflowTracking
from astrid_resources.objects import ObjectStore
from astrid_resources.products import PartitionProducts, Product
from astrid_tests.detections.fixed_model import fixed_champion
from astrid_tests.detections.stored_models import store_model, take_into_use
from astrid_tests.training.toy import toy_set

TINY = TrainingConfig(n_nights=10, n_steps=30, n_members=1, channels=[4, 8])


@dataclass
class World:
    """An installation of its own in a temporary folder, with a stored training set."""

    folder: Path
    database: Database
    store: ObjectStore

    @property
    def resources(self) -> dict:
        database = DatabaseResource(url=f"sqlite:///{self.folder / 'astrid.sqlite'}")
        objects = ObjectStoreResource(url=(self.folder / "objects").as_uri())
        return {
            "database": database,
            "object_store": objects,
            "products_io": ProductsIOManager(database=database, objects=objects),
            "mlflow": MLflowTracking(
                tracking_uri=f"sqlite:///{self.folder / 'mlflow.sqlite'}",
                artifact_location=str(self.folder / "runs"),
            ),
        }

    def put_set(self, config: TrainingConfig) -> None:
        """Store a set of toy candidates as the asset `training_set` would."""
        path = self.folder / "samples.npz"
        record = {"settings": json.loads(json.dumps(asdict(config.settings().dataset)))}
        samples = toy_set(600, seed=3, n_nights=50)
        save_training_set(samples, path, record={**record, "skipped": {}})
        product = Product("training_set", "toy", objects={"samples": self.store.put_file(path)})
        with self.database.session() as session:
            replace_partition(
                session, asset="training_set", night=None, tile=None, products=[product]
            )

    def train(self, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        """Run network, evaluation, promotion and its checks; the set is read from the stores."""
        values = {key: value for key, value in TINY.model_dump().items() if value is not None}
        return dg.materialize(
            [room.training_set, room.unet_model, room.model_evaluation, room.model_promotion,
             challenger_is_better, registry_mirrors_table],
            selection=dg.AssetSelection.assets(
                "unet_model", "model_evaluation", "model_promotion"
            ),
            resources=self.resources,
            instance=instance,
            run_config={"ops": {"unet_model": {"config": values}}},
        )  # fmt: skip

    def products(self, asset: str) -> PartitionProducts:
        with self.database.read() as session:
            return load_partition(session, asset=asset, night=None, tile=None)

    def audit(self) -> list[AuditEntry]:
        with self.database.read() as session:
            return list(session.scalars(sa.select(AuditEntry).order_by(AuditEntry.created_at)))


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(f"sqlite:///{tmp_path / 'astrid.sqlite'}")
    database.upgrade()
    yield World(tmp_path, database, ObjectStore.from_url((tmp_path / "objects").as_uri()))
    database.dispose()


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def _ask(world: World, challenger: Model, *, is_asked_by_person: bool = False) -> Considered:
    (product,) = world.products("training_set").products
    return consider(
        world.database, world.store, challenger, test_set_key=product.objects["samples"].key,
        user="ada", is_asked_by_person=is_asked_by_person,
    )  # fmt: skip


def test_a_challenger_is_refused_then_promoted_then_gone_back_from(
    world: World, instance: dg.DagsterInstance
) -> None:
    shipped = active_model(world.database)
    world.put_set(TINY)
    worse = world.train(instance)
    assert worse.success
    assert _checks(worse) == {"challenger_is_better": False, "registry_mirrors_table": True}
    assert active_model(world.database).id == shipped.id
    with world.database.read() as session:
        (trained,) = session.scalars(sa.select(Model).where(Model.id != shipped.id))
    assert trained.decision["outcome"] == "refused"
    assert trained.decision["n_fields"] >= 10
    assert trained.mlflow_run_id is not None

    blind = fixed_champion(accepts=True)
    untried, _ = store_model(world.database, world.store, "2-blind", network=blind.onnx)
    take_into_use(world.database, untried)
    better = world.train(instance)
    assert _checks(better) == {"challenger_is_better": True, "registry_mirrors_table": True}
    promoted = model_in_use(world.database, world.store)
    assert promoted.row_id == trained.id
    (decision,) = world.products("model_promotion").products
    assert decision.metrics["gain"]["low"] > 0
    assert decision.metrics["onnx_difference"] <= 1e-5
    assert decision.metrics["champion_sha256"] == untried.content_sha256
    told = instance.get_latest_data_version_record(dg.AssetKey("champion_model"))
    assert told.asset_observation.tags["dagster/data_version"] == promoted.champion.sha256
    (model,) = world.products("unet_model").products
    assert model.objects["onnx"].sha256 == promoted.champion.sha256

    with pytest.raises(AlreadyInUse):
        _ask(world, trained)

    now, before = rollback(world.database, world.store, user="ada", reason="a test")
    assert (now.sha256, before.sha256) == (untried.content_sha256, promoted.champion.sha256)
    vetoed = world.train(instance)
    assert not _checks(vetoed)["challenger_is_better"]
    assert active_model(world.database).id == untried.id, "no run undoes what a person did"
    asked = _ask(world, trained, is_asked_by_person=True)
    assert asked.outcome == "promoted"
    assert active_model(world.database).id == promoted.row_id
    assert [entry.action for entry in world.audit()] == [
        "shipped", "refused", "promoted", "promoted", "rolled_back", "refused", "promoted",
    ]  # fmt: skip
    assert world.audit()[3].user_id.startswith("dagster run ")


def test_a_tie_and_a_wrong_export_are_refused_and_asked_once(world: World) -> None:
    world.put_set(TINY)
    shipped = active_model(world.database)
    equal, _ = store_model(world.database, world.store, "2-equal")
    for is_new in (True, False):
        found = _ask(world, equal)
        assert (found.outcome, found.is_new) == ("refused", is_new)
    assert found.numbers["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found.numbers["onnx_difference"] <= 1e-5
    assert [entry.action for entry in world.audit()] == ["shipped", "refused"]
    wrong, _ = store_model(
        world.database, world.store, "2-wrong", network=fixed_champion(accepts=True).onnx
    )
    assert "Keras and ONNX differ" in _ask(world, wrong).summary
    assert active_model(world.database).id == shipped.id


def test_a_damaged_challenger_is_an_error_and_changes_nothing(world: World) -> None:
    world.put_set(TINY)
    shipped = active_model(world.database)
    broken, objects = store_model(world.database, world.store, "2-broken")
    path = world.folder / "objects" / objects["model.onnx"].key
    path.chmod(0o644)
    path.write_bytes(b"no model")
    with pytest.raises(ModelAlteredError):
        _ask(world, broken)
    assert active_model(world.database).id == shipped.id
    assert [entry.action for entry in world.audit()] == ["shipped"]


def test_cutouts_of_another_kind_are_not_compared(world: World) -> None:
    world.put_set(TINY)
    changed = {**load_champion().record["cutouts"], "pixels_per_fwhm": 5.0}
    other, _ = store_model(world.database, world.store, "2-other", cutouts=changed)
    found = _ask(world, other)
    assert found.outcome == "refused"
    assert "the challenger reads cutouts of" in found.summary


def test_the_set_is_made_once_and_split_by_field_and_night(
    world: World, instance: dg.DagsterInstance
) -> None:
    def make() -> dg.ExecuteInProcessResult:
        config = {"n_nights": 3, "side_pix": 160}
        return dg.materialize(
            [room.training_set], resources=world.resources, instance=instance,
            run_config={"ops": {"training_set": {"config": config}}},
        )  # fmt: skip

    assert make().success
    (product,) = world.products("training_set").products
    with world.store.fetch(product.objects["samples"].key) as path:
        samples, record = load_training_set(path)
    require_same_settings(record, TrainingConfig(n_nights=3, side_pix=160, n_steps=5).settings())
    with pytest.raises(dg.Failure, match="other settings"):
        require_same_settings(record, TrainingConfig().settings())
    assert record["human_labels"]["joined"] == 0
    for units in ("sky_field", "night"):
        sides = [set(getattr(fold(samples, name), units).tolist()) for name in FOLDS]
        assert sum(map(len, sides)) == len(set().union(*sides))
    again = make()
    (event,) = again.get_asset_materialization_events()
    assert event.materialization.metadata["taken_over"].value is True
    assert world.products("training_set").products == (product,)
