"""Alembic's entry: runs inside the transaction that `fleet.store.migrate` opened."""

import sqlalchemy as sa
from alembic import context

from fleet import schema

_connection: sa.Connection = context.config.attributes["connection"]
context.configure(
    connection=_connection,
    target_metadata=getattr(schema, context.config.attributes["database"]),
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
