"""The one command that rebuilds the champion: `python -m astrid_assets.training`.

Seeded; without options it makes the training set, fits, evaluates and writes the shipped files.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

from astrid_assets.detections.champion_files import SHIPPED_FOLDER
from astrid_assets.training.build import ChampionSettings, build_champion
from astrid_assets.training.dataset import Dataset, make_dataset, summary
from astrid_resources.model_registry import MLflowTracking
from astrid_resources.settings import Settings

_log = logging.getLogger("astrid.training")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m astrid_assets.training", description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED_FOLDER, help="folder to write into")
    parser.add_argument("--store", type=Path, help="folder that keeps the fields made so far")
    parser.add_argument("--workers", type=int, default=1, help="processes that make fields")
    parser.add_argument("--nights", type=int, help="number of nights of the training set")
    parser.add_argument("--side", type=int, help="edge of a field, pixels")
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--only-set", action="store_true", help="make the set and stop")
    parser.add_argument("--no-tracking", action="store_true", help="do not record an MLflow run")
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> ChampionSettings:
    settings = ChampionSettings()
    fields, fit = settings.dataset.fields, settings.fit
    if options.nights:
        fields = replace(fields, n_nights=options.nights)
    if options.side:
        fields = replace(fields, sides_pix=(options.side,))
    if options.steps:
        fit = replace(fit, n_steps=options.steps)
    return replace(settings, dataset=replace(settings.dataset, fields=fields), fit=fit)


def _dataset(settings: ChampionSettings, options: argparse.Namespace) -> Dataset:
    start = time.monotonic()
    n = settings.dataset.n_fields

    def report(index: int, text: str) -> None:
        _log.info("field %d of %d: %s (%.0f s)", index + 1, n, text, time.monotonic() - start)

    return make_dataset(
        settings.dataset, store=options.store, workers=options.workers, report=report
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command; progress goes to the log on standard error."""
    options = _arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = _settings(options)
    dataset = _dataset(settings, options)
    _log.info("training set: %s; skipped fields: %s", summary(dataset.samples), dataset.skipped)
    if options.only_set:
        return
    start = time.monotonic()

    def report(step: int, loss: float) -> None:
        _log.info(
            "step %d of %d: loss %.4f (%.0f s)",
            step, settings.fit.n_steps, loss, time.monotonic() - start,
        )  # fmt: skip

    champion = build_champion(
        dataset.samples, options.out, settings, skipped=dataset.skipped, report=report
    )
    figures = champion.record["evaluation"]
    scalars = {
        name: figure["value"] if isinstance(figure, dict) else figure
        for name, figure in figures.items()
        if isinstance(figure, (int, float)) or (isinstance(figure, dict) and "value" in figure)
    }
    if not options.no_tracking:
        own = Settings()
        own.home.mkdir(parents=True, exist_ok=True)
        tracking = MLflowTracking(
            tracking_uri=own.mlflow_tracking_uri,
            artifact_location=str(own.home / "mlflow"),
        )
        with tracking.run("champion", parameters=asdict(settings)) as run:
            run.log_metrics(scalars)
            for name in ("champion.json", "model.onnx", "model.keras"):
                run.log_file(options.out / name)
    for name, value in scalars.items():
        _log.info("%s: %s", name, value)
    _log.info("champion %s, threshold %.4f", champion.version, champion.threshold)


if __name__ == "__main__":
    main()
