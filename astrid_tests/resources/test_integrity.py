"""What is damaged is found, withdrawn and made again; what nothing names is garbage, old enough."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from astrid_resources.database import (
    Base,
    Database,
    DeliveredFile,
    ProductRow,
    load_partition,
    replace_partition,
    upsert,
)
from astrid_resources.database.rows import rows_digest, settle_rows
from astrid_resources.identity import row_id
from astrid_resources.integrity import (
    ProblemKind,
    Redelivery,
    Rerun,
    collect_garbage,
    find_garbage,
    repair,
    verify,
)
from astrid_resources.integrity.named import key_columns
from astrid_resources.objects import LocalFolder, ObjectStore, StoredObject, object_key
from astrid_tests.resources.garbage import own
from astrid_tests.resources.rows import NIGHT, SURVEY_ID, TILE, difference_product, observation
from astrid_tests.resources.test_objects import spoil

ASSET = "difference_images"
LATER = timedelta(hours=30)


class Installation:
    """A database and a store with raw files and one committed partition of two differences."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self.database, self.store = database, store
        self.raw = {name: store.put_bytes(f"raw {name}".encode()) for name in "ab"}
        rows = [
            observation(
                name,
                content_sha256=stored.sha256,
                raw_path=stored.key,
                file_name=f"{name}.fits",
                size_bytes=stored.size,
            )
            for name, stored in self.raw.items()
        ]
        with database.session() as session:
            upsert(session, "surveys", [{"id": SURVEY_ID, "name": "test"}])
            upsert(session, "observations", rows)
        self.ids = [row["id"] for row in rows]
        self.images: dict[str, StoredObject] = {}
        self.run()

    def run(self) -> None:
        """Do what the asset's run does: make what has no current product, commit the partition."""
        with self.database.read() as session:
            known = load_partition(session, asset=ASSET, night=NIGHT, tile=TILE).products
        existing = {product.observation_id: product for product in known}
        products = [existing.get(one) or self._make(one) for one in self.ids]
        with self.database.session() as session:
            replace_partition(session, asset=ASSET, night=NIGHT, tile=TILE, products=products)

    def _make(self, one: Any) -> Any:
        made = difference_product(one, n_candidates=2)
        stored = self.store.put_bytes(f"difference of {one}".encode())
        self.images[str(one)] = stored
        run = {**made.rows["difference_runs"][0], "difference_image_path": stored.key}
        rows = {**made.rows, "difference_runs": (run,)}
        return type(made)(
            ASSET, made.product_id, one, {"difference": stored}, made.metrics, rows=rows
        )

    def kinds(self) -> list[str]:
        return sorted(item.kind.value for item in verify(self.database, self.store).problems)


