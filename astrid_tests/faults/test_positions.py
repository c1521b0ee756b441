"""100,000 positions, a good part at RA 0 and the poles: searches against every distance."""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from astrid_resources.database import Database, cone_search, cross_match, healpix29_array
from astrid_resources.database.cone import separation_arcsec

pytestmark = pytest.mark.faults

N_POSITIONS, N_MATCHED = 100_000, 500
CENTRES = [
    (0.0, 0.0), (359.9999, 0.0), (359.9999, -45.0), (0.0001, 60.0), (0.0, 90.0), (123.0, 89.9999),
    (0.0, -90.0), (359.9999, -89.9999), (45.0, 41.8103), (318.108, -66.0157),
]  # fmt: skip
RADII = (0.05, 1.0, 60.0, 3600.0)


def positions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (deg): half of them near the awkward places, a tenth of these very near."""
    from astropy import units
    from astropy.coordinates import SkyCoord

    n_each = N_POSITIONS // (2 * len(CENTRES))
    ra, dec = [], []
    for centre in CENTRES:
        far = 10_000 * np.sqrt(rng.uniform(0, 1, n_each))
        far[: n_each // 10] = 10 ** rng.uniform(-2, 4, n_each // 10)
        near = SkyCoord(*centre, unit="deg").directional_offset_by(
            rng.uniform(0, 360, n_each) * units.deg, far * units.arcsec
        )
        ra.append(near.ra.deg)
        dec.append(near.dec.deg)
    n_left = N_POSITIONS - n_each * len(CENTRES)
    ra.append(rng.uniform(0, 360, n_left))
    dec.append(np.rad2deg(np.arcsin(rng.uniform(-1, 1, n_left))))
    return np.concatenate(ra) % 360, np.concatenate(dec)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "astrid.sqlite")
    return f"sqlite:///{tmp_path / 'astrid.sqlite'}"


def test_searches_equal_brute_force(url: str):
    ra, dec = positions(np.random.default_rng(359))
    places = sa.Table(
        "places",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("number", sa.Integer()),
        sa.Column("ra", sa.Double()),
        sa.Column("dec", sa.Double()),
        sa.Column("healpix29", sa.BigInteger(), index=True),
    )
    database = Database(url)
    index = healpix29_array(ra, dec).tolist()
    with database.session() as session:
        places.create(session.connection())
        columns = zip(range(N_POSITIONS), ra.tolist(), dec.tolist(), index, strict=True)
        session.execute(
            sa.insert(places),
            [
                {"id": uuid.UUID(int=n), "number": n, "ra": x, "dec": y, "healpix29": i}
                for n, x, y, i in columns
            ],
        )
    n_found = 0
    with database.read() as session:
        for centre in CENTRES:
            distance = separation_arcsec(*centre, ra, dec)
            for radius in RADII:
                found = cone_search(session, places, *centre, radius)
                assert {row["number"] for row in found} == set(np.flatnonzero(distance <= radius))
                n_found += len(found)
        assert n_found > 10_000
        chosen = np.random.default_rng(1).choice(N_POSITIONS, N_MATCHED, replace=False)
        for radius in (2.0, 60.0):
            started = time.process_time()
            matches = cross_match(session, places, ra[chosen], dec[chosen], radius)
            seconds = time.process_time() - started
            expected = {
                (number, int(other))
                for number, one in enumerate(chosen)
                for other in np.flatnonzero(separation_arcsec(ra[one], dec[one], ra, dec) <= radius)
            }
            assert len(matches) == len(expected)
            assert {(match.index, match.row["number"]) for match in matches} == expected
            order = [(match.index, match.distance_arcsec) for match in matches]
            assert order == sorted(order)
            sys.stdout.write(
                f"{url[:6]}: {N_MATCHED} positions within {radius:g} arcsec of {N_POSITIONS}: "
                f"{len(matches)} matches in {seconds:.2f} CPU s\n"
            )
    database.dispose()
