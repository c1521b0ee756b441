"""The asset graph is what the design says: keys, dependencies, partitions, jobs, checks."""

from __future__ import annotations

import dagster as dg

from astrid_assets.definitions import build_defs, defs
from astrid_assets.jobs import NIGHT_CHAIN_ASSETS
from astrid_assets.limits import LIMITS, NEGATIVE_PEAKS, POOLED_COMPLETENESS

GRAPH = {
    "calibrated_exposures": {"raw_exposures"},
    "candidates": {"calibrated_exposures", "difference_images"},
    "champion_model": set(),
    "current_reference": set(),
    "detections": {"calibrated_exposures", "candidates", "champion_model", "difference_images"},
    "difference_images": {"calibrated_exposures", "current_reference"},
    "ingested_files": set(),
    "injection_recovery": {"calibrated_exposures", "champion_model", "difference_images"},
    "model_evaluation": {"unet_model"},
    "model_promotion": {"model_evaluation", "training_set", "unet_model"},
    "null_pairs": {"calibrated_exposures"},
    "raw_exposures": set(),
    "reference_images": {"calibrated_exposures"},
    "training_set": set(),
    "transients": {"detections", "injection_recovery"},
    "unet_model": {"training_set"},
}


def _graph() -> dg.AssetGraph:
    return defs.resolve_asset_graph()


def test_definitions_load_and_validate():
    dg.Definitions.validate_loadable(build_defs())


def test_graph_is_the_declared_one():
    found = {
        node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys}
        for node in _graph().asset_nodes
    }
    assert found == GRAPH


def test_differences_never_depend_on_reference_candidates():
    graph = _graph()
    key = dg.AssetKey("reference_images")
    assert not graph.get(key).child_keys
    assert not graph.get(dg.AssetKey("current_reference")).is_materializable


def test_partitions_of_assets():
    graph = _graph()
    for name in NIGHT_CHAIN_ASSETS:
        definition = graph.get(dg.AssetKey(name)).partitions_def
        assert isinstance(definition, dg.MultiPartitionsDefinition)
        assert definition.partition_dimension_names == ["night", "tile"]
    for name in ("reference_images", "current_reference"):
        definition = graph.get(dg.AssetKey(name)).partitions_def
        assert isinstance(definition, dg.DynamicPartitionsDefinition)
        assert definition.name == "tile"
    for name in (
        "ingested_files",
        "training_set",
        "unet_model",
        "model_evaluation",
        "model_promotion",
    ):
        assert graph.get(dg.AssetKey(name)).partitions_def is None


def test_todays_night_is_a_partition():
    from datetime import UTC, datetime

    definition = _graph().get(dg.AssetKey("raw_exposures")).partitions_def
    nights = definition.get_partitions_def_for_dimension("night").get_partition_keys()
    assert datetime.now(UTC).date().isoformat() in nights


def test_people_find_out_what_an_asset_is():
    for node in _graph().asset_nodes:
        assert node.description, node.key
        assert node.owners, node.key
        assert node.group_name != "default", node.key
        assert node.kinds, node.key
        if node.is_materializable:
            assert node.code_version, node.key


def test_one_run_is_the_whole_chain_and_nothing_else():
    job = defs.resolve_job_def("night_chain")
    selected = {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
    assert selected == set(NIGHT_CHAIN_ASSETS)


def test_every_declared_limit_is_a_check():
    checks = {(key.asset_key.to_user_string(), key.name) for key in _graph().asset_check_keys}
    assert {(limit.asset, limit.name) for limit in LIMITS} <= checks
    assert ("transients", "row_parity") in checks
    assert ("injection_recovery", POOLED_COMPLETENESS.name) in checks
    assert {(limit.asset, limit.name) for limit in NEGATIVE_PEAKS} <= checks
    assert ("detections", "model_drift") in checks
    assert {
        ("model_promotion", "challenger_is_better"),
        ("model_promotion", "registry_mirrors_table"),
    } <= checks


def test_blocking_checks():
    graph = _graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking == {
        "injection_recovery_left",
        "calibrated_exposures_left",
        "difference_images_left",
        "candidates_left",
        "detections_left",
    }


def test_sensors_and_schedules():
    assert {sensor.name for sensor in defs.sensors} == {
        "champion_in_use",
        "delivered_files",
        "failed_runs",
        "new_observations",
        "missing_references",
        "promoted_references",
        "withdrawn_products",
    }
    assert {schedule.name for schedule in defs.schedules} == {
        "nightly_ingest",
        "reference_refresh",
        "weekly_training",
    }
