"""Dagster resources over the settings: database and object store.

They carry no secret: an empty field is read from the environment when it is used, so that no
password is ever part of Dagster's configuration, its UI or its logs.
"""

from __future__ import annotations

import dagster as dg
import sqlalchemy as sa
from pydantic import PrivateAttr

from astrid_resources.database import Database
from astrid_resources.objects import ObjectStore
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


class ObjectStoreResource(dg.ConfigurableResource):
    """The object store; what is empty comes from the settings, keys to S3 always do."""

    url: str = ""
    s3_endpoint_url: str = ""
    s3_region: str = ""
    _store: ObjectStore | None = PrivateAttr(default=None)

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
