"""Runs of a real daemon in processes that are forked, not started: nothing else is different.

Run as `python -m astrid_tests.faults.launcher SOCKET`, it imports the definitions once; each run id
that comes through the socket is executed in a fork of it, as `dagster api execute_run` does. It
prints a line for each run that ended. It is nobody's child that a killed daemon would take along.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.launcher.base import LaunchRunContext, RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData


class ForkedRunLauncher(RunLauncher, ConfigurableClass):
    """Hands run ids to the server above."""

    def __init__(self, address: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._address = address
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Where it is configured."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return what dagster.yaml gives."""
        return {"address": dg.Field(str)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ForkedRunLauncher:
        """Return the launcher of an instance."""
        return cls(config_value["address"], inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Ask for a process; return once it was forked."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._address)
            connection.sendall(context.dagster_run.run_id.encode() + b"\n")
            connection.recv(1)

    def terminate(self, run_id: str) -> bool:
        """Terminate nothing."""
        del run_id
        return False


def _execute(run_id: str) -> None:
    from dagster._cli.api import _execute_run_command_body

    with dg.DagsterInstance.get() as instance:
        _execute_run_command_body(run_id, instance, lambda event: None, False)


def main() -> None:
    """Serve for ever."""
    import astrid_assets.definitions  # noqa: F401  (what every run needs)

    address = Path(sys.argv[1])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            run_id = connection.makefile().readline().strip()
            if os.fork() == 0:
                listener.close()
                if os.fork() == 0:
                    connection.close()
                    try:
                        _execute(run_id)
                    finally:
                        sys.stdout.write(f"{run_id}\n")
                        sys.stdout.flush()
                        os._exit(0)
                os._exit(0)
            os.wait()
            connection.sendall(b".")
            connection.close()


if __name__ == "__main__":
    main()
