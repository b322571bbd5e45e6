"""How somebody signed in: by password or provider, or by card and PIN at a shared computer."""

import sqlalchemy as sa
from alembic import op

revision = "fleet_14"
down_revision = "fleet_13"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; whoever is signed in now did so by password or provider."""
    op.add_column("session", sa.Column("how", sa.Text(), server_default="", nullable=False))