@pytest.fixture(params=[("sqlite", "local"), ("postgresql", "s3")], ids="+".join)
def place(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """The embedded default, and what production uses."""
    tables, objects = request.param
    database = Database(request.getfixturevalue(f"{tables}_url"))
    yield Installation(database, request.getfixturevalue(f"{objects}_store"))
    database.dispose()


@pytest.fixture
def local(sqlite_url: str, local_store: ObjectStore) -> Installation:
    return Installation(Database(sqlite_url), local_store)


def remove(store: ObjectStore, key: str) -> None:
    store.backend.delete(key)


def test_a_sound_installation_is_clean(place: Installation):
    orphan = place.store.put_bytes(b"of a run that died")
    found = verify(place.database, place.store)
    assert found.is_clean
    assert (found.n_products, found.n_rows, found.n_objects) == (2, 6, 4)
    assert found.n_bytes == sum(item.size for item in [*place.raw.values(), *place.images.values()])
    assert found.orphans == (orphan.key,)
    assert (found.n_unhashed, found.n_products_without_hash) == (0, 0)


def test_an_altered_object_is_quarantined_and_made_again(place: Installation):
    image = place.images[str(place.ids[0])]
    spoil(place.store, image.key)
    assert verify(place.database, place.store, is_reading=False).problems != ()
    found = verify(place.database, place.store)
    assert [item.subject for item in found.problems] == [image.key]
    done = repair(place.database, place.store, found)
    assert done.reruns == (Rerun.of(ASSET, NIGHT, TILE),)
    assert (len(done.quarantined), done.n_withdrawn, done.redeliveries) == (1, 1, ())
    assert not place.store.exists(image.key)
    assert place.kinds() == ["awaits_rerun"]
    place.run()
    assert place.kinds() == []
    assert place.store.get_bytes(image.key) == f"difference of {place.ids[0]}".encode()


def test_one_flipped_bit_is_found(local: Installation):
    image = local.images[str(local.ids[1])]
    path = local.store.backend.folder / image.key  # type: ignore[attr-defined]
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert verify(local.database, local.store, is_reading=False).is_clean
    assert local.kinds() == ["altered_object"]


def test_a_missing_object_is_made_again(place: Installation):
    remove(place.store, place.images[str(place.ids[1])].key)
    found = verify(place.database, place.store)
    assert [item.kind for item in found.problems] == [ProblemKind.MISSING_OBJECT]
    done = repair(place.database, place.store, found)
    assert (done.quarantined, done.n_withdrawn) == ((), 1)
    again = repair(place.database, place.store, verify(place.database, place.store))
    assert (again.n_withdrawn, again.reruns) == (0, done.reruns)
    place.run()
    assert place.kinds() == []


def test_a_lost_raw_file_is_asked_for_and_its_products_stay(place: Installation):
    raw = place.raw["a"]
    entry = {
        "id": row_id("delivered_files", "x", "a.fits"),
        "folder": "x",
        "name": "a.fits",
        "size": raw.size,
        "mtime_ns": 1,
        "seen_at": datetime.now(UTC),
        "outcome": "ingested",
        "sha256": raw.sha256,
    }
    with place.database.session() as session:
        upsert(session, DeliveredFile, [entry])
    remove(place.store, raw.key)
    done = repair(place.database, place.store, verify(place.database, place.store))
    assert done.redeliveries == (Redelivery("exposure", "a.fits", raw.sha256, ""),)
    assert (done.reruns, done.n_withdrawn) == ((), 0)
    with place.database.read() as session:
        assert session.scalars(sa.select(DeliveredFile)).all() == []
    place.store.put_bytes(b"raw a")
    assert place.kinds() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE candidates SET flux = flux + 1 WHERE rank = 0",
        "DELETE FROM candidates WHERE rank = 1",
        "UPDATE difference_runs SET reason = 'another'",
    ],
)
def test_rows_that_are_not_as_committed_are_found_and_written_again(
    place: Installation, change: str
):
    with place.database.session() as session:
        session.execute(sa.text(change))
    assert place.kinds() == ["rows_differ", "rows_differ"]
    repair(place.database, place.store, verify(place.database, place.store))
    place.run()
    assert place.kinds() == []


def test_what_people_change_is_no_difference(place: Installation):
    with place.database.session() as session:
        session.execute(sa.text("UPDATE candidates SET updated_at = created_at"))
        session.execute(sa.text("UPDATE difference_runs SET processing_time_seconds = 9"))
    assert place.kinds() == []


def test_the_digest_of_rows_forgets_what_the_database_forgets():
    def digest(**changes: Any) -> str:
        row = {**difference_product(SURVEY_ID, n_candidates=1).rows["candidates"][0], **changes}
        placed = {**row, "night": NIGHT, "tile": TILE}
        return rows_digest(
            {"candidates": settle_rows(Base.metadata.tables["candidates"], [placed])}
        )

    assert digest() == digest(pixel_x=-0.0) == digest(fwhm=None) == digest(pixel_x=0)
    assert digest() == digest(manifest_id=SURVEY_ID, is_superseded=True)
    others = {digest(pixel_x=1e-12), digest(fwhm=1.0), digest(status="rejected"), digest(rank=1)}
    assert len(others | {digest()}) == 5


def test_a_key_of_other_bytes_is_wrong(place: Installation):
    with place.database.session() as session:
        row = session.scalars(sa.select(ProductRow)).first()
        assert row is not None
        wrong = {**row.objects["difference"], "key": place.raw["a"].key}
        row.objects = {"difference": wrong}
    assert place.kinds() == ["wrong_key"]


def test_every_path_of_the_data_model_is_verified():
    declared = set(key_columns())
    for table in Base.metadata.tables.values():
        for column in table.columns:
            if column.name.endswith("_path"):
                assert column in declared, f"{table.name}.{column.name}"


