"""The synthetic pair that everything is measured on, in memory and as delivered files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.fits_file import to_fits
from astrid_assets.imaging.synthetic.pair import SyntheticPair, make_pair

_SEED = 1
_EPOCH = Epoch(cosmic_rays_per_mpix=100.0, bad_columns=2)


@dataclass(frozen=True)
class PairFiles:
    """Detrended FITS files of one pair of `size_pix` squared, sky and cosmic rays still in."""

    size_pix: int
    science: Path
    reference: Path


def bench_pair(size_pix: int) -> SyntheticPair:
    """Return the pair of `size_pix` squared: 900 stars and 100 cosmic rays per Mpix."""
    shape = (size_pix, size_pix)
    return make_pair(_SEED, shape, n_transients=size_pix // 8, science=_EPOCH)


def write_pair(size_pix: int, folder: Path) -> PairFiles:
    """Write the pair of `size_pix` into `folder`."""
    pair = bench_pair(size_pix)
    return PairFiles(
        size_pix,
        to_fits(pair.science, folder / "science.fits"),
        to_fits(pair.reference, folder / "reference.fits"),
    )
