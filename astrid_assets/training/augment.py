"""What may differ in a candidate's cutout without changing what it is: drawn anew for each batch.

Dihedral turns, sub-pixel shifts, a seeing that is not what the PSF says, a reference a little off,
more noise, another flux scale, borders lost. Everything is done in units of noise (not of asinh).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AugmentSettings:
    """How much at most, in cutout pixels (4 per FWHM) or relative.

    shift_pix: of the whole cutout; seeing: relative change of size, each axis for itself;
    registration_pix: of the reference alone. noise: rms added to science and difference, in units
    of theirs, in noise_share of the samples, white or smoothed. gain: rms change of all amplitudes.
    edge_share: of samples that lose a border. turns: whether there are dihedral turns.
    """

    shift_pix: float = 0.7
    seeing: float = 0.08
    registration_pix: float = 0.5
    noise: float = 0.5
    noise_share: float = 0.3
    gain: float = 0.1
    edge_share: float = 0.05
    turns: bool = True


NONE = AugmentSettings(
    shift_pix=0, seeing=0, registration_pix=0, noise=0, noise_share=0, gain=0, edge_share=0,
    turns=False,
)  # fmt: skip


def _operators(size: int, shift: Floats, zoom: Floats) -> Floats:
    """Return (n, size, size) matrices that read a row at (i - c) * zoom + c + shift.

    Cubic convolution (Keys 1981, a = -1/2); what lies outside counts as 0.
    """
    n, centre = len(shift), size // 2
    at = (np.arange(size, dtype=np.float32) - centre) * zoom[:, None] + centre + shift[:, None]
    first = np.floor(at).astype(int)
    t = at - first
    taps = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    out = np.zeros((n, size, size + 4), np.float32)
    sample, row = np.arange(n)[:, None], np.arange(size)[None]
    for k, weight in enumerate(taps):
        out[sample, row, np.clip(first - 1 + k, -2, size + 1) + 2] += weight
    return out[:, :, 2:-2]


def _read(images: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return (n, s, s, c) images read by row and column matrices (n, s, s)."""
    n, size, _, channels = images.shape
    out = (rows @ images.reshape(n, size, size * channels)).reshape(n, size, size, channels)
    return columns[:, None] @ out


def augment(
    cutouts: Floats, masks: Floats, *, rng: np.random.Generator, settings: AugmentSettings
) -> tuple[Floats, Floats]:
    """Return cutouts (n, s, s, 3) and masks (n, s, s) changed by what `rng` draws.

    Unknown pixels (0) stay near 0; the masks follow the shifts and turns.
    """
    n, size = cutouts.shape[:2]
    both = np.concatenate([np.sinh(cutouts), masks[..., None]], axis=3)
    out = np.empty_like(both)
    turns = np.floor(rng.random(n) * (8 if settings.turns else 1)).astype(int)
    for i in range(n):
        turn = int(turns[i])
        stamp = np.rot90(both[i], turn % 4)
        out[i] = stamp[:, ::-1] if turn >= 4 else stamp
    if settings.shift_pix or settings.seeing or settings.registration_pix:
        out = _moved(out, rng, settings)
    images = out[..., :3]
    if settings.noise:
        _add_noise(images, rng, settings)
    if settings.gain:
        images *= np.exp(rng.normal(0, settings.gain, n)).astype(np.float32)[:, None, None, None]
    for row in np.flatnonzero(rng.random(n) < settings.edge_share):
        out[row, : int(rng.integers(1, size // 2 - 4))] = 0
    return np.arcsinh(images).astype(np.float32), np.clip(out[..., 3], 0, 1).astype(np.float32)


def _moved(both: Floats, rng: np.random.Generator, settings: AugmentSettings) -> Floats:
    n, size = both.shape[:2]
    draw = rng.uniform(-1, 1, size=(6, n)).astype(np.float32)
    zoom = 1 + settings.seeing * draw[:2]
    shift = settings.shift_pix * draw[2:4]
    off = shift + settings.registration_pix * draw[4:]
    rows = _operators(size, shift[0], zoom[0])
    columns = _operators(size, shift[1], zoom[1])
    out = _read(both[..., [0, 2, 3]], rows, columns)
    reference = _read(
        both[..., 1:2], _operators(size, off[0], zoom[0]), _operators(size, off[1], zoom[1])
    )
    return np.concatenate([out[..., :1], reference, out[..., 1:]], axis=3)


def _add_noise(images: Floats, rng: np.random.Generator, settings: AugmentSettings) -> None:
    """Add noise in place to science and, what of it the difference sees, to the difference."""
    n, size = images.shape[:2]
    chosen = np.flatnonzero(rng.random(n) < settings.noise_share)
    if not len(chosen):
        return
    noise = rng.standard_normal((len(chosen), size, size), np.float32)
    smooth = rng.random(len(chosen)) < 0.5
    for axis in (1, 2):
        spread = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / np.float32(
            np.sqrt(6)
        )
        noise = np.where(smooth[:, None, None], spread, noise)
    level = (settings.noise * rng.random(len(chosen))).astype(np.float32)[:, None, None]
    share = rng.uniform(0.6, 1, len(chosen)).astype(np.float32)[:, None, None]
    for channel, part in ((0, level), (2, level * share)):
        seen = images[chosen, :, :, channel]
        images[chosen, :, :, channel] = np.where(
            seen != 0, (seen + part * noise) / np.sqrt(1 + part**2), 0
        )
