"""The command `astrid`: help that is enough, files in and out, one line for a known failure."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from astrid_assets.cli import app
from astrid_assets.cli.instance import prepare_home, project_file
from astrid_assets.cli.pipeline import open_pipeline
from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.fits_file import to_fits
from astrid_assets.imaging.synthetic.pair import make_pair
from astrid_resources.settings import Settings

COMMANDS = (
    "demo", "dev", "difference", "ingest", "run", "reference", "transients", "why", "status",
    "verify", "gc", "upgrade", "models",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A synthetic pair as files, with its truth."""
    folder = tmp_path_factory.mktemp("pair")
    epoch = Epoch(cosmic_rays_per_mpix=60, offset_pix=(1.4, -0.7))
    made = make_pair(11, (400, 400), n_transients=6, transient_snr=(15, 30), science=epoch)
    science = to_fits(made.science, folder / "science.fits")
    reference = to_fits(made.reference, folder / "reference.fits")
    return science, reference, made.truth


@pytest.fixture
def astrid(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRID_HOME", str(tmp_path / "home"))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(text) for text in arguments])


def test_help_names_every_command(astrid):
    shown = astrid("--help")
    assert shown.exit_code == 0
    assert all(name in shown.output for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(astrid, command):
    shown = astrid(command, "--help")
    assert shown.exit_code == 0
    assert "Usage" in shown.output


def test_difference_writes_what_it_says(astrid, pair, tmp_path):
    science, reference, truth = pair
    out = tmp_path / "out"
    shown = astrid("difference", science, reference, "-o", out, "--json")
    assert shown.exit_code == 0, shown.output
    metrics = json.loads(shown.stdout)
    assert metrics["difference"]["score_std"] == pytest.approx(1, abs=0.1)
    assert metrics["quality"]["difference_passed"], metrics["quality"]
    assert metrics["quality"]["science_grade"] in {"A", "B", "C"}
    with fits.open(out / "difference.fits") as hdus:
        names = {hdu.name for hdu in hdus}
        assert {"DIFFERENCE", "VAR", "MASK", "SCORE", "PSF_FLUX", "PSF"} <= names
        assert hdus["SCORE"].data.shape == (400, 400)
        score = hdus["SCORE"].data
    table = Table.read(out / "candidates.ecsv")
    assert list(pd.read_parquet(out / "candidates.parquet").columns) == table.colnames
    assert {"pixel_x", "pixel_y", "ra", "dec", "significance", "is_negative",
            "rejection_rule"} <= set(table.colnames)  # fmt: skip
    accepted = table[table["rejection_rule"].filled("") == ""]
    for x, y in zip(truth.x, truth.y, strict=True):
        near = np.hypot(accepted["pixel_x"] - x, accepted["pixel_y"] - y)
        assert near.min() < 1
        assert score[round(y), round(x)] > 5


def test_difference_by_the_algorithm_that_is_asked_for(astrid, pair, tmp_path):
    science, reference, _ = pair
    both = ("--algorithm", "alard_lupton", "--compare-with", "zogy")
    shown = astrid("difference", science, reference, "-o", tmp_path, "--json", *both)
    assert shown.exit_code == 0, shown.output
    numbers = json.loads(shown.stdout)["difference"]
    assert numbers["kernel"]["convolved"] in ("science", "reference")
    assert numbers["compared_with"] == "zogy"
    assert numbers["score_disagreement"] < 0.1
    with fits.open(tmp_path / "difference.fits") as hdus:
        assert hdus["DIFFERENCE"].header["ALGORITH"] == "alard_lupton"
    table = Table.read(tmp_path / "candidates.ecsv")
    accepted = table[table["rejection_rule"].filled("") == ""]
    assert len(accepted)
    assert np.abs(accepted["other_score"] - accepted["significance"]).max() < 2
    for wrong in (("--algorithm", "hotpants"), ("--compare-with", "zogy")):
        refused = astrid("difference", science, reference, "-o", tmp_path / "no", *wrong)
        assert refused.exit_code == 2
        assert not (tmp_path / "no").exists()


def test_difference_honours_a_mask_file(astrid, pair, tmp_path):
    science, reference, truth = pair
    mask = np.zeros((400, 400), np.uint8)
    x, y = round(truth.x[0]), round(truth.y[0])
    mask[y - 12 : y + 13, x - 12 : x + 13] = 1
    fits.PrimaryHDU(mask).writeto(tmp_path / "mask.fits")
    shown = astrid(
        "difference", science, reference, "-o", tmp_path, "--json",
        "--science-mask", tmp_path / "mask.fits",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    table = Table.read(tmp_path / "candidates.ecsv")
    accepted = table[table["rejection_rule"].filled("") == ""]
    assert np.hypot(accepted["pixel_x"] - x, accepted["pixel_y"] - y).min() > 10


def test_difference_of_images_apart_is_one_clear_line(astrid, pair, tmp_path):
    science, _, _ = pair
    elsewhere = make_pair(12, (400, 400), science=Epoch(ra_deg=151.0))
    other = to_fits(elsewhere.reference, tmp_path / "other.fits")
    shown = astrid("difference", science, other, "-o", tmp_path / "out")
    assert shown.exit_code == 1
    assert "covers 0" in shown.stderr
    assert "Traceback" not in shown.output
    assert not (tmp_path / "out" / "difference.fits").exists()


def test_difference_of_a_text_file_says_what_is_wrong(astrid, pair, tmp_path):
    _, reference, _ = pair
    (tmp_path / "text.fits").write_text("no image here\n" * 300)
    shown = astrid("difference", tmp_path / "text.fits", reference, "-o", tmp_path / "out")
    assert shown.exit_code == 1
    assert "FITS" in shown.stderr
    assert "Traceback" not in shown.output


def test_queries_before_anything_was_made_say_what_to_do(astrid):
    shown = astrid("transients")
    assert shown.exit_code == 1
    assert "astrid upgrade" in shown.stderr


def test_queries_of_an_empty_installation(astrid):
    assert astrid("upgrade").exit_code == 0
    assert json.loads(astrid("transients", "--json").stdout) == []
    assert json.loads(astrid("why", "--ra", "10", "--dec", "-20", "--json").stdout) == []
    status = json.loads(astrid("status", "--json").stdout)
    assert status["n_observations"] == 0
    assert "none" in astrid("transients").stdout


def test_a_tile_that_was_never_observed_is_no_partition(astrid):
    for command in (["run", "--night", "2018-08-03"], ["reference"]):
        shown = astrid(*command, "--tile", "tpyo")
        assert shown.exit_code == 1
        assert "'tpyo' is known; tiles are none yet" in shown.stderr
        assert "Traceback" not in shown.output
    assert json.loads(astrid("status", "--json").stdout)["assets"] == []


def test_a_night_outside_the_calendar_is_one_clear_line(astrid, tmp_path):
    with open_pipeline() as pipeline:
        pipeline.register_tile("5-1")
    shown = astrid("run", "--night", "1999-01-01", "--tile", "5-1")
    assert shown.exit_code == 1
    assert "ASTRID_FIRST_NIGHT" in shown.stderr


def test_the_dagster_settings_are_linked_once_and_a_persons_own_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "")
    settings = Settings(home=tmp_path)
    target = prepare_home(settings) / "dagster.yaml"
    before = target.lstat().st_ino
    prepare_home(settings)
    assert target.lstat().st_ino == before
    target.unlink()
    target.symlink_to(tmp_path / "gone")
    prepare_home(settings)
    assert target.readlink() == project_file("dagster.yaml")
    target.unlink()
    target.write_text("mine: true")
    prepare_home(settings)
    assert target.read_text() == "mine: true"


def test_ingest_says_which_files_it_did_not_take(astrid, pair, tmp_path):
    folder = tmp_path / "incoming" / "synthetic"
    folder.mkdir(parents=True)
    shutil.copyfile(pair[0], folder / "fresh.fits")
    shown = astrid("ingest", tmp_path / "incoming")
    assert shown.exit_code == 0, shown.output
    assert "not taken yet (1)" in shown.stdout
    assert "synthetic/fresh.fits" in shown.stdout
    os.utime(folder / "fresh.fits", (1_500_000_000, 1_500_000_000))
    again = json.loads(astrid("ingest", tmp_path / "incoming", "--json").stdout)
    assert again["waiting"] == []
    assert again["status"]["n_observations"] == 1


def test_a_list_with_both_skies_says_of_each_what_it_is(capsys):
    from astrid_assets.catalog.listing import COLUMNS
    from astrid_assets.cli.queries import tell_transients

    class Entry:
        def __init__(self, name: str, *, is_synthetic: bool) -> None:
            self.name, self.is_synthetic = name, is_synthetic

        def cells(self) -> tuple[str, ...]:
            return (self.name, *("-" for _ in COLUMNS[1:]))

    tell_transients((Entry("AID18a", is_synthetic=True), Entry("AID18b", is_synthetic=False)))
    lines = capsys.readouterr().out.splitlines()
    assert "SYNTHETIC" not in lines[0], "the heading must not call an observed one synthetic"
    (made,) = [line for line in lines if "AID18a" in line]
    (seen,) = [line for line in lines if "AID18b" in line]
    assert "SYNTHETIC" in made
    assert "observed" in seen
    assert "SYNTHETIC" not in seen
