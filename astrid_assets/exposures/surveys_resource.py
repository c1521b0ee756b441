"""Dagster: the declared surveys and the drop folder, from the settings."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from astrid_assets.exposures.survey import SurveyConfig, load_surveys
from astrid_resources.settings import Settings


class SurveysResource(dg.ConfigurableResource):
    """Survey declarations and where files are delivered; what is empty comes from the settings."""

    survey_folder: str = ""
    drop_folder: str = ""

    def load(self) -> dict[str, SurveyConfig]:
        """Return every declared survey by name: the shipped ones, then the user's own."""
        folder = Path(self.survey_folder) if self.survey_folder else Settings().survey_folder
        return load_surveys([folder])

    @property
    def drop_path(self) -> Path:
        """The folder that files are delivered into."""
        return Path(self.drop_folder) if self.drop_folder else Settings().drop_folder
