"""The rows of `candidates` say what was measured, in the database as in the files."""

from dataclasses import asdict, replace
from types import SimpleNamespace
from uuid import UUID

import pytest

from astrid_assets.candidates.candidate import unconfirmed_fraction
from astrid_assets.candidates.extract import find_candidates
from astrid_assets.candidates.rows import candidate_rows
from astrid_assets.difference.forced import interpolated
from astrid_assets.difference.subtract import SubtractionSettings, subtract
from astrid_assets.imaging.synthetic.pair import make_pair

OBSERVATION = SimpleNamespace(id=UUID(int=1), mjd_mid=58334.2, filter_band="r")


@pytest.fixture(scope="module")
def candidate():
    pair = make_pair(4, (300, 300), n_transients=4, transient_snr=(15.0, 30.0))
    science = pair.science.image()
    return find_candidates(subtract(science, pair.reference.image()), science)[0]


@pytest.mark.parametrize("is_flux_masked", [True, False])
def test_a_row_is_the_candidate_as_measured(candidate, is_flux_masked):
    measured = replace(candidate, is_flux_masked=is_flux_masked, masked_fraction=0.1)
    (row,) = candidate_rows(
        [measured], difference_run_id=UUID(int=2), observation=OBSERVATION, zero_point_ab_mag=None
    )
    for name, value in asdict(measured).items():
        assert row[name] == value, name
    assert row["flux_njy"] is None


def test_a_zero_point_gives_nanojansky(candidate):
    (row,) = candidate_rows(
        [candidate], difference_run_id=UUID(int=2), observation=OBSERVATION, zero_point_ab_mag=31.4
    )
    assert row["flux_njy"] == pytest.approx(candidate.flux)


def test_the_second_algorithms_score_stands_with_the_candidate(candidate):
    assert candidate.other_score is None
    pair = make_pair(4, (300, 300), n_transients=4, transient_snr=(15.0, 30.0))
    science = pair.science.image()
    both = SubtractionSettings(compare_with="alard_lupton")
    made = subtract(science, pair.reference.image(), settings=both)
    found = find_candidates(made, science)
    for one in found:
        expected = interpolated(made.other_score, one.pixel_x, one.pixel_y)
        assert one.other_score == pytest.approx(float(expected))
    accepted = [one for one in found if one.is_accepted]
    assert accepted
    assert all(abs(one.other_score - one.significance) < 1 for one in accepted)
    assert unconfirmed_fraction(found, threshold_sigma=5.0) == 0
    lost = [replace(accepted[0], other_score=2.0), *accepted[1:]]
    assert unconfirmed_fraction(lost, threshold_sigma=5.0) == 1 / len(accepted)
    faded = replace(accepted[0], is_negative=True, other_score=-9.0)
    assert unconfirmed_fraction([faded], threshold_sigma=5.0) == 0
    assert unconfirmed_fraction([candidate], threshold_sigma=5.0) is None
