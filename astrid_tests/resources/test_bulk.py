"""Many rows at once say the same as one by one, whatever stands in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from astrid_resources.database import (
    Candidate,
    Database,
    Observation,
    Survey,
    replace_partition,
    upsert,
)
from astrid_resources.database.bulk import COPY_ROWS_MIN
from astrid_tests.resources.rows import (
    NIGHT,
    SURVEY_ID,
    TILE,
    add_observations,
    difference_product,
    observation,
)

TEXTS = (
    "",
    "\\N",
    "a\tb",
    "line\nbreak\r",
    "back\\slash",
    "'; DROP TABLE candidates; --",
    "ü 🔭",
    "%s",
)


def many(n: int, **changes: Any) -> list[dict[str, Any]]:
    """Return rows with every kind of value."""
    rows = []
    for number in range(n):
        text = TEXTS[number % len(TEXTS)]
        row = observation(
            "a",
            id=observation(f"{number}")["id"],
            observation_id=f"{number}",
            file_name=text,
            facts={"text": text, "tiny": 1e-300, "list": [1, None, True]},
            airmass=None if number % 2 else 1.0 + number / 7,
            is_synthetic=bool(number % 3),
            observation_time=datetime(2018, 8, 4, 3, 0, 0, number, tzinfo=UTC),
        )
        rows.append(row | changes)
    return rows


def contents(database: Database) -> list[dict[str, Any]]:
    with database.read() as session:
        rows = session.execute(sa.select(Observation.__table__).order_by(sa.text("id"))).mappings()
        left_out = {"created_at", "updated_at"}
        return [{key: row[key] for key in row if key not in left_out} for row in rows]


def test_many_rows_are_the_same_rows(database: Database):
    rows = many(COPY_ROWS_MIN)
    with database.session() as session:
        add_observations(session)
        for row in rows:
            upsert(session, "observations", [row])
    one_by_one = contents(database)
    with database.session() as session:
        session.execute(sa.delete(Observation))
        done = upsert(session, "observations", rows)
    assert done.inserted == COPY_ROWS_MIN
    assert contents(database) == one_by_one
    changed = many(COPY_ROWS_MIN, exposure_time=33.5, is_current=False, file_name="\\.\n")
    with database.session() as session:
        done = upsert(session, "observations", [*changed[:-1], rows[-1]])
    assert (done.updated, done.unchanged) == (COPY_ROWS_MIN - 1, 1)
    found = contents(database)
    assert {row["file_name"] for row in found} == {"\\.\n", rows[-1]["file_name"]}
    assert sum(row["exposure_time"] == 33.5 for row in found) == COPY_ROWS_MIN - 1


def test_two_updates_of_many_in_one_transaction(database: Database):
    with database.session() as session:
        add_observations(session)
        for airmass in (1.0, 2.0, 3.0):
            upsert(session, "observations", many(COPY_ROWS_MIN, airmass=airmass))
        assert set(session.scalars(sa.select(Observation.airmass))) == {3.0}


def test_what_the_session_holds_comes_before_many_rows(database: Database):
    with database.session() as session:
        session.add(Survey(id=SURVEY_ID, name="test"))
        upsert(session, "observations", many(COPY_ROWS_MIN))


def test_a_bad_row_among_many_is_an_integrity_error_and_nothing_is_written(database: Database):
    with database.session() as session:
        (one,) = add_observations(session, "a")
    product = difference_product(one, n_candidates=COPY_ROWS_MIN)
    *most, last = product.rows["candidates"]
    rows = {**product.rows, "candidates": (*most, {**last, "significance": None})}
    with pytest.raises(sa.exc.IntegrityError) as caught, database.session() as session:
        replace_partition(
            session,
            asset="difference_images",
            night=NIGHT,
            tile=TILE,
            products=[replace(product, rows=rows, rows_sha256="")],
        )
    assert "318.1" not in str(caught.value.statement)
    with database.read() as session:
        assert session.scalars(sa.select(Candidate)).all() == []
