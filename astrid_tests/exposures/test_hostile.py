"""Files damaged at random: every outcome is an exposure or a reason, never anything else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrid_assets.exposures.decode import Decoder
from astrid_assets.exposures.examine import examine
from astrid_assets.exposures.prescan import prescan
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.survey import load_surveys
from astrid_tests.exposures.fits_files import as_bytes, header, image, pixels

LIKELY = list(b" 0123456789'=/EeTF-+.")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(content)
    for _ in range(rng.integers(1, 12)):
        position = int(rng.integers(0, min(len(out), 2880 * 3)))
        out[position] = int(rng.choice(LIKELY)) if rng.random() < 0.5 else int(rng.integers(256))
    return bytes(out)


def test_random_damage_has_typed_outcomes_only(tmp_path: Path, decoder: Decoder) -> None:
    surveys = load_surveys()
    variance = fits.ImageHDU(pixels(3), name="VAR")
    sound = [
        as_bytes(image(1)),
        as_bytes(fits.PrimaryHDU(), fits.CompImageHDU(pixels(2), header()), variance),
    ]
    rng = np.random.default_rng(20)
    path, reasons, n_taken = tmp_path / "x.fits", set(), 0
    for number in range(200):
        path.write_bytes(damaged(sound[number % 2], rng))
        try:
            examined = examine(
                path,
                name="x.fits",
                sha256="0" * 64,
                survey=surveys["directory"],
                surveys=surveys,
                sidecars={},
                decoder=decoder,
                now=datetime.now(UTC),
            )
        except RejectedFile as problem:
            reasons.add(problem.reason)
        else:
            n_taken += len(examined.exposures)
    assert n_taken > 0
    assert {Reason.BAD_STRUCTURE, Reason.UNDECODABLE} <= reasons
    assert Reason.DECODER_DIED not in reasons


@pytest.mark.parametrize("text", [b"-+2", b"\xb2", b"2.0", b"0x2", b"9" * 18])
def test_signs_and_foreign_digits_are_no_integers(text: bytes, tmp_path: Path) -> None:
    card = b"NAXIS   =                    2"
    path = tmp_path / "x.fits"
    path.write_bytes(as_bytes(image(1)).replace(card, b"NAXIS   = " + text.rjust(20)))
    with pytest.raises(RejectedFile) as caught:
        prescan(path)
    assert caught.value.reason == Reason.BAD_STRUCTURE
