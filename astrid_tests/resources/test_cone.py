"""Cone search and cross-match against brute force: at the poles, at RA 0 and at every size."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from astrid_resources.database import (
    Database,
    Observation,
    cone_search,
    cross_match,
    healpix29,
    healpix29_array,
    upsert,
)
from astrid_resources.database.cone import separation_arcsec
from astrid_tests.resources.rows import add_observations, observation

CENTRES = [(0.0, 0.0), (359.9999, -30.0), (10.0, 90.0), (200.0, -89.9999), (318.108, -66.0157)]


def around(
    rng: np.random.Generator, ra: float, dec: float, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions at log-uniform distances of 0.01 to 10,000 arcsec in random directions."""
    from astropy import units
    from astropy.coordinates import SkyCoord

    centre = SkyCoord(ra * units.deg, dec * units.deg)
    places = centre.directional_offset_by(
        rng.uniform(0, 360, n) * units.deg, 10 ** rng.uniform(-2, 4, n) * units.arcsec
    )
    return np.asarray(places.ra.deg) % 360, np.asarray(places.dec.deg)


def observed_around(
    database: Database, rng: np.random.Generator, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Store observations around every centre, named by their numbers; return where they are."""
    places = [around(rng, ra, dec, n) for ra, dec in CENTRES]
    ra, dec = (np.concatenate(parts) for parts in zip(*places, strict=True))
    rows = [
        observation("a", id=observation(f"{n}")["id"], observation_id=str(n), ra=x, dec=y)
        for n, (x, y) in enumerate(zip(ra, dec, strict=True))
    ]
    with database.session() as session:
        add_observations(session)
        upsert(session, "observations", rows)
    return ra, dec


def test_cone_search_equals_brute_force(database: Database):
    ra, dec = observed_around(database, np.random.default_rng(5), 60)
    n_found = 0
    with database.read() as session:
        for centre in CENTRES:
            for radius in (0.05, 1.0, 2.0, 60.0, 3600.0, 100_000.0, 648_000.0):
                found = cone_search(session, Observation, *centre, radius)
                distance = separation_arcsec(*centre, ra, dec)
                expected = set(np.flatnonzero(distance <= radius))
                assert {int(row["observation_id"]) for row in found} == expected
                shown = [row["distance_arcsec"] for row in found]
                assert shown == sorted(shown)
                n_found += len(found)
    assert n_found > 1000


def test_cross_match_equals_cone_searches(database: Database):
    ra, dec = observed_around(database, np.random.default_rng(6), 30)
    with database.read() as session:
        for radius in (0.5, 30.0, 3600.0):
            found = cross_match(session, Observation, ra, dec, radius)
            expected = [
                (index, row["observation_id"], row["distance_arcsec"])
                for index in range(ra.size)
                for row in cone_search(session, Observation, ra[index], dec[index], radius)
            ]
            shown = [(m.index, m.row["observation_id"], m.distance_arcsec) for m in found]
            assert shown == expected
            assert len(shown) >= ra.size, "each position finds at least its own row"
        where = Observation.observation_id == "7"
        (only,) = cross_match(session, Observation, ra[7:8], dec[7:8], 1e-3, where=where)
        assert (only.index, only.row["observation_id"]) == (0, "7")
        assert cross_match(session, Observation, [], [], 1.0) == []


def test_further_conditions(database: Database):
    with database.session() as session:
        add_observations(session, "a", "b")
        where = Observation.observation_id == "b"
        found = cone_search(session, "observations", 318.108, -66.0157, 1.0, where=where)
        assert [row["observation_id"] for row in found] == ["b"]


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), 1e9])
def test_a_senseless_radius_is_refused(database: Database, radius: float):
    with database.read() as session, pytest.raises(ValueError, match="radius_arcsec"):
        cone_search(session, Observation, 0.0, 0.0, radius)
    with database.read() as session, pytest.raises(ValueError, match="radius_arcsec"):
        cross_match(session, Observation, [0.0], [0.0], radius)


def test_the_search_uses_the_index(database: Database):
    if not database.is_sqlite:
        pytest.skip("PostgreSQL rightly scans a small table")
    with database.read() as session:
        plan = session.execute(
            sa.text(
                "EXPLAIN QUERY PLAN SELECT * FROM observations WHERE healpix29 BETWEEN 1 AND 2 "
                "OR healpix29 BETWEEN 5 AND 9"
            )
        ).all()
    assert "ix_observations_healpix29" in str(plan)


def test_separation_is_exact_near_and_far():
    assert separation_arcsec(0, 0, 0, 1e-6) == pytest.approx(3.6e-3, rel=1e-6)
    assert separation_arcsec(359.9, 0, 0.1, 0) == pytest.approx(720, rel=1e-9)
    assert separation_arcsec(0, 0, 180, 0) == pytest.approx(648000)


def test_healpix_indices():
    assert 0 <= healpix29(0, -90) < 12 * 4**29
    assert healpix29(0, 45) == healpix29(360, 45)
    assert healpix29_array([10.0, 20.0], [0.0, 1.0]).dtype == np.int64
    for ra, dec in ((np.nan, 0), (0, 90.1), (np.inf, 0)):
        with pytest.raises(ValueError, match="sky position"):
            healpix29(ra, dec)
