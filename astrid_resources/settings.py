"""Every setting of AstrID, from environment variables, declared once.

`Settings()` reads the environment each time it is called; nothing is read when this is imported.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "ASTRID_"
DEFAULT_HOME = "~/.astrid"


def _absolute(value: object) -> object:
    return Path(value).expanduser().absolute() if isinstance(value, (str, Path)) else value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _without_keys(value: str | None) -> str | None:
    if value is not None and "@" in urlsplit(value).netloc:
        raise ValueError("keys do not stand in an address: they are settings of their own")
    return value


Address = Annotated[str, AfterValidator(_without_keys)]
Folder = Annotated[Path, BeforeValidator(_absolute)]
OptionalFolder = Annotated[Path | None, BeforeValidator(_absolute), BeforeValidator(_none_if_empty)]


def _under_home(name: str) -> str:
    return f"`$ASTRID_HOME/{name}`"


class Settings(BaseSettings):
    """The settings, each from the environment variable ASTRID_<NAME>.

    What holds a password is secret: it is never part of a repr, a log line or metadata.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Folder = Field(
        default=DEFAULT_HOME, validate_default=True, description="data folder of this installation"
    )
    database_url: SecretStr = Field(
        default_factory=lambda data: SecretStr(f"sqlite:///{data['home'] / 'astrid.sqlite'}"),
        description="tables: `sqlite:///FILE` or `postgresql://user:password@host/name`",
        json_schema_extra={"shown": "`sqlite:///$ASTRID_HOME/astrid.sqlite`"},
    )
    object_store_url: Address = Field(
        default_factory=lambda data: (data["home"] / "objects").as_uri(),
        description="images and files: a `file://` folder or `s3://bucket/prefix`",
        json_schema_extra={"shown": _under_home("objects")},
    )
    s3_endpoint_url: Address | None = Field(
        default=None, description="address of an S3-compatible service; empty for AWS itself"
    )
    s3_region: str | None = Field(
        default=None, description="region of the bucket (`auto` on Cloudflare R2)"
    )
    s3_access_key_id: SecretStr | None = Field(
        default=None, description="S3 access key; without it boto3's own search order holds"
    )
    s3_secret_access_key: SecretStr | None = Field(default=None, description="S3 secret key")
    drop_folder: Folder = Field(
        default_factory=lambda data: data["home"] / "incoming",
        description="where new files are delivered, in one subfolder per survey",
        json_schema_extra={"shown": _under_home("incoming")},
    )
    survey_folder: Folder = Field(
        default_factory=lambda data: data["home"] / "surveys",
        description="your own survey declarations (TOML), beside the shipped ones",
        json_schema_extra={"shown": _under_home("surveys")},
    )
    data: OptionalFolder = Field(
        default=None,
        description="read-only folder where real images for demo and tests are looked up",
    )
    first_night: date = Field(
        default=date(2016, 1, 1), description="first night of the partition calendar"
    )
    quiet_period_s: float = Field(
        default=60.0,
        ge=0,
        description="seconds without a new file before a night and tile is run",
    )
    log_json: str | None = Field(
        default=None,
        description="where each run's log goes as JSON lines: a file, or `-` for standard error",
    )
    mlflow_tracking_uri: str = Field(
        default_factory=lambda data: f"sqlite:///{data['home'] / 'mlflow.sqlite'}",
        description="MLflow's tracking store",
        json_schema_extra={"shown": "`sqlite:///$ASTRID_HOME/mlflow.sqlite`"},
        repr=False,
    )
    mlflow_artifact_url: str = Field(
        default_factory=lambda data: (data["home"] / "mlflow").as_uri(),
        description="files of MLflow's runs: a `file://` folder or `s3://bucket/prefix`",
        json_schema_extra={"shown": _under_home("mlflow")},
    )

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's own storage."""
        return self.home / "dagster"


def settings_table() -> str:
    """Return the settings as a Markdown table: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, entry in Settings.model_fields.items():
        extra = entry.json_schema_extra
        shown = extra.get("shown") if isinstance(extra, dict) else None
        if shown is None:
            shown = f"`{entry.default}`" if entry.default is not None else "—"
        lines.append(f"| `{ENV_PREFIX}{name.upper()}` | {shown} | {entry.description} |")
    return "\n".join(lines)
