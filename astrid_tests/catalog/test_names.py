"""Names: issued once, sayable, kept through merges and splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrid_assets.catalog.association import associate
from astrid_assets.catalog.names import (
    KnownName,
    assign_names,
    name_of,
    next_serials,
    parse_name,
)
from astrid_tests.catalog.test_association import make, offset


def issuer(start: int = 10):
    serials = iter(range(start, 1000))
    return lambda group: name_of(2026, next(serials))


def groups_at(*clusters):
    """One group for each cluster of ids; clusters stand 100 arcsec apart, members at one place."""
    positions, ids = [], []
    for place, cluster in clusters:
        for member in cluster:
            positions.append(offset(50.0, -30.0, 100.0 * place, 0.0))
            ids.append(member)
    return associate(make(positions, ids=ids), radius_arcsec=1.0)


def known(name, members, place):
    return KnownName(name, frozenset(members), *offset(50.0, -30.0, 100.0 * place, 0.0))


A, B, C = (name_of(2026, i) for i in range(3))


@given(st.integers(1900, 2200), st.integers(0, 30_000_000))
def test_a_name_gives_back_its_year_and_serial(year, serial) -> None:
    assert parse_name(name_of(year, serial)) == (year, serial)


def test_names_look_as_announced() -> None:
    assert name_of(2026, 0) == "AID26aaaa"
    assert name_of(2026, 26**4) == "AID26aaaaa"
    assert name_of(1998, 1) == "AID1998aaab"
    assert next_serials([A, B, "AID18aaac"]) == {2026: 2, 2018: 3}
    with pytest.raises(ValueError, match="AID26"):
        parse_name("SN2018x")


def test_a_new_group_gets_a_new_name_and_keeps_it() -> None:
    groups = groups_at((0, "pq"))
    naming = assign_names(groups, [], radius_arcsec=1, issue=issuer())
    assert naming.names == naming.issued == (name_of(2026, 10),)
    again = assign_names(groups, [known(naming.names[0], "pq", 0)], radius_arcsec=1, issue=issuer())
    assert again.names == naming.names
    assert (again.issued, again.aliases, again.withdrawn) == ((), (), ())


def test_a_merge_keeps_the_older_name_and_an_alias() -> None:
    entries = [known(B, "rs", 0), known(A, "pq", 0)]
    naming = assign_names(groups_at((0, "pqrs")), entries, radius_arcsec=1, issue=issuer())
    assert naming.names == (A,)
    assert [(a.name, a.current, a.reason) for a in naming.aliases] == [(B, A, "merged")]


def test_a_split_keeps_the_name_with_most_members() -> None:
    naming = assign_names(
        groups_at((0, "p"), (1, "qr")), [known(A, "pqr", 1)], radius_arcsec=1, issue=issuer()
    )
    assert naming.names == (name_of(2026, 10), A)
    assert [(a.name, a.current, a.reason) for a in naming.aliases] == [
        (A, name_of(2026, 10), "split")
    ]


def test_a_split_after_a_merge_revives_the_merged_name() -> None:
    entries = [known(A, "pqrs", 0), known(B, "", 1)]
    naming = assign_names(groups_at((0, "pqr"), (1, "s")), entries, radius_arcsec=1, issue=issuer())
    assert naming.names == (A, B)
    assert not naming.issued


def test_new_ids_at_the_old_place_keep_the_name() -> None:
    naming = assign_names(
        groups_at((0, "xy")), [known(A, "pq", 0), known(C, "z", 5)], radius_arcsec=1, issue=issuer()
    )
    assert naming.names == (A,)
    assert naming.withdrawn == (C,)
