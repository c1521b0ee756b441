"""The update on a real database: idempotent, across tiles, with whole light curves and names."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa

from astrid_assets.catalog.association import separation_arcsec
from astrid_assets.catalog.listing import find_transient, list_transients
from astrid_assets.catalog.points import stored_points
from astrid_assets.catalog.update import update_catalog
from astrid_assets.catalog.why import why
from astrid_resources.database import Transient, TransientStatus
from astrid_tests.catalog.test_association import offset
from astrid_tests.catalog.world import Seen, World

N1, N2 = date(2018, 8, 3), date(2018, 8, 4)
TABLES = ("transients", "transient_members", "transient_names", "light_curve_points")


@pytest.fixture
def world(tmp_path) -> World:
    return World.new(tmp_path)


def update(world, night=N1, tile="t"):
    return update_catalog(world.database, world.store, night=night, tile=tile)


def two_nights(world, centre=(318.108, -66.0157), tiles=("t", "t")):
    reference = world.reference(*centre)
    source = offset(*centre, 3.0, 1.0)
    for index, minute in enumerate(("00", "30")):
        place = offset(*source, 0.05 * index, 0)
        when = f"2018-08-04T05:{minute}:00"
        world.expose(
            f"a{index}",
            *centre,
            when=when,
            night=N1,
            tile=tiles[0],
            seen=(Seen(*place),),
            reference=reference,
        )
    faint = Seen(*source, flux=200.0)
    world.expose(
        "before",
        *centre,
        when="2018-08-03T05:00:00",
        night=date(2018, 8, 2),
        true=(faint,),
        tile=tiles[0],
        reference=reference,
    )
    world.expose(
        "later",
        *centre,
        when="2018-08-05T05:00:00",
        night=N2,
        tile=tiles[1],
        seen=(Seen(*source, flux=1500.0),),
        reference=reference,
    )
    return source


def test_one_source_over_nights_is_one_transient_with_its_whole_light_curve(world) -> None:
    source = two_nights(world)
    done = update(world)
    assert (done.n_transients, done.n_confirmed, done.n_detections) == (1, 1, 3)
    assert done.issued == done.names == ("AID18aaaa",)
    (entry,) = list_transients(world.database)
    assert separation_arcsec(entry.ra, entry.dec, *source) < 0.05
    assert entry.n_nights == 2
    with world.database.read() as session:
        points = stored_points(session, session.scalar(sa.select(Transient.id)))
    assert [point.is_detection for point in points] == [False, True, True, True]
    assert points[0].flux_adu == pytest.approx(200, rel=0.05)
    assert points[3].flux_adu == pytest.approx(1500, rel=0.05)
    assert all(point.reference_image_id for point in points)
    assert all(point.flux_njy is None and "uncalibrated" in point.flags for point in points)


def test_the_same_update_twice_changes_no_row(world) -> None:
    two_nights(world)
    first = update(world)
    before = world.dump(*TABLES)
    again = update(world)
    assert again.n_rows_changed == 0
    assert world.dump(*TABLES) == before
    assert again.data_version == first.data_version
    other = update(world, night=N2)
    assert other.n_rows_changed == 0
    assert world.dump(*TABLES) == before


@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.0, 40.0), (40.0, 89.9995), (200.0, -89.9995)])
def test_a_source_on_a_tile_border_is_one_transient_anywhere(world, centre) -> None:
    source = two_nights(world, centre=centre, tiles=("0-1", "0-2"))
    one = update(world, night=N1, tile="0-1")
    two = update(world, night=N2, tile="0-2")
    assert one.n_transients == two.n_transients == 1
    assert two.n_rows_changed == 0
    (entry,) = list_transients(world.database)
    assert separation_arcsec(entry.ra, entry.dec, *source) < 0.1
    assert entry.n_points == 4


def test_any_order_of_nights_gives_the_same_catalog(tmp_path) -> None:
    versions = []
    for order in ((N1, N2), (N2, N1)):
        world = World.new(tmp_path / order[0].isoformat())
        two_nights(world)
        for night in order:
            done = update(world, night=night)
        versions.append(done.data_version)
    assert versions[0] == versions[1]


def test_a_single_night_without_time_between_is_single_epoch(world) -> None:
    centre = (10.0, 20.0)
    reference = world.reference(*centre)
    world.expose(
        "a",
        *centre,
        when="2018-08-04T05:00:00",
        night=N1,
        seen=(Seen(*centre),),
        reference=reference,
        zero_point=30.0,
    )
    update(world)
    (entry,) = list_transients(world.database)
    assert entry.confirmation == "single_epoch"
    assert entry.classification == "unknown"
    assert entry.brightest["flux_njy"] == pytest.approx(1000 * 10**0.56, rel=0.05)
    assert list_transients(world.database, is_confirmed_only=True) == ()


def test_rejected_and_low_scored_candidates_stay_out(world) -> None:
    centre = (10.0, 20.0)
    reference = world.reference(*centre)
    seen = (
        Seen(*centre, probability=0.2),
        Seen(*offset(*centre, 5, 0), rejection_rule="is_dipole", rejection_value=0.8),
    )
    world.expose("a", *centre, when="2018-08-04T05:00:00", night=N1, seen=seen, reference=reference)
    done = update(world)
    assert (done.n_transients, done.n_detections) == (0, 0)


def bridge(world):
    """Two sources 1.6 arcsec apart, and a detection between them that joins them."""
    centre = (10.0, 20.0)
    reference = world.reference(*centre)
    left, right = offset(*centre, -0.8, 0), offset(*centre, 0.8, 0)
    for name, place, hour in (("l0", left, 1), ("l1", left, 2), ("r0", right, 3)):
        world.expose(
            name,
            *centre,
            when=f"2018-08-04T0{hour}:00:00",
            night=N1,
            seen=(Seen(*place),),
            reference=reference,
        )
    return lambda: world.expose(
        "between",
        *centre,
        when="2018-08-05T05:00:00",
        night=N2,
        seen=(Seen(*centre),),
        reference=reference,
    )


def test_merges_and_splits_keep_names_and_aliases(world) -> None:
    join = bridge(world)
    assert update(world).names == ("AID18aaaa", "AID18aaab")
    join()
    merged = update(world, night=N2)
    assert merged.names == ("AID18aaaa",)
    assert merged.merged == ("AID18aaab",)
    assert find_transient(world.database, "AID18aaab").name == "AID18aaaa"
    assert list_transients(world.database)[0].aliases == ("AID18aaab",)
    before = world.dump(*TABLES)
    update(world)
    assert world.dump(*TABLES) == before
    world.remove("between")
    split = update(world, night=N2)
    assert split.names == ("AID18aaaa", "AID18aaab")
    assert split.issued == ()
    assert find_transient(world.database, "AID18aaab").name == "AID18aaab"


def test_a_withdrawn_source_keeps_its_name_for_its_return(world) -> None:
    centre = (10.0, 20.0)
    reference = world.reference(*centre)

    def expose():
        world.expose(
            "a",
            *centre,
            when="2018-08-04T05:00:00",
            night=N1,
            seen=(Seen(*centre),),
            reference=reference,
        )

    expose()
    update(world)
    world.remove("a")
    assert update(world).withdrawn == ("AID18aaaa",)
    assert list_transients(world.database) == ()
    assert find_transient(world.database, "AID18aaaa") is None
    expose()
    assert update(world).names == ("AID18aaaa",)


def test_a_new_reference_is_noted_and_its_old_points_go(world) -> None:
    centre = (10.0, 20.0)
    old, new = world.reference(*centre, version=1), world.reference(*centre, version=2)
    for reference in (old, new):
        world.expose(
            "a",
            *centre,
            when="2018-08-04T05:00:00",
            night=N1,
            seen=(Seen(*centre),),
            reference=reference,
        )
        update(world)
    with world.database.read() as session:
        row = session.scalar(sa.select(Transient).where(Transient.status == TransientStatus.ACTIVE))
        (point,) = stored_points(session, row.id)
        assert row.name == "AID18aaaa"
    assert point.reference_image_id == str(new)


def test_an_exposure_that_loses_injected_sources_stays_out_and_no_other(world) -> None:
    source = two_nights(world)
    reason = "completeness: 3 of 120 injected sources were found"
    world.add(
        "injection_recovery", N1, "t", world.observations["a0"], verdict="failed", reasons=(reason,)
    )
    assert update(world).n_detections == 2
    assert update(world, night=N2).n_detections == 2, "nor does another night bring it in"
    entry = {e.exposure: e for e in why(world.database, world.store, ra=source[0], dec=source[1])}
    assert reason in entry["a0"].text
    world.add("injection_recovery", N1, "t", world.observations["a0"])
    assert update(world).n_detections == 3


@pytest.mark.parametrize("is_last", [True, False])
def test_what_an_exposure_showed_where_it_never_was_goes_with_it(world, is_last) -> None:
    """A pointing set right moves the exposure to another place and tile: its ghosts vanish."""
    wrong, right = (318.108, -66.0157), (10.0, -30.0)
    ghost = offset(*wrong, 3.0, 1.0)
    reference = world.reference(*wrong)
    if not is_last:
        world.expose(
            "stays", *wrong, when="2018-08-04T05:00:00", night=N1, seen=(Seen(*ghost),),
            reference=reference,
        )  # fmt: skip
    lost = {"when": "2018-08-04T05:30:00", "night": N1, "seen": (Seen(*ghost),)}
    world.expose("lost", *wrong, reference=reference, **lost)
    update(world)
    (before,) = list_transients(world.database)
    world.remove("lost")
    seen = Seen(*offset(*right, 3.0, 1.0))
    reference = world.reference(*right, tile="elsewhere", version=2)
    world.expose(
        "lost", *right, reference=reference, **lost | {"tile": "elsewhere", "seen": (seen,)}
    )
    update(world, tile="elsewhere")
    update(world)
    found = list_transients(world.database)
    assert [entry.n_detections for entry in found] == [1] * (1 if is_last else 2)
    near = [e for e in found if separation_arcsec(e.ra, e.dec, *ghost) < 5]
    assert len(near) == (0 if is_last else 1)
    assert before.n_detections == (1 if is_last else 2)


def test_a_failed_difference_gives_no_point(world) -> None:
    centre = (10.0, 20.0)
    reference = world.reference(*centre)
    for name, stop in (("a", None), ("b", "fail")):
        world.expose(
            name,
            *centre,
            when="2018-08-04T05:00:00",
            night=N1,
            seen=(Seen(*centre),),
            reference=reference,
            stop=stop,
        )
    assert update(world).n_points == 1
