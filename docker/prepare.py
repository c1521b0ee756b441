"""What the service `migrate` runs before anything else: the store is there, the tables are current.

Not part of the packages: it only joins what they offer to the services of compose.yaml.
"""

from __future__ import annotations

import os

import boto3
from dagster import DagsterInstance

from astrid_resources.database import Database
from astrid_resources.settings import Settings


def main() -> None:
    """Bring AstrID's tables and Dagster's up to date; fail where the bucket cannot be reached."""
    settings = Settings()
    store = boto3.client(
        "s3", endpoint_url=settings.s3_endpoint_url, region_name=settings.s3_region
    )
    store.head_bucket(Bucket=os.environ["DAGSTER_LOGS_BUCKET"])
    Database(settings.database_url).upgrade()
    with DagsterInstance.get() as instance:
        instance.upgrade()


if __name__ == "__main__":
    main()
