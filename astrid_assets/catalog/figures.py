"""Pictures of the catalog: light curves. Stamps and previews stand in `imaging/figures.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.time import Time
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astrid_assets.catalog.lightcurve import LightCurvePoint
from astrid_assets.imaging.figures import png_bytes

_MARKERS = "osD^vP*X"
_ONE_NIGHT_DAYS = 0.9


@dataclass(frozen=True)
class Theme:
    """The inks of a plot on a transparent ground."""

    ink: str
    muted: str
    grid: str
    bands: dict[str, str]


THEMES: dict[str, Theme] = {
    "light": Theme(
        "#1f2328",
        "#59636e",
        "#d8dee4",
        {
            "u": "#6741d9",
            "g": "#1f7a3d",
            "r": "#c0392b",
            "i": "#b35900",
            "z": "#7a3e65",
            "y": "#444c56",
        },
    ),
    "dark": Theme(
        "#e6edf3",
        "#9aa4af",
        "#343b44",
        {
            "u": "#b197fc",
            "g": "#63d68a",
            "r": "#ff8a7a",
            "i": "#ffb454",
            "z": "#e599c8",
            "y": "#c9d1d9",
        },
    ),
}


def light_curve_png(points: Sequence[LightCurvePoint], *, theme: str = "light") -> bytes:
    """Return the light curve as a PNG on a transparent ground, for a light or a dark page.

    Filled markers are detections, hollow ones forced fluxes below threshold with their 5 sigma
    upper limit as a bar with a caret. Fluxes in microjansky where every point is calibrated, else
    in counts of each exposure. Each band and reference version is a series of its own.
    """
    if not points:
        raise ValueError("a light curve without points cannot be drawn")
    style = THEMES[theme]
    is_calibrated = all(point.flux_njy is not None for point in points)
    start = float(np.floor(min(point.mjd_mid_tai for point in points)))
    span = max(point.mjd_mid_tai for point in points) - min(point.mjd_mid_tai for point in points)
    unit_days = 1 / 24 if span < _ONE_NIGHT_DAYS else 1.0
    figure = Figure(figsize=(6.0, 2.9), layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, style)
    series = sorted({(point.band, point.reference_image_id or "") for point in points})
    for index, (band, version) in enumerate(series):
        mine = [p for p in points if (p.band, p.reference_image_id or "") == (band, version)]
        versions = sorted({name for other, name in series if other == band})
        label = band if len(versions) == 1 else f"{band}, reference {versions.index(version) + 1}"
        _draw(
            axes,
            mine,
            label=label,
            colour=style.bands.get(band[:1].lower(), style.ink),
            marker=_MARKERS[index % len(_MARKERS)],
            origin=start,
            unit_days=unit_days,
            is_calibrated=is_calibrated,
        )
    axes.axhline(0, color=style.muted, linewidth=0.9, zorder=1)
    day = Time(start, format="mjd", scale="tai").strftime("%Y-%m-%d")
    unit = "hours" if unit_days < 1 else "days"
    axes.set_xlabel(f"{unit} since {day} TAI (MJD {start:.0f})", color=style.muted, fontsize=9)
    quantity = (
        "difference flux (uJy)" if is_calibrated else "difference flux (counts, uncalibrated)"
    )
    axes.set_ylabel(quantity, color=style.muted, fontsize=9)
    axes.margins(x=0.06, y=0.12)
    axes.legend(
        frameon=False,
        labelcolor=style.ink,
        fontsize=9,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderpad=0,
        ncols=len(_MARKERS),
    )
    return png_bytes(figure, dpi=150, transparent=True)


def _dress(axes: Axes, style: Theme) -> None:
    axes.grid(visible=True, color=style.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=style.muted, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(style.muted)


def _draw(
    axes: Axes,
    points: Sequence[LightCurvePoint],
    *,
    label: str,
    colour: str,
    marker: str,
    origin: float,
    unit_days: float,
    is_calibrated: bool,
) -> None:
    time = np.array([(point.mjd_mid_tai - origin) / unit_days for point in points])
    values = [
        (point.flux_njy / 1000, point.flux_njy_error / 1000)
        if is_calibrated and point.flux_njy is not None and point.flux_njy_error is not None
        else (point.flux_adu, point.flux_adu_error)
        for point in points
    ]
    flux, error = np.array(values).T
    is_found = np.array([point.is_detection for point in points])
    for chosen, fill, name in ((is_found, colour, label), (~is_found, "none", f"{label}, limit")):
        if chosen.any():
            axes.errorbar(
                time[chosen],
                flux[chosen],
                yerr=error[chosen],
                fmt=marker,
                color=colour,
                markerfacecolor=fill,
                markersize=6,
                elinewidth=1.3,
                label=name,
                zorder=3,
            )
    axes.plot(
        time[~is_found],
        5 * error[~is_found],
        linestyle="none",
        marker=7,
        color=colour,
        markersize=6,
        zorder=2,
    )
