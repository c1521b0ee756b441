"""Identities are the same for the same thing, whatever its spelling, and refuse what has none."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from astrid_resources.identity import (
    UnstorableValueError,
    canonical_json,
    plain,
    plain_json,
    product_id,
    row_id,
    sha256_bytes,
    sha256_file,
    stable,
)


def test_canonical_json_ignores_order_and_numpy_spelling():
    first = {"b": np.float64(0.5), "a": [np.int32(1), np.bool_(True)], "c": np.arange(2)}
    second = {"a": (1, True), "c": [0, 1], "b": 0.5}
    assert canonical_json(first) == canonical_json(second) == '{"a":[1,true],"b":0.5,"c":[0,1]}'


def test_canonical_json_of_times_is_in_utc():
    here = datetime(2018, 8, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert canonical_json(here) == canonical_json(datetime(2018, 8, 4, 3, tzinfo=UTC))
    assert canonical_json(date(2018, 8, 3)) == '"2018-08-03"'


def test_canonical_json_of_settings_dataclass():
    @dataclass(frozen=True)
    class Settings:
        threshold_sigma: float = 5.0

    assert canonical_json(Settings()) == '{"threshold_sigma":5.0}'


@pytest.mark.parametrize("value", [np.nan, np.float32("inf"), -np.inf, {"deep": [1, np.nan]}])
def test_nan_and_infinity_have_no_identity(value):
    with pytest.raises(UnstorableValueError, match="NaN and infinity are never stored"):
        canonical_json(value)


def test_the_message_names_the_value_that_is_not_finite():
    with pytest.raises(UnstorableValueError, match=r"metrics\.score\[1\] is nan"):
        plain_json({"score": [1.0, float("nan")]}, where="metrics")


@pytest.mark.parametrize("value", [object(), b"bytes", datetime(2018, 8, 4)])  # noqa: DTZ001
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises(UnstorableValueError):
        canonical_json(value)


def test_plain_turns_numpy_scalars_into_pythons():
    for value, kind in ((np.float32(1.5), float), (np.int64(3), int), (np.bool_(1), bool)):
        assert type(plain(value)) is kind


def test_row_ids_are_stable_and_differ_by_table_and_key():
    assert row_id("observations", "s", "a") == uuid.UUID("21ea5de3-7dd5-5aa2-a763-024ce69eb74e")
    ids = {row_id("observations", "s", "a"), row_id("runs", "s", "a"), row_id("runs", "sa")}
    assert len(ids) == 3
    with pytest.raises(ValueError, match="natural key"):
        row_id("observations")


def test_product_id_depends_on_code_parameters_and_the_set_of_inputs():
    base = product_id("1", {"threshold": 5.0}, ["a", "b"])
    assert base == product_id("1", {"threshold": np.float64(5)}, ["b", "a"])
    assert len({base, product_id("2", {"threshold": 5.0}, ["a", "b"])}) == 2
    assert base != product_id("1", {"threshold": 4.0}, ["a", "b"])
    assert base != product_id("1", {"threshold": 5.0}, ["a"])


def test_volatile_and_bookkeeping_values_are_left_out_at_every_depth():
    row = {"flux": 1, "created_at": 2, "manifest_id": 3, "deep": [{"inference_time_ms": 4}]}
    assert stable(row) == {"flux": 1, "deep": [{}]}


def test_file_hash(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (3 << 20))
    assert sha256_file(path) == sha256_bytes(b"x" * (3 << 20))
