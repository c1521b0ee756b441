"""Candidates as a table with units, and its Parquet and ECSV files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from astrid_assets.candidates.candidate import Candidate

_ARROW = {float: pa.float64(), int: pa.int64(), bool: pa.bool_(), str: pa.string()}
_NUMPY = {pa.float64(): np.float64, pa.int64(): np.int64, pa.bool_(): np.bool_}


def _kind(hint: Any) -> type:
    options = [option for option in getattr(hint, "__args__", (hint,)) if option is not type(None)]
    return options[0]


def column_kinds() -> dict[str, type]:
    """Return the Python type of every column, in order."""
    hints = get_type_hints(Candidate)
    return {item.name: _kind(hints[item.name]) for item in fields(Candidate)}


def to_table(candidates: Sequence[Candidate]) -> Table:
    """Return the candidates as an astropy table with units and descriptions.

    Numbers not measured are NaN, missing words and flags are empty or masked.
    """
    rows = [asdict(candidate) for candidate in candidates]
    table = Table()
    for item in fields(Candidate):
        kind = column_kinds()[item.name]
        values = [row[item.name] for row in rows]
        if kind is float:
            column: Any = np.array([np.nan if v is None else v for v in values], float)
        elif kind is str:
            column = np.array(["" if v is None else v for v in values], "U32")
        else:
            missing = np.array([v is None for v in values], bool)
            filled: Any = np.array([kind() if v is None else v for v in values], kind)
            column = np.ma.MaskedArray(filled, missing) if missing.any() else filled
        table[item.name] = column
        table[item.name].description = item.metadata["description"]
        if item.metadata["unit"]:
            table[item.name].unit = u.Unit(item.metadata["unit"])
    table.meta["rejection_rule"] = "empty for accepted candidates"
    return table


def write_tables(candidates: Sequence[Candidate], stem: Path) -> tuple[Path, Path]:
    """Write `stem`.parquet and `stem`.ecsv with units and descriptions; return both paths."""
    stem = Path(stem)
    parquet, ecsv = stem.with_suffix(".parquet"), stem.with_suffix(".ecsv")
    schema = pa.schema(
        [
            pa.field(
                item.name,
                _ARROW[column_kinds()[item.name]],
                metadata={
                    "unit": item.metadata["unit"] or "",
                    "description": item.metadata["description"],
                },
            )
            for item in fields(Candidate)
        ]
    )
    rows = [asdict(candidate) for candidate in candidates]
    for row in rows:
        row["rejection_rule"] = row["rejection_rule"] or ""
    columns = [_arrow([row[item.name] for row in rows], item.type) for item in schema]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), parquet)
    to_table(candidates).write(ecsv, format="ascii.ecsv", overwrite=True)
    return parquet, ecsv


def _arrow(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return a column, None as null, from its buffers: pyarrow's own way imports pandas."""
    known = np.array([value is not None for value in values], bool)
    validity = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    if pa.types.is_string(kind):
        words = [b"" if value is None else value.encode() for value in values]
        ends = np.cumsum([0, *(len(word) for word in words)]).astype(np.int32)
        buffers = [pa.py_buffer(ends), pa.py_buffer(b"".join(words))]
    else:
        full: Any = np.array([value or 0 for value in values], _NUMPY[kind])
        is_bits = pa.types.is_boolean(kind)
        buffers = [pa.py_buffer(np.packbits(full, bitorder="little") if is_bits else full)]
    return pa.Array.from_buffers(kind, len(values), [validity, *buffers])
