"""`astrid verify` and `gc`: exit status, what they say, and what they leave alone."""

from __future__ import annotations

import json
import os
import time
from datetime import date

import pytest
from typer.testing import CliRunner

from astrid_assets.cli import app
from astrid_assets.cli.integrity import commands
from astrid_resources.database import Database, replace_partition, upsert
from astrid_resources.integrity import Redelivery, Repair, Rerun
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Product
from astrid_resources.settings import Settings
from astrid_tests.resources.rows import NIGHT, SURVEY_ID, TILE, observation


@pytest.fixture
def astrid(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRID_HOME", str(tmp_path / "home"))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(text) for text in arguments])


@pytest.fixture
def installation(astrid):
    """A store and a database with one exposure and one product."""
    assert astrid("upgrade").exit_code == 0
    settings = Settings()
    store = ObjectStore.from_url(settings.object_store_url)
    raw, image = store.put_bytes(b"raw"), store.put_bytes(b"calibrated")
    row = observation("a", content_sha256=raw.sha256, raw_path=raw.key, file_name="a.fits")
    product = Product("calibrated_exposures", "p", row["id"], {"image": image})
    with Database(settings.database_url).session() as session:
        upsert(session, "surveys", [{"id": SURVEY_ID, "name": "test"}])
        upsert(session, "observations", [row])
        replace_partition(session, asset=product.asset, night=NIGHT, tile=TILE, products=[product])
    return store, raw, image


def test_a_sound_installation_verifies(astrid, installation):
    shown = astrid("verify", "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert (found["is_clean"], found["n_objects"], found["n_products"]) == (True, 2, 1)
    assert astrid("verify").stdout.endswith("clean\n")


def test_damage_is_exit_1_and_repair_names_the_run(astrid, installation):
    store, raw, image = installation
    (store.backend.folder / image.key).unlink()
    shown = astrid("verify", "--quick")
    assert shown.exit_code == 1
    assert image.key in shown.stdout
    assert "verify --repair" in shown.stdout
    repaired = astrid("verify", "--repair", "--json")
    assert repaired.exit_code == 1
    assert json.loads(repaired.stdout)["repair"]["next"] == [
        f"astrid run --night {NIGHT} --tile {TILE}"
    ]
    (store.backend.folder / raw.key).unlink()
    assert "deliver again, then `astrid ingest`: a.fits" in astrid("verify", "--repair").stdout


def test_gc_changes_nothing_unless_told_to(astrid, installation):
    store, _, _ = installation
    orphan = store.put_bytes(b"orphan")
    past = time.time() - 48 * 3600
    os.utime(store.backend.folder / orphan.key, (past, past))
    assert "nothing was changed" in astrid("gc").stdout
    assert store.exists(orphan.key)
    removed = json.loads(astrid("gc", "--delete", "--json").stdout)
    assert (removed["objects"], removed["is_deleted"]) == ([orphan.key], True)
    assert not store.exists(orphan.key)
    assert astrid("verify").exit_code == 0


def test_gc_of_what_may_be_in_use_is_refused(astrid, installation):
    assert astrid("gc", "--age-hours", "0.5").exit_code == 2


def test_what_references_need_is_run_before_them():
    night = date(2018, 8, 3)
    done = Repair(
        quarantined=(),
        n_withdrawn=4,
        reruns=(
            Rerun.of("reference_images", None, "t"),
            Rerun.of("calibrated_exposures", date(2016, 8, 17), "t"),
            Rerun.of("difference_images", night, "t"),
            Rerun.of("training_set", None, None),
        ),
        redeliveries=(Redelivery("exposure", "a.fits", "0" * 64, ""),),
    )
    assert commands(done) == [
        "deliver again, then `astrid ingest`: a.fits",
        "astrid run --night 2016-08-17 --tile t",
        "astrid reference --tile t",
        "astrid run --night 2016-08-17 --tile t",
        "astrid run --night 2018-08-03 --tile t",
        "materialise training_set",
    ]
