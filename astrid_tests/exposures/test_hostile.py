"""Files damaged at random: every outcome is an exposure or a reason, never anything else."""

from __future__ import annotations

import gzip
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings

from astrid_assets.exposures.decode import Decoder
from astrid_assets.exposures.examine import Examined, examine
from astrid_assets.exposures.file_limits import DecodeLimits
from astrid_assets.exposures.prescan import prescan
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.survey import load_surveys
from astrid_tests.exposures.fits_files import (
    COUNTS,
    FIRST,
    as_bytes,
    header,
    image,
    pixels,
    primary,
    raw_header,
    write,
)
from astrid_tests.exposures.fuzzed import spoilt_files

LIKELY = list(b" 0123456789'=/EeTF-+.")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(content)
    for _ in range(rng.integers(1, 12)):
        position = int(rng.integers(0, min(len(out), 2880 * 3)))
        out[position] = int(rng.choice(LIKELY)) if rng.random() < 0.5 else int(rng.integers(256))
    return bytes(out)


def examine_one(path: Path, decoder: Decoder) -> Examined:
    surveys = load_surveys()
    return examine(
        path,
        name="x.fits",
        sha256="0" * 64,
        survey=surveys["directory"],
        surveys=surveys,
        sidecars={},
        decoder=decoder,
        now=datetime.now(UTC),
    )


def test_random_damage_has_typed_outcomes_only(tmp_path: Path, decoder: Decoder) -> None:
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
            examined = examine_one(path, decoder)
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


def taken_or_refused(path: Path, decoder: Decoder) -> Reason | None:
    """Return why a file is refused, None where it is taken; fail for anything else, or too slow."""
    started, problem = time.monotonic(), None
    try:
        examine_one(path, decoder)
    except RejectedFile as refusal:
        problem = refusal
    assert time.monotonic() - started < 10 + 5, "longer than the limit and a slow machine"
    if problem is None:
        return None
    assert len(problem.message) > 20
    assert str(path.parent) not in problem.message
    return problem.reason


def fuzz(n_files: int, path: Path, decoder: Decoder) -> Counter[str]:
    """Examine so many spoilt files; return the outcomes."""
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=n_files,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(spoilt_files())
    def look(content: bytes) -> None:
        path.write_bytes(content)
        outcomes[str(taken_or_refused(path, decoder))] += 1

    look()
    return outcomes


def test_spoilt_headers_end_in_typed_outcomes_only(tmp_path: Path, decoder: Decoder) -> None:
    outcomes = fuzz(200, tmp_path / "x.fits", decoder)
    assert outcomes["None"] > 20
    assert len(outcomes) >= 8
    assert outcomes[Reason.DECODE_TIMEOUT] == 0


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_five_thousand_spoilt_headers(tmp_path: Path, decoder: Decoder) -> None:
    outcomes = fuzz(5000, tmp_path / "x.fits", decoder)
    sys.stdout.write(f"{outcomes.total()} files: {dict(outcomes.most_common())}\n")
    assert outcomes.total() >= 5000
    assert outcomes["None"] > 500
    assert outcomes[Reason.DECODE_TIMEOUT] == 0


SOUND = {
    "plain.fits": as_bytes(image(1), checksum=True),
    "many.fits": as_bytes(
        fits.PrimaryHDU(),
        fits.ImageHDU(pixels(1), header(), name="SCI"),
        fits.ImageHDU(pixels(2), name="VAR"),
        checksum=True,
    ),
    "tiles.fits.fz": as_bytes(fits.PrimaryHDU(), fits.CompImageHDU(pixels(2), header())),
    "packed.fits.gz": gzip.compress(as_bytes(image(3))),
}


@pytest.mark.parametrize("name", sorted(SOUND))
def test_a_file_cut_anywhere_is_refused(name: str, tmp_path: Path, decoder: Decoder) -> None:
    content, path = SOUND[name], tmp_path / name
    path.write_bytes(content)
    assert taken_or_refused(path, decoder) is None
    rng = np.random.default_rng(25)
    blocks = [0, 1, 79, 80, 2879, 2880, 2881, len(content) - 2880, len(content) - 1]
    cuts = sorted(
        {*(cut for cut in blocks if cut < len(content)), *rng.integers(1, len(content), 22)}
    )
    assert len(cuts) >= 25
    for cut in cuts:
        path.write_bytes(content[:cut])
        reason = taken_or_refused(path, decoder)
        padding_only = name == "many.fits" and cut >= len(content) - 2880
        assert reason is not None or padding_only, f"cut at byte {cut} of {len(content)}"


def test_what_is_too_much_is_refused_at_once(tmp_path: Path, decoder: Decoder) -> None:
    empty = [*FIRST, "NAXIS   =                    0"]
    ten_megabytes = raw_header([*empty, *(f"COMMENT {n}" for n in range(131_072))])
    extension = [
        "XTENSION= 'IMAGE   '",
        *empty[1:],
        *COUNTS,
        *(f"HISTORY {n}" for n in range(5000)),
    ]
    bomb = gzip.compress(primary(8, 10000, 10000) + bytes(100 << 20), 9)
    assert len(bomb) * 900 < 100 << 20
    for content, expected in (
        (ten_megabytes, Reason.TOO_MANY_CARDS),
        (raw_header(empty) + raw_header(extension) * 25, Reason.TOO_MANY_CARDS),
        (bomb, Reason.GZIP_BOMB),
    ):
        path = tmp_path / "x.fits"
        path.write_bytes(content)
        started = time.monotonic()
        assert taken_or_refused(path, decoder) == expected
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["u1", ">i2", "uint16", ">i4", ">f4", ">f8"])
def test_decoding_takes_twice_the_declared_memory_at_most(kind: str, tmp_path: Path) -> None:
    """Every type of pixels is read within the limit that its headers set."""
    side = 3000
    data = (np.arange(side * side).reshape(side, side) % 251).astype(kind)
    path = write(tmp_path / "x.fits", fits.PrimaryHDU(data, header()))
    scan = prescan(path)
    assert scan.declared_bytes == side * side * (np.dtype(kind).itemsize + 4)
    with Decoder(DecodeLimits(memory_free_bytes=16 << 20)) as child:
        assert child.inspect(path, declared_bytes=scan.declared_bytes).images
        with pytest.raises(RejectedFile) as caught:
            child.inspect(path, declared_bytes=scan.declared_bytes // 4)
        assert caught.value.reason in (Reason.TOO_LARGE, Reason.DECODER_DIED)
        assert child.inspect(path, declared_bytes=scan.declared_bytes).images
