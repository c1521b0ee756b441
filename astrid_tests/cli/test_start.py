"""What a fresh process of the command line imports: seconds of a person's time."""

import subprocess
import sys

import pytest

HEAVY = ("dagster", "mlflow", "pandas", "sqlalchemy", "tensorflow", "astropy")
_COMMAND_LINE = "import astrid_assets.cli"
_TABLES = """
from pathlib import Path
import pyarrow.parquet as pq
from astrid_assets.candidates.table import write_tables
write_tables([], Path(sys.argv[1]) / 'none')
"""


@pytest.mark.parametrize(
    ("code", "heavy"), [(_COMMAND_LINE, HEAVY), (_TABLES, ("dagster", "pandas", "sqlalchemy"))]
)
def test_nothing_heavy_is_imported_that_is_not_needed(code, heavy, tmp_path):
    found = f"print(*(name for name in {heavy!r} if name in sys.modules))"
    program = f"import sys\n{code}\n{found}"
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert said.stdout.split() == []
