"""What the README promises holds: its example declares a survey, its table lists the settings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.exposures.survey import load_surveys, read_survey
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_resources.images.fits_form import wcs_cards
from astrid_resources.settings import settings_table

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def example(tmp_path) -> Path:
    (block,) = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "hilltop.toml"
    path.write_text(block, encoding="utf-8")
    return path


def test_the_worked_example_is_a_survey(example):
    survey = read_survey(example)
    assert survey.name == "hilltop"
    assert load_surveys([example.parent])["hilltop"].fields == survey.fields


def test_the_worked_example_reads_its_instruments_files(example, tmp_path):
    from astrid_assets.exposures.ingest import IngestSettings, ingest_folder
    from astrid_resources.database import Database, Observation
    from astrid_resources.objects import ObjectStore

    header = wcs_cards(Epoch(shape=(64, 64)).wcs())
    header["INSTRUME"] = "HTCAM2"
    header["FRAMEID"] = "h0042"
    header["FILTNAM"] = "SDSS-r"
    header["ITIME"] = 60000.0
    header["AIRMASS"] = 1.1
    header["UT-START"] = "2026-03-01T23:10:00"
    folder = tmp_path / "incoming"
    folder.mkdir()
    pixels = np.random.default_rng(0).normal(500, 20, (64, 64)).astype(np.float32)
    fits.PrimaryHDU(pixels, header).writeto(folder / "night1.fits")
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    database.upgrade()
    report = ingest_folder(
        folder,
        store=ObjectStore.from_url((tmp_path / "objects").as_uri()),
        database=database,
        surveys=load_surveys([example.parent]),
        settings=IngestSettings(quiet_period_s=0.0),
    )
    assert report.counts()["n_ingested"] == 1, report.lines()
    with database.read() as session:
        (row,) = session.query(Observation).all()
    database.dispose()
    assert (row.observation_id, row.filter_band) == ("h0042", "r")
    assert row.exposure_time == 60.0
    assert (row.gain, row.read_noise, row.saturation_level) == (1.4, 7.5, 60000.0)
    assert row.night.isoformat() == "2026-03-01", "the date of the evening"


def test_the_table_of_settings_is_the_declared_one():
    assert settings_table() in README.read_text(encoding="utf-8")


def test_its_pictures_are_there():
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / name).is_file(), name
