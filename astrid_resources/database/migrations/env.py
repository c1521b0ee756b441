"""Alembic's environment: migrations run on the connection that `Database.upgrade` hands over."""

from alembic import context

from astrid_resources.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