def age(store: ObjectStore, key: str) -> None:
    """Make a local object look as if it was put long ago."""
    assert isinstance(store.backend, LocalFolder)
    path = store.backend.folder / key
    past = time.time() - 48 * 3600
    os.utime(path, (past, past))


def test_garbage_is_what_no_row_names_and_is_old(place: Installation):
    orphan = place.store.put_bytes(b"orphan")
    now = datetime.now(UTC)
    day = timedelta(hours=24)
    young = find_garbage(place.database, place.store, age=day, now=now)
    assert (young.objects, young.n_young >= 1) == ((), True)
    old = find_garbage(place.database, place.store, age=day, now=now + LATER)
    assert [item.key for item in old.objects] == [orphan.key]
    assert old.n_bytes >= orphan.size
    assert place.store.exists(orphan.key)
    removed = collect_garbage(place.store, own(old, place.store))
    assert [item.key for item in removed.objects] == [orphan.key]
    assert not place.store.exists(orphan.key)
    found = verify(place.database, place.store)
    assert (found.is_clean, found.orphans) == (True, ())


def test_what_only_replaced_products_name_is_garbage_when_asked(local: Installation):
    image = local.images[str(local.ids[0])]
    local.ids = local.ids[1:]
    local.run()
    kept = find_garbage(
        local.database, local.store, age=timedelta(hours=24), now=datetime.now(UTC) + LATER
    )
    assert kept.objects == ()
    found = find_garbage(
        local.database,
        local.store,
        age=timedelta(hours=24),
        is_history_kept=False,
        now=datetime.now(UTC) + LATER,
    )
    assert [item.key for item in found.objects] == [image.key]
    collect_garbage(local.store, found)
    assert local.kinds() == []


def test_what_is_put_again_before_its_commit_is_spared(local: Installation):
    orphan = local.store.put_bytes(b"of a run that is repeated")
    age(local.store, orphan.key)
    garbage = find_garbage(local.database, local.store, age=timedelta(hours=24))
    assert [item.key for item in garbage.objects] == [orphan.key]
    assert local.store.put_bytes(b"of a run that is repeated") == orphan
    assert collect_garbage(local.store, garbage).objects == ()
    assert local.store.exists(orphan.key)
    assert find_garbage(local.database, local.store, age=timedelta(hours=24)).objects == ()


def test_staging_folders_of_killed_processes_are_garbage(local: Installation):
    backend = local.store.backend
    dead, alive = backend.staging() / "astrid-put-dead", backend.staging() / "astrid-put-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "object").write_bytes(b"half")
    past = time.time() - 48 * 3600
    for path in (dead / "object", dead):
        os.utime(path, (past, past))
    garbage = find_garbage(local.database, local.store, age=timedelta(hours=24))
    assert (garbage.folders, garbage.n_bytes, garbage.n_young) == ((dead,), 4, 1)
    collect_garbage(local.store, garbage)
    assert (dead.exists(), alive.exists()) == (False, True)


def test_garbage_younger_than_an_hour_is_never_asked_for(local: Installation):
    with pytest.raises(ValueError, match="at least"):
        find_garbage(local.database, local.store, age=timedelta(minutes=59))


def test_listing_goes_on_over_pages(s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    keys = sorted(s3_store.put_bytes(bytes([n])).key for n in range(7))
    s3_store.quarantine(keys.pop())
    client = s3_store.backend.client  # type: ignore[attr-defined]
    whole = client.list_objects_v2
    monkeypatch.setattr(client, "list_objects_v2", lambda **asked: whole(**asked, MaxKeys=2))
    assert [item.key for item in s3_store.list()] == keys


def test_listing_tells_size_and_time_and_leaves_strangers_out(store: ObjectStore):
    before = datetime.now(UTC) - timedelta(seconds=2)
    stored = store.put_bytes(b"four")
    if isinstance(store.backend, LocalFolder):
        (store.backend.folder / "sha256" / "README").write_text("not an object")
    (found,) = store.list()
    assert (found.key, found.size) == (stored.key, 4)
    assert before < found.modified < datetime.now(UTC) + timedelta(seconds=2)
    assert store.look_up(object_key("0" * 64)) is None
    store.delete(stored.key)
    store.delete(stored.key)
    assert list(store.list()) == []
