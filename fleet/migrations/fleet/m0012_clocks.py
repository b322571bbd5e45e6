"""The few entries that move others in time, or whose own time is not known, found at once."""

import sqlalchemy as sa
from alembic import op

revision = "fleet_12"
down_revision = "fleet_11"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; on PostgreSQL each month's part gets its own."""
    asked = sa.text("kind = 'clock' OR clock = 'unknown'")
    op.create_index(
        "ix_entry_clock",
        "entry",
        ["received_at_ms"],
        unique=False,
        sqlite_where=asked,
        postgresql_where=asked,
    )
