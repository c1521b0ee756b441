"""Alembic's environment and revisions; `Database.upgrade` runs them."""
