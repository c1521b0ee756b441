"""The synthetic sky: a seeded generator of exposures with their truth.

Tests, the demo's fall-back, training and benchmarks all use it; what it makes says SYNTHET = T.
"""

from astrid_assets.imaging.synthetic.epoch import Epoch
from astrid_assets.imaging.synthetic.field import Kind, SkyField, make_field
from astrid_assets.imaging.synthetic.fits_file import to_fits
from astrid_assets.imaging.synthetic.pair import SyntheticPair, make_pair
from astrid_assets.imaging.synthetic.render import SourceTruth, SyntheticExposure, render

__all__ = [
    "Epoch",
    "Kind",
    "SkyField",
    "SourceTruth",
    "SyntheticExposure",
    "SyntheticPair",
    "make_field",
    "make_pair",
    "render",
    "to_fits",
]
