"""The catalog: association, names, light curves, the answer to "why", listings and the report.

Science files here are pure; `update`, `why`, `listing`, `status` and `report` read the database and
the object store. Dagster stands in this room's assets, checks and sensors files only.
"""
