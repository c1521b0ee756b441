"""Candidates on the synthetic sky: found, measured, and rejected for the right reason."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import ascii as ascii_tables

from astrid_assets.candidates.extract import find_candidates
from astrid_assets.candidates.rules import RULES, CandidateSettings, rule_meanings
from astrid_assets.candidates.table import to_table, write_tables
from astrid_assets.difference.subtract import subtract
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.images import MaskPlane

SHAPE = (500, 511)


@pytest.fixture(scope="module")
def pair():
    epoch = Epoch(shape=SHAPE, rotation_deg=0.1, wcs_error_pix=(0.3, 0.2))
    return make_pair(21, SHAPE, n_transients=25, transient_snr=(12.0, 40.0), science=epoch)


@pytest.fixture(scope="module")
def subtraction(pair):
    return subtract(pair.science.image(), pair.reference.image())


@pytest.fixture(scope="module")
def candidates(pair, subtraction):
    return find_candidates(subtraction, pair.science.image())


def matched(candidates, truth, radius=1.5):
    out = []
    for x, y, flux in zip(truth.x, truth.y, truth.flux_adu, strict=True):
        near = [c for c in candidates if np.hypot(c.pixel_x - x, c.pixel_y - y) < radius]
        out.append((flux, x, y, max(near, key=lambda c: c.significance) if near else None))
    return out


def test_every_bright_transient_is_found_and_accepted(pair, candidates):
    rows = matched(candidates, pair.truth)
    clean = [(f, x, y, c) for f, x, y, c in rows if c is None or c.mask_bits == 0]
    assert len(clean) >= 20
    assert sum(c is not None and c.is_accepted for *_, c in clean) >= len(clean) - 1
    pulls = np.array([(c.flux - f) / c.flux_error for f, _, _, c in clean if c])
    assert np.abs(np.median(pulls)) < 0.6
    offsets = np.array([(c.pixel_x - x, c.pixel_y - y) for _, x, y, c in clean if c])
    bound = np.array([c.ra_error / 0.262 for *_, c in clean if c])
    ratio = offsets / bound[:, None]
    assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1, abs=0.35)


def test_hardly_anything_else_is_accepted(pair, candidates):
    real = {c.rank for *_, c in matched(candidates, pair.truth, 4) if c}
    assert sum(c.is_accepted and c.rank not in real for c in candidates) <= 1


def test_columns_are_what_they_say(pair, subtraction, candidates):
    order = [(c.pixel_y, c.pixel_x) for c in candidates]
    assert order == sorted(order)
    assert [c.rank for c in candidates] == list(range(len(candidates)))
    wcs = pair.science.image().wcs
    for c in candidates:
        ra, dec = wcs.all_pix2world(c.pixel_x, c.pixel_y, 0)
        assert (c.ra, c.dec) == (pytest.approx(float(ra)), pytest.approx(float(dec)))
        assert c.snr == pytest.approx(c.flux / c.flux_error)
        assert c.is_negative == (c.significance < 0)
        assert abs(c.significance) >= 5
        assert c.status == ("new" if c.rejection_rule is None else "rejected")
        assert (c.rejection_rule is None) == (c.rejection_value is None)
        assert c.rejection_rule is None or c.rejection_rule in rule_meanings()
        assert 0 <= c.masked_fraction <= 1
    accepted = [c for c in candidates if c.is_accepted and c.snr > 12]
    point = subtraction.metrics.fwhm_difference_pix
    assert np.median([c.fwhm for c in accepted]) == pytest.approx(point, rel=0.15)
    assert np.median([c.chi2 for c in accepted]) == pytest.approx(1, abs=0.3)
    assert np.median([c.positive_pixel_fraction for c in accepted]) > 0.85
    aperture = np.array([c.aperture_flux / c.flux for c in accepted])
    assert 0.6 < np.median(aperture) < 1.05


def test_exchange_of_the_images_gives_the_same_candidates_as_negatives(pair):
    science, reference = pair.science.image(), pair.reference.image()
    made = subtract(reference, science)
    found = find_candidates(made, reference)
    negative = [c for c in found if c.is_negative and c.mask_bits == 0]
    assert len(negative) >= 15
    assert all(c.flux < 0 and c.significance < 0 for c in negative)
    assert {c.rejection_rule for c in negative} & {"negative"}
    assert not any(c.is_accepted for c in found if c.is_negative)


def test_a_cosmic_ray_and_a_hot_pixel_are_rejected(pair):
    science = pair.science.image()
    data, mask = science.data.copy(), science.mask.copy()
    sigma = float(np.sqrt(np.median(science.variance)))
    places = [(100, 400), (250, 120), (420, 260), (330, 480)]
    for y, x in places:
        data[y, x] += 60 * sigma
    data[200, 300:304] += 60 * sigma
    mask[200, 300:304] |= MaskPlane.COSMIC_RAY.flag
    made = subtract(science.with_(data=data, mask=mask), pair.reference.image())
    found = find_candidates(made, science)
    for y, x in places:
        near = [c for c in found if np.hypot(c.pixel_x - x, c.pixel_y - y) < 2]
        assert near
        assert {c.rejection_rule for c in near} <= {"sharp", "chi2", "dipole"}
    assert not any(c.is_accepted and np.hypot(c.pixel_x - 302, c.pixel_y - 200) < 6 for c in found)


def test_a_misplaced_star_is_a_dipole_or_a_residual_not_a_discovery():
    pair = make_pair(5, (400, 400), science=Epoch(shape=(400, 400)))
    reference = pair.reference.image()
    truth = pair.reference.truth
    inside = (np.minimum(truth.x, truth.y) > 50) & (np.maximum(truth.x, truth.y) < 350)
    usable = inside & (truth.flux_adu < 3e5) & (truth.kind == 0)
    k = np.flatnonzero(usable)[np.argmax(truth.flux_adu[usable])]
    x, y = round(truth.x[k]), round(truth.y[k])
    data = reference.data.copy()
    box = np.s_[y - 12 : y + 13, x - 12 : x + 13]
    data[box] = 0.6 * data[box] + 0.4 * np.roll(reference.data, 1, axis=1)[box]
    science = pair.science.image()
    found = find_candidates(subtract(science, reference.with_(data=data)), science)
    near = [c for c in found if np.hypot(c.pixel_x - x, c.pixel_y - y) < 10]
    assert near
    assert not any(c.is_accepted for c in near)
    assert any(c.is_dipole for c in near)


def test_masks_give_their_own_reason(pair):
    science = pair.science.image()
    accepted = [
        c
        for c in find_candidates(subtract(science, pair.reference.image()), science)
        if c.is_accepted and c.snr > 15
    ][:3]
    mask = science.mask.copy()
    planes = (MaskPlane.SATURATED, MaskPlane.COSMIC_RAY, MaskPlane.BAD)
    for c, plane in zip(accepted, planes, strict=True):
        x, y = round(c.pixel_x), round(c.pixel_y)
        mask[y, x + 1] |= plane.flag
        mask[y + 1, x + 1] |= plane.flag
    found = find_candidates(subtract(science.with_(mask=mask), pair.reference.image()), science)
    for c, rule in zip(accepted, ("saturated", "cosmic_ray", "bad_pixel"), strict=True):
        near = [d for d in found if np.hypot(d.pixel_x - c.pixel_x, d.pixel_y - c.pixel_y) < 2]
        assert [d.rejection_rule for d in near] == [rule]
        assert near[0].is_flux_masked
        assert near[0].masked_fraction > 0.1


def test_nothing_there_gives_no_candidates(pair, subtraction):
    difference = subtraction.difference
    quiet = replace(difference, score_corrected=np.zeros(SHAPE, np.float32))
    science = pair.science.image()
    assert find_candidates(quiet, science, subtraction.reference_on_science) == ()
    with pytest.raises(ValueError, match="reference"):
        find_candidates(quiet, science)


def test_a_higher_threshold_gives_a_subset(pair, subtraction, candidates):
    settings = CandidateSettings(threshold_sigma=20.0)
    strong = find_candidates(subtraction, pair.science.image(), settings=settings)
    assert 0 < len(strong) < len(candidates)
    assert all(abs(c.significance) >= 20 for c in strong)


def test_tables_round_trip_with_units(tmp_path, candidates):
    parquet, ecsv = write_tables(candidates, tmp_path / "candidates")
    table = to_table(candidates)
    assert table["ra"].unit == "deg"
    again = ascii_tables.read(ecsv, format="ecsv")
    binary = pq.read_table(parquet).to_pandas()
    for name in ("pixel_x", "pixel_y", "significance", "flux", "ra", "dec"):
        assert np.allclose(again[name], table[name]), name
        assert np.allclose(binary[name], table[name]), name
    empty = np.array([c.rejection_rule or "" for c in candidates])
    assert [str(v or "") for v in binary["rejection_rule"]] == empty.tolist()
    nothing = write_tables((), tmp_path / "none")
    assert all(path.stat().st_size > 0 for path in nothing)


def test_rule_names_are_unique_and_explained():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.meaning for rule in RULES)
