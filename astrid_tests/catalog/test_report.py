"""The report: one file, nothing from outside, honest about what its numbers are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest

from astrid_assets.catalog.report import render_report, write_report
from astrid_assets.catalog.report_content import ReportSettings, collect_report
from astrid_assets.catalog.update import update_catalog
from astrid_tests.catalog.test_association import offset
from astrid_tests.catalog.world import Seen, World
from astrid_tests.detections.test_completeness import metrics as recovery_metrics

NIGHT = date(2018, 8, 3)
CENTRE = (318.108, -66.0157)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        self.addresses += [v for k, v in attrs if k in ("src", "srcset", "href", "action")]

    def handle_data(self, data) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def world(tmp_path) -> World:
    return World.new(tmp_path)


def fill(world, **values) -> None:
    reference = world.reference(*CENTRE)
    for index, minute in enumerate(("00", "40")):
        seen = (
            Seen(*CENTRE),
            Seen(*offset(*CENTRE, 6, 0), rejection_rule="<is_dipole>", rejection_value=0.8),
            Seen(*offset(*CENTRE, -6, 0), probability=0.1),
        )
        world.expose(
            f"e{index}",
            *CENTRE,
            when=f"2018-08-04T05:{minute}:00",
            night=NIGHT,
            seen=seen,
            reference=reference,
            **values,
        )
    world.expose("r", *CENTRE, when="2018-08-04T06:00:00", night=NIGHT, stop="reject")
    update_catalog(world.database, world.store, night=NIGHT, tile="t")


def test_the_page_stands_alone_and_tells_all(world, tmp_path) -> None:
    fill(world)
    report = collect_report(world.database, world.store)
    path = write_report(report, tmp_path / "deep" / "report.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "<script" not in path.read_text(encoding="utf-8")
    assert "url(" not in path.read_text(encoding="utf-8")
    assert len(page.images) == 1 + 2 * 4
    assert all(image["alt"] for image in page.images)
    assert "318.108000 -66.015700" in page.text
    assert "21:12:25.920 -66:00:56.52" in page.text
    assert "not calibrated" in page.text
    assert "Synthetic" not in page.text
    assert "confirmed" in page.text
    assert "seeing 4.2 arcsec above 3" in page.text
    assert "<is_dipole>" in page.text
    assert "scored below the model's threshold" in page.text
    assert "in quarantine 0" in page.text


def test_equal_content_gives_equal_bytes(world) -> None:
    fill(world)
    pages = [render_report(collect_report(world.database, world.store)) for _ in range(2)]
    assert pages[0] == pages[1]


def test_synthetic_and_calibrated_data_are_said_to_be_so(world) -> None:
    fill(world, is_synthetic=True, zero_point=30.0)
    report = collect_report(world.database, world.store)
    page = Page(render_report(report))
    assert 0 < report.n_synthetic < report.n_exposures
    assert "exposures are synthetic" in page.text
    assert "Nothing on this page is a real source" not in page.text
    assert all(section.is_synthetic for section in report.transients)
    assert "not calibrated" not in page.text
    assert "uJy" in page.text
    made = Page(render_report(replace(report, n_synthetic=report.n_exposures)))
    assert "Nothing on this page is a real source" in made.text
    seen = Page(render_report(replace(report, n_synthetic=0)))
    assert "synthetic sky" not in seen.text


def test_completeness_is_shown_as_a_plot_and_in_words(world) -> None:
    fill(world)
    assert "How complete" not in render_report(collect_report(world.database, world.store))
    identity = world.observations["e0"]
    world.add("injection_recovery", NIGHT, "t", identity, metrics=recovery_metrics(74))
    page = Page(render_report(collect_report(world.database, world.store)))
    assert "74 were found where this finder finds 70 in Gaussian noise" in page.text
    (plot,) = [image for image in page.images if image.get("class") == "completeness"]
    assert plot["src"].startswith("data:image/png;base64,")
    assert "74 were found" in plot["alt"]


def test_an_empty_catalog_has_a_page(world) -> None:
    page = Page(render_report(collect_report(world.database, world.store)))
    assert "No transient was found" in page.text


def test_nights_tile_and_limits_choose_what_is_shown(world) -> None:
    fill(world)
    elsewhere = collect_report(world.database, world.store, nights=[date(2019, 1, 1)], tile="t")
    assert (elsewhere.transients, elsewhere.exposures) == ((), ())
    short = collect_report(
        world.database, world.store, settings=ReportSettings(max_epochs=1, max_transients=1)
    )
    assert len(short.transients[0].epochs) == 1
    assert short.transients[0].n_epochs_left_out == 1
