"""Dagster: the jobs; one run of `night_chain` is one night and tile, raw to catalog."""

import dagster as dg

NIGHT_CHAIN_ASSETS = (
    "raw_exposures",
    "calibrated_exposures",
    "difference_images",
    "candidates",
    "null_pairs",
    "detections",
    "injection_recovery",
    "transients",
)

_night_chain = dg.AssetSelection.assets(*NIGHT_CHAIN_ASSETS)
_references = dg.AssetSelection.assets("reference_images")
_training = dg.AssetSelection.assets(
    "training_set", "unet_model", "model_evaluation", "model_promotion"
)

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets("ingested_files"),
    description="Take stable files of the drop folder into the store, or into quarantine.",
    executor_def=dg.in_process_executor,
)
night_chain = dg.define_asset_job(
    "night_chain",
    selection=_night_chain | dg.AssetSelection.checks_for_assets(*NIGHT_CHAIN_ASSETS),
    description="Every stage of one night and tile, raw exposures to catalog, in one process.",
    executor_def=dg.in_process_executor,
)
tile_references = dg.define_asset_job(
    "tile_references",
    selection=_references | dg.AssetSelection.checks_for_assets("reference_images"),
    description="Candidates for the references of one tile.",
    executor_def=dg.in_process_executor,
)
train_classifier = dg.define_asset_job(
    "train_classifier",
    selection=_training | dg.AssetSelection.checks_for_assets("model_promotion"),
    description="Training set, network, evaluation and promotion of a challenger: it comes into "
    "use where it is proven better. What is made already is taken over.",
    executor_def=dg.in_process_executor,
)

JOBS = (ingest, night_chain, tile_references, train_classifier)
