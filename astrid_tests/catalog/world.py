"""A small sky in a real database and object store: exposures and detections made by hand."""

from __future__ import annotations

import functools
import io
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from astropy.time import Time
from astropy.wcs import WCS

from astrid_resources.database import (
    Database,
    Model,
    ModelType,
    Observation,
    ReferenceImage,
    Survey,
)
from astrid_resources.database.replace import replace_partition
from astrid_resources.identity import row_id
from astrid_resources.images import (
    DifferenceImage,
    Image,
    ImageMeta,
    MaskPlane,
    PSFModel,
    write_difference,
    write_image,
)
from astrid_resources.objects import ObjectStore
from astrid_resources.products import Product, Verdict

SIZE = 48
PIXEL_ARCSEC = 0.5
FLUX_ERROR = 100.0


def tan_wcs(ra: float, dec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(SIZE + 1) / 2, (SIZE + 1) / 2]
    wcs.wcs.cdelt = [-PIXEL_ARCSEC / 3600, PIXEL_ARCSEC / 3600]
    wcs.wcs.lonpole = 180.0
    wcs.wcs.set()
    return wcs


def gaussian(x: float, y: float, sigma: float = 1.5) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@functools.cache
def empty_database() -> bytes:
    """Return the bytes of a database file of the present schema."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "astrid.sqlite"
        database = Database(f"sqlite:///{path}")
        database.upgrade()
        database.dispose()
        return path.read_bytes()


@dataclass
class Seen:
    """A detection to be made: position, flux in counts, what became of it."""

    ra: float
    dec: float
    flux: float = 1000.0
    probability: float = 0.95
    rejection_rule: str | None = None
    rejection_value: float | None = None


@dataclass
class World:
    database: Database
    store: ObjectStore
    products: dict[tuple[str, date, str], list[Product]] = field(
        default_factory=lambda: defaultdict(list)
    )
    observations: dict[str, UUID] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path) -> World:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "astrid.sqlite").write_bytes(empty_database())
        database = Database(f"sqlite:///{folder / 'astrid.sqlite'}")
        world = cls(database, ObjectStore.from_url((folder / "objects").as_uri()))
        psf = PSFModel.constant(gaussian(24, 24)[9:40, 9:40], shape=(SIZE, SIZE))
        world.psf = psf
        with database.session() as session:
            session.add(Survey(id=row_id("surveys", "s"), name="s"))
            session.add(
                Model(
                    id=row_id("models", "m"),
                    name="m",
                    version="1",
                    model_type=ModelType.UNET,
                    score_threshold=0.5,
                    is_active=True,
                    model_path="none",
                    content_sha256="0",
                )
            )
        return world

    def image(self, ra: float, dec: float, mjd: float, zero_point: float | None) -> Image:
        meta = ImageMeta(
            1.0, 5.0, 6e4, mjd_mid_tai=mjd, filter_band="i", zero_point_ab_mag=zero_point
        )
        data = 50 * gaussian(23.5, 23.5, 4)
        return Image(
            data, np.full_like(data, 4.0), np.zeros_like(data), tan_wcs(ra, dec), meta, psf=self.psf
        )

    def reference(self, ra: float, dec: float, *, tile: str = "t", version: int = 1) -> UUID:
        stream = io.BytesIO()
        image = self.image(ra, dec, 50000.0 + version, None)
        write_image(image.with_(data=image.data * version), stream)
        stored = self.store.put_bytes(stream.getvalue())
        identity = row_id("reference_images", tile, version)
        with self.database.session() as session:
            session.add(
                ReferenceImage(
                    id=identity,
                    tile=tile,
                    survey_id=row_id("surveys", "s"),
                    filter_band="i",
                    product_id=f"ref{version}",
                    input_observation_ids=[],
                    input_nights=["2016-08-17"],
                    last_night=date(2016, 8, 17),
                    n_inputs=5,
                    image_path=stored.key,
                    content_sha256=stored.sha256,
                    version=version,
                    is_current=True,
                )
            )
        return identity

    def expose(
        self,
        name: str,
        ra: float,
        dec: float,
        *,
        when: str,
        night: date,
        tile: str = "t",
        seen: tuple[Seen, ...] = (),
        true: tuple[Seen, ...] | None = None,
        reference: UUID | None = None,
        zero_point: float | None = None,
        stop: str | None = None,
        masked: bool = False,
        is_synthetic: bool = False,
    ) -> UUID:
        """Add an exposure centred at (ra, dec); `stop`: "reject", "no_reference" or "fail"."""
        mjd = float(Time(when, scale="utc").tai.mjd)
        wcs = tan_wcs(ra, dec)
        corners = wcs.calc_footprint(axes=(SIZE, SIZE)).tolist()
        identity = row_id("observations", "s", name, "", name)
        self.observations[name] = identity
        with self.database.session() as session:
            session.merge(
                Observation(
                    id=identity,
                    survey_id=row_id("surveys", "s"),
                    observation_id=name,
                    night=night,
                    tile=tile,
                    ra=ra % 360,
                    dec=dec,
                    footprint=[[a % 360, d] for a, d in corners],
                    observation_time=datetime.fromisoformat(when).replace(tzinfo=UTC),
                    mjd_mid=mjd,
                    filter_band="i",
                    exposure_time=330.0,
                    content_sha256=name,
                    raw_path="none",
                    facts={},
                    width_pix=SIZE,
                    height_pix=SIZE,
                    pixel_scale=PIXEL_ARCSEC,
                    is_synthetic=is_synthetic,
                )
            )
        stream = io.BytesIO()
        science = self.image(ra, dec, mjd, zero_point)
        write_image(science, stream)
        calibrated = {"image": self.store.put_bytes(stream.getvalue())}
        failed = stop == "reject"
        self.add(
            "calibrated_exposures",
            night,
            tile,
            identity,
            objects=calibrated,
            verdict=Verdict.FAILED if failed else Verdict.PASSED,
            reasons=("seeing 4.2 arcsec above 3",) if failed else (),
            rows={
                "preprocess_runs": (
                    {
                        "id": row_id("preprocess_runs", identity),
                        "observation_id": identity,
                        "status": "failed" if failed else "completed",
                        "seeing_arcsec": 1.2,
                        "grade": "rejected" if failed else "A",
                    },
                )
            },
        )
        if failed:
            return identity
        run = row_id("difference_runs", identity, "difference", str(reference), "zogy")
        row: dict[str, Any] = {
            "id": run,
            "observation_id": identity,
            "status": "completed",
            "verdict": "passed",
        }
        if stop == "no_reference":
            row |= {"status": "no_work", "verdict": "no_work", "reason": "no reference yet"}
            self.add(
                "difference_images",
                night,
                tile,
                identity,
                verdict=Verdict.NO_WORK,
                reasons=("no reference yet",),
                rows={"difference_runs": (row,)},
            )
            return identity
        flux = np.zeros((SIZE, SIZE))
        places = []
        for source in seen if true is None else true:
            x, y = (float(v) for v in wcs.world_to_pixel_values(source.ra, source.dec))
            places.append((x, y))
            flux += source.flux * gaussian(x, y, 2.1)
        mask = np.zeros((SIZE, SIZE), np.uint32)
        if masked:
            mask[:] = MaskPlane.BAD.flag
        difference = DifferenceImage(
            science.with_(data=flux / 20, mask=mask),
            flux / FLUX_ERROR,
            flux,
            np.full_like(flux, FLUX_ERROR),
            1.0,
            "zogy",
        )
        stream = io.BytesIO()
        write_difference(difference, stream)
        stored = self.store.put_bytes(stream.getvalue())
        aligned = io.BytesIO()
        write_image(science, aligned)
        row |= {
            "reference_image_id": reference,
            "flux_ratio": 2.0,
            "difference_image_path": stored.key,
            "content_sha256": stored.sha256,
            "score_std": 1.02,
        }
        is_bad = stop == "fail"
        self.add(
            "difference_images",
            night,
            tile,
            identity,
            objects={
                "difference": stored,
                "reference_on_science": self.store.put_bytes(aligned.getvalue()),
            },
            verdict=Verdict.FAILED if is_bad else Verdict.PASSED,
            reasons=("score scatter 1.6 above 1.3",) if is_bad else (),
            rows={"difference_runs": (row,)},
        )
        if not is_bad:
            self._detect(identity, run, night, tile, mjd, seen, wcs)
        return identity

    def _detect(self, identity, run, night, tile, mjd, seen, wcs) -> None:
        candidates, detections = [], []
        model_run = row_id("model_runs", identity, run)
        for rank, source in enumerate(seen):
            x, y = (float(v) for v in wcs.world_to_pixel_values(source.ra, source.dec))
            candidate = row_id("candidates", run, rank)
            place = {"ra": source.ra % 360, "dec": source.dec, "pixel_x": x, "pixel_y": y}
            candidates.append(
                {
                    "id": candidate,
                    "difference_run_id": run,
                    "observation_id": identity,
                    "rank": rank,
                    "ra_error": 0.1,
                    "dec_error": 0.1,
                    "mjd_mid": mjd,
                    "flux": source.flux,
                    "flux_error": FLUX_ERROR,
                    "significance": source.flux / FLUX_ERROR,
                    "snr": source.flux / FLUX_ERROR,
                    "is_negative": source.flux < 0,
                    "status": "rejected" if source.rejection_rule else "scored",
                    "rejection_rule": source.rejection_rule,
                    "rejection_value": source.rejection_value,
                    **place,
                }
            )
            if source.rejection_rule is None:
                is_accepted = source.probability >= 0.5
                detections.append(
                    {
                        "id": row_id("detections", candidate, "0"),
                        "model_run_id": model_run,
                        "candidate_id": candidate,
                        "observation_id": identity,
                        "mjd_mid": mjd,
                        "confidence_score": source.probability,
                        "is_accepted": is_accepted,
                        "detection_type": "unknown" if is_accepted else "artifact",
                        "model_version": "1",
                        **place,
                    }
                )
        self.add("candidates", night, tile, identity, rows={"candidates": tuple(candidates)})
        run_row = {
            "id": model_run,
            "model_id": row_id("models", "m"),
            "observation_id": identity,
            "difference_run_id": run,
            "status": "completed",
        }
        rows = {"model_runs": (run_row,), "detections": tuple(detections)}
        self.add("detections", night, tile, identity, rows=rows)

    def add(self, asset: str, night: date, tile: str, identity: UUID, **values: Any) -> None:
        """Commit a partition with one more product, in place of an older one of the exposure."""
        kept = [p for p in self.products[asset, night, tile] if p.observation_id != identity]
        product = Product(asset, f"{asset}-{identity}", identity, **values)
        self.products[asset, night, tile] = [*kept, product]
        self.commit(asset, night, tile)

    def remove(self, name: str) -> None:
        """Withdraw an exposure's products, as if its partition were run without it."""
        identity = self.observations[name]
        for (asset, night, tile), products in list(self.products.items()):
            kept = [p for p in products if p.observation_id != identity]
            if len(kept) != len(products):
                self.products[asset, night, tile] = kept
                self.commit(asset, night, tile)

    def commit(self, asset: str, night: date, tile: str) -> None:
        with self.database.session() as session:
            replace_partition(
                session,
                asset=asset,
                night=night,
                tile=tile,
                products=self.products[asset, night, tile],
            )

    def dump(self, *tables: str) -> dict[str, list[tuple]]:
        """Return every row of the tables, timestamps included."""
        with self.database.read() as session:
            return {
                name: sorted(
                    (
                        tuple(map(str, row))
                        for row in session.execute(sa.text(f"SELECT * FROM {name}"))
                    ),
                )
                for name in tables
            }
