"""The one command that rebuilds the champion: `python -m astrid_assets.training`.

Seeded; without options it makes the training set, fits, evaluates and writes the shipped files.
With --keep-model it adds evidence to a champion that is there.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from astrid_assets.detections.champion_files import SHIPPED_FOLDER, Champion, load_champion
from astrid_assets.detections.model_facts import scalar_figures
from astrid_assets.training.ablations import ablations
from astrid_assets.training.build import ChampionSettings, build_champion
from astrid_assets.training.dataset import Dataset, make_dataset, summary
from astrid_assets.training.decam import FOLDER, evaluate_on_decam, subtracted_frames
from astrid_assets.training.export import with_figures
from astrid_assets.training.search import SearchSettings, search
from astrid_assets.training.speed import speed_figures
from astrid_assets.training.ztf import TRIPLETS, evaluate_on_ztf
from astrid_resources.model_registry import MLflowTracking
from astrid_resources.settings import Settings

_log = logging.getLogger("astrid.training")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m astrid_assets.training", description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED_FOLDER, help="folder to write into")
    parser.add_argument(
        "--store", type=Path, help="folder that keeps fields and members made so far"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that make fields and fit")
    parser.add_argument("--nights", type=int, help="number of nights of the training set")
    parser.add_argument("--side", type=int, help="edge of a field, pixels")
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--only-set", action="store_true", help="make the set and stop")
    parser.add_argument("--keep-model", action="store_true", help="fit nothing, add evidence only")
    parser.add_argument(
        "--real-data", type=Path, default=_folder("ASTRID_DATA"),
        help="folder with real ZTF cutouts and DECam frames to evaluate on (ASTRID_DATA)",
    )  # fmt: skip
    parser.add_argument(
        "--search", type=Path, metavar="DIR",
        help="count false positives per Mpix on fields of their own, kept in DIR",
    )  # fmt: skip
    parser.add_argument("--mpix", type=float, help="how many Mpix to search")
    parser.add_argument(
        "--ablations", type=Path, metavar="DIR",
        help="fit again without each part on as many nights and steps as asked, sets kept in DIR",
    )  # fmt: skip
    parser.add_argument("--no-tracking", action="store_true", help="do not record an MLflow run")
    return parser.parse_args(arguments)


def _folder(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


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


def _since(start: float) -> str:
    return f"({time.monotonic() - start:.0f} s)"


def _field_report(what: str) -> Callable[[int, str], None]:
    start = time.monotonic()
    return lambda index, text: _log.info("%s field %d: %s %s", what, index + 1, text, _since(start))


def _fitted(settings: ChampionSettings, dataset: Dataset, options: argparse.Namespace) -> Champion:
    start = time.monotonic()
    n_steps = settings.fit.n_members * settings.fit.n_steps

    def report(step: int, loss: float) -> None:
        _log.info("step %d of %d: loss %.4f %s", step, n_steps, loss, _since(start))

    return build_champion(
        dataset.samples, options.out, settings, skipped=dataset.skipped, workers=options.workers,
        report=report, store=options.store,
    )  # fmt: skip


def _evidence(options: argparse.Namespace, settings: ChampionSettings) -> Champion:
    """Add to the champion what needs more than its training set; each part as soon as it is."""
    champion = load_champion(options.out)
    data: Path | None = options.real_data
    if data is not None and (data / TRIPLETS).is_file():
        champion = with_figures(options.out, {"ztf": evaluate_on_ztf(champion, data)})
    if data is not None and (data / FOLDER).is_dir():
        found = evaluate_on_decam(champion, subtracted_frames(data))
        champion = with_figures(options.out, {"decam": found})
    if options.search:
        wanted = SearchSettings()
        wanted = replace(wanted, mpix=options.mpix) if options.mpix else wanted
        found = search(
            champion, wanted, store=options.search, workers=options.workers,
            report=_field_report("searched"),
        )  # fmt: skip
        champion = with_figures(options.out, {"search": found})
    if options.ablations:
        found = ablations(
            settings, store=options.ablations, scaled_store=options.store,
            workers=options.workers, report=_field_report("ablation"),
        )  # fmt: skip
        champion = with_figures(options.out, {"ablations": found})
    return with_figures(options.out, {"speed": speed_figures(options.out)})


def _track(champion: Champion, settings: ChampionSettings, folder: Path) -> None:
    Settings().home.mkdir(parents=True, exist_ok=True)
    with MLflowTracking().run("champion", parameters=asdict(settings)) as run:
        run.log_metrics(scalar_figures(champion.record["evaluation"]))
        for file in sorted(folder.iterdir()):
            run.log_file(file)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; progress goes to the log on standard error."""
    options = _arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = _settings(options)
    if not options.keep_model:
        dataset = make_dataset(
            settings.dataset, store=options.store, workers=options.workers,
            report=_field_report("training"),
        )  # fmt: skip
        numbers = summary(dataset.samples)
        _log.info("training set: %s; skipped fields: %s", numbers, dataset.skipped)
        if options.only_set:
            return
        _fitted(settings, dataset, options)
    champion = _evidence(options, settings)
    if not options.no_tracking:
        _track(champion, settings, options.out)
    for name, value in scalar_figures(champion.record["evaluation"]).items():
        _log.info("%s: %s", name, value)
    _log.info("champion %s, threshold %.4f", champion.version, champion.threshold)


if __name__ == "__main__":
    main()
