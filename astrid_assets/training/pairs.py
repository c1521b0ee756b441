"""The raw exposures of a synthetic field, with the truth of what differs and of what spoils them.

What the pipeline makes of them stands in `dataset.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from astrid_assets.imaging.synthetic import Epoch, Kind, SkyField, render
from astrid_assets.training.artefacts import spoil
from astrid_assets.training.fields import (
    FieldSettings,
    Night,
    make_epochs,
    make_night,
    make_sky,
    one_of,
)
from astrid_assets.training.truth import InjectedTruth, draw_truth, truth_sources
from astrid_assets.training.warped import Warp, warped
from astrid_resources.images import RawExposure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """What truly lies on the science grid beside the sources put in.

    artefacts, reference_artefacts: `Artefact` codes [y, x] of either exposure.
    x, y: (n,) stars and galaxies, pixels; flux_adu: in science counts; is_star.
    """

    artefacts: NDArray[np.uint8] = field(repr=False)
    reference_artefacts: NDArray[np.uint8] = field(repr=False)
    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    flux_adu: Floats = field(repr=False)
    is_star: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True)
class RawPair:
    """The raw exposures of one field with the truth of what differs.

    index: of the field; view: which science exposure of it; each exposure stands on its own grid.
    references: one, or what a coadd is to be made of. The first n_gone sources of the truth are in
    the references, and so the same in every view.
    """

    index: int
    view: int
    night: Night
    science: RawExposure
    references: tuple[RawExposure, ...]
    truth: InjectedTruth
    n_gone: int
    scene: Scene


def make_raw_pair(index: int, settings: FieldSettings) -> RawPair:
    """Return the first view of field `index`, see `make_raw_pairs`."""
    return make_raw_pairs(index, settings, n_views=1)[0]


def make_raw_pairs(index: int, settings: FieldSettings, *, n_views: int) -> tuple[RawPair, ...]:
    """Return the views of field `index`: raw exposures of one sky with the truth of what differs.

    The views share the references and what is in these alone; each has its own science exposure
    with its own new sources, noise and defects.
    """
    night = make_night(index // settings.fields_per_night, settings)
    rng = np.random.default_rng([settings.seed, 2, index])
    epoch, reference_epoch = make_epochs(night, settings, rng)
    sky = make_sky(epoch, settings, rng)
    truth = draw_truth(sky, epoch, settings.sources, rng)
    gone = truth.select(truth.is_negative)
    camera = _camera(settings, rng)
    n_inputs = 1
    if rng.random() < settings.coadded_share:
        n_inputs = int(rng.integers(settings.coadded_inputs[0], settings.coadded_inputs[1] + 1))
    turn = float(rng.uniform(0.1, 0.7)) * (rng.random() < settings.artefacts.turned_share)
    old = sky.plus(truth_sources(gone, epoch, is_negative=True))
    exposed = [
        camera.expose(old, one_of(reference_epoch, n_inputs, rng), rng, turn_rad=turn)
        for _ in range(n_inputs)
    ]
    references = tuple(one.raw for one in exposed)
    pairs = []
    for view in range(n_views):
        rng = np.random.default_rng([settings.seed, 4, index, view])
        truth = draw_truth(sky, epoch, settings.sources, rng, gone=gone)
        new = sky.plus(truth_sources(truth, epoch, is_negative=False))
        taken = camera.expose(new, epoch, rng)
        x, y = epoch.wcs(is_true=True).all_world2pix(sky.ra, sky.dec, 0)
        if taken.warp is not None:
            x, y = taken.warp.move(x, y)
            moved = taken.warp.move(truth.x, truth.y)
            truth = replace(
                truth, x=moved[0], y=moved[1], length_pix=truth.length_pix * taken.warp.stretch,
                angle_rad=taken.warp.turn(truth.angle_rad),
            )  # fmt: skip
        near = np.zeros_like(taken.codes)
        if n_inputs == 1:
            near = _on_science(exposed[0].codes, references[0], taken.raw)
        scene = Scene(
            artefacts=taken.codes,
            reference_artefacts=near,
            x=np.asarray(x),
            y=np.asarray(y),
            flux_adu=epoch.flux_adu(sky.magnitude_ab),
            is_star=sky.kind == Kind.STAR,
        )
        pairs.append(RawPair(index, view, night, taken.raw, references, truth, len(gone), scene))
    return tuple(pairs)


@dataclass(frozen=True)
class _Exposed:
    raw: RawExposure
    codes: NDArray[np.uint8] = field(repr=False)
    warp: Warp | None


@dataclass(frozen=True)
class _Camera:
    """What the exposures of a field have in common; spider_rad: None without one."""

    settings: FieldSettings
    is_warped: bool
    is_declared: bool
    spider_rad: float | None

    def expose(
        self, sky: SkyField, epoch: Epoch, rng: np.random.Generator, *, turn_rad: float = 0.0
    ) -> _Exposed:
        """Return an exposure as it is delivered; turn_rad: of the camera against the sky."""
        angle = None if self.spider_rad is None else self.spider_rad + turn_rad
        if self.is_warped:
            left = self.settings.warps.cosmic_rays_left * epoch.cosmic_rays_per_mpix
            epoch = replace(epoch, cosmic_rays_per_mpix=left)
        exposure = render(sky, epoch, rng)
        raw, codes = spoil(
            exposure, spider_angle_rad=angle, rng=rng, settings=self.settings.artefacts
        )
        raw = raw if self.is_declared else replace(raw, bad=None)
        if not self.is_warped:
            return _Exposed(raw, codes, None)
        raw, warp = warped(raw, rng=rng, settings=self.settings.warps)
        return _Exposed(raw, warp.codes(codes), warp)


def _camera(settings: FieldSettings, rng: np.random.Generator) -> _Camera:
    is_warped = rng.random() < settings.warps.share
    is_declared = rng.random() >= settings.undeclared_share
    has_spider = rng.random() < settings.artefacts.spike_share_of_fields
    angle = float(rng.uniform(0, np.pi / 2))
    return _Camera(settings, is_warped, is_declared, angle if has_spider else None)


def _on_science(
    codes: NDArray[np.uint8], reference: RawExposure, science: RawExposure
) -> NDArray[np.uint8]:
    """Return the codes of the reference's pixels at the science pixels where they fall."""
    y, x = np.nonzero(codes)
    out = np.zeros(science.shape, np.uint8)
    if len(x):
        ra, dec = reference.wcs.all_pix2world(x, y, 0)
        u, v = science.wcs.all_world2pix(ra, dec, 0)
        u, v = np.rint(u).astype(int), np.rint(v).astype(int)
        inside = (u >= 0) & (v >= 0) & (u < out.shape[1]) & (v < out.shape[0])
        np.maximum.at(out, (v[inside], u[inside]), codes[y[inside], x[inside]])
    return out
