"""Dagster resources over the settings: database and object store.

They carry no secret: an empty field is read from the environment when it is used, so that no
password is ever part of Dagster's configuration, its UI or its logs.
"""

from __future__ import annotations

import dagster as dg
import sqlalchemy as sa
from pydantic import PrivateAttr

from astrid_resources.database import Database
from astrid_resources.objects import ObjectStore, Retries
from astrid_resources.settings import Settings


class SettingsResource(dg.ConfigurableResource):
    """The settings, read from the environment when they are used."""

    home: str = ""

    @property
    def settings(self) -> Settings:
        """The settings at this moment."""
        return Settings(home=self.home) if self.home else Settings()

    @classmethod
    def from_settings(cls, settings: Settings) -> SettingsResource:
        """Return the resource for `settings`."""
        return cls(home=str(settings.home))


class DatabaseResource(dg.ConfigurableResource):
    """The database; `url` empty: from ASTRID_DATABASE_URL. A URL given here holds no password."""

    url: str = ""
    _database: Database | None = PrivateAttr(default=None)

    @property
    def database(self) -> Database:
        """The database, one engine per process and resource."""
        if self._database is None:
            self._database = Database(self.url or Settings().database_url)
        return self._database

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections of a run that has ended."""
        del context
        if self._database is not None:
            self._database.dispose()

    @classmethod
    def from_settings(cls, settings: Settings) -> DatabaseResource:
        """Return the resource for `settings`; a URL with a password stays in the environment."""
        url = settings.database_url.get_secret_value()
        if url == Settings().database_url.get_secret_value():
            return cls()
        if sa.make_url(url).password is not None:
            raise ValueError(
                "a database URL with a password is given by the environment variable "
                "ASTRID_DATABASE_URL, not in code"
            )
        return cls(url=url)


STEP_RETRIES, STEP_RETRY_WAIT_S = 3, 15.0
"""How often a step is begun again that met a store which failed five times, and after how long."""


class ObjectStoreResource(dg.ConfigurableResource):
    """The object store; what is empty comes from the settings, keys to S3 always do.

    Within a run, a store that still fails after the last try (5xx, 429, lost connections) lets
    Dagster begin the step again a little later: nothing was committed, and what was stored stays.
    """

    url: str = ""
    s3_endpoint_url: str = ""
    s3_region: str = ""
    _store: ObjectStore | None = PrivateAttr(default=None)
    _is_in_run: bool = PrivateAttr(default=False)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Know that there is a run, whose steps can be begun again."""
        self._is_in_run = context.run is not None

    @property
    def store(self) -> ObjectStore:
        """The object store, one client per process and resource."""
        if self._store is None:
            settings = Settings()
            self._store = ObjectStore.from_url(
                self.url or settings.object_store_url,
                endpoint_url=self.s3_endpoint_url or settings.s3_endpoint_url,
                region=self.s3_region or settings.s3_region,
                access_key_id=settings.s3_access_key_id,
                secret_access_key=settings.s3_secret_access_key,
                retries=Retries(exhausted=_begin_again) if self._is_in_run else None,
            )
        return self._store

    @classmethod
    def from_settings(cls, settings: Settings) -> ObjectStoreResource:
        """Return the resource for `settings`, without its secrets."""
        return cls(
            url=settings.object_store_url,
            s3_endpoint_url=settings.s3_endpoint_url or "",
            s3_region=settings.s3_region or "",
        )


def _begin_again(error: Exception) -> Exception:
    del error
    return dg.RetryRequested(max_retries=STEP_RETRIES, seconds_to_wait=STEP_RETRY_WAIT_S)
