"""The ten real frames of the demo: named by address and sha256, found or fetched, verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from astrid_assets.exposures.bytestream import file_sha256
from astrid_assets.exposures.sidecar import read_sidecar
from astrid_assets.exposures.survey import SHIPPED_FOLDER, SurveyError
from astrid_resources.images import KnownFailure

COMMIT = "fa820e8b05ed374013b06bb32a53fa0ec0a6e753"
BASE_URL = (
    f"https://raw.githubusercontent.com/thomasvrussell/sfft/{COMMIT}/"
    "test/difference_noise_decorrelation/input_data/"
)
FOLDER = "decam_2018"
TIMEOUT_S = 30.0
N_ATTEMPTS = 3


class DemoFramesUnavailableError(KnownFailure):
    """The demo frames are neither on disk nor to be had from the network."""


def demo_registry() -> dict[str, str]:
    """Return the sha256 of each demo frame by its file name, from the shipped sidecar."""
    rows = read_sidecar(SHIPPED_FOLDER / "decam_demo_sidecar.csv").rows
    registry = {row.file: row.sha256 for row in rows if row.file and row.sha256}
    if len(registry) != len(rows):
        raise SurveyError("every row of the demo's sidecar names a file and its sha256")
    return registry


def default_cache() -> Path:
    """Return the user's cache folder for the demo frames."""
    import pooch

    return Path(pooch.os_cache("astrid")) / FOLDER


def demo_frames(
    *,
    data_folder: Path | None = None,
    cache: Path | None = None,
    may_download: bool = True,
    log: Callable[[str], None] | None = None,
) -> tuple[Path, ...]:
    """Return the paths of the ten demo frames, each verified by its sha256.

    Looked for in `data_folder`/decam_2018 (or, when None, that of the variable ASTRID_DATA; read
    only), then in the cache, then downloaded into the cache. A frame with another hash is passed
    over. Raises DemoFramesUnavailableError, saying which are missing and why.
    """
    if data_folder is None and os.environ.get("ASTRID_DATA"):
        data_folder = Path(os.environ["ASTRID_DATA"])
    cache = cache or default_cache()
    places = [cache] if data_folder is None else [data_folder / FOLDER, cache]
    paths, missing = [], []
    for name, sha256 in sorted(demo_registry().items()):
        found = _found(name, sha256, places)
        if found is None:
            missing.append((name, sha256))
        else:
            paths.append(found)
    if missing and not may_download:
        raise _unavailable(missing, "downloading was not asked for")
    for number, (name, sha256) in enumerate(missing, 1):
        if log is not None:
            log(f"downloading {name} ({number}/{len(missing)})")
        paths.append(_fetched(name, sha256, cache, missing))
    return tuple(sorted(paths, key=lambda path: path.name))


def _found(name: str, sha256: str, places: list[Path]) -> Path | None:
    for path in (folder / name for folder in places):
        if path.is_file() and file_sha256(path) == sha256:
            return path.absolute()
    return None


def _fetched(name: str, sha256: str, cache: Path, missing: list[tuple[str, str]]) -> Path:
    import pooch
    import requests

    downloader = pooch.HTTPDownloader(progressbar=False, timeout=TIMEOUT_S)
    pooch.get_logger().setLevel("WARNING")
    for attempt in range(1, N_ATTEMPTS + 1):
        try:
            path = pooch.retrieve(
                BASE_URL + name, f"sha256:{sha256}", fname=name, path=cache, downloader=downloader
            )
            return Path(path).absolute()
        except (requests.ConnectionError, requests.Timeout) as error:
            if attempt == N_ATTEMPTS:
                raise _unavailable(missing, str(error)) from error
        except (requests.RequestException, ValueError, OSError) as error:
            raise _unavailable(missing, str(error)) from error
    raise _unavailable(missing, "no attempt was made")


def _unavailable(missing: list[tuple[str, str]], why: str) -> DemoFramesUnavailableError:
    return DemoFramesUnavailableError(
        f"{len(missing)} of the demo frames are not on disk and could not be downloaded from "
        f"{BASE_URL}: {why[:300]}; set ASTRID_DATA to a folder that has them in {FOLDER}/",
        missing=[name for name, _ in missing],
    )
