"""What keeps a test run to itself: no network, no telemetry, no user folders, one thread a worker.

A pytest plugin named in `addopts`, so that every worker and every way of starting the tests has it.
It is imported before numpy; nothing that reads the environment at import may be imported here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_SET_BY_USERS = ("ASTRID_", "DAGSTER_", "MLFLOW_", "AWS_")
_KEPT = frozenset({"ASTRID_DATA"})
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_FIXED = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MPLBACKEND": "Agg",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class NetworkRefusedError(OSError):
    """A test tried to reach a machine other than this one."""


def is_local(address: Any) -> bool:
    """Return whether a socket address means this machine (a Unix socket or a loopback address).

    Every address counts where somebody asked for the tests of a real S3 service.
    """
    if not isinstance(address, tuple):
        return True
    host = address[0]
    if host in ("", "localhost") or "TEST_S3_ENDPOINT" in os.environ:
        return True
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(host)
        return parsed.is_loopback or parsed.is_unspecified
    return False


def _guard(name: str) -> None:
    real = getattr(socket.socket, name)

    def guarded(self: socket.socket, address: Any) -> Any:
        if not is_local(address):
            raise NetworkRefusedError(
                f"a test tried to reach {address!r}; tests run without a network: use a local "
                f"server or a recorded answer"
            )
        return real(self, address)

    setattr(socket.socket, name, guarded)


def _isolate(folder: Path) -> None:
    for variable in list(os.environ):
        if variable.startswith(_SET_BY_USERS) and variable not in _KEPT:
            del os.environ[variable]
    os.environ.update(_FIXED)
    for variable in _THREADS:
        os.environ.setdefault(variable, "1")
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        (folder / variable).mkdir(mode=0o700)
        os.environ[variable] = str(folder / variable)
    os.environ["ASTRID_HOME"] = str(folder / "astrid")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


_folder: str | None = None
if "PYTEST_XDIST_WORKER" not in os.environ:
    _folder = tempfile.mkdtemp(prefix="astrid-tests-")
    _isolate(Path(_folder))
_guard("connect")
_guard("connect_ex")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Remove the folder of this run; its workers have ended."""
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _no_earth_orientation_from_afar() -> Iterator[None]:
    """Earth orientation comes from the tables that come with astropy: nothing is fetched for it."""
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False):
        yield
