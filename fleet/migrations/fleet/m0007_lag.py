"""How the fleet itself keeps up."""

import sqlalchemy as sa
from alembic import op

revision = "fleet_7"
down_revision = "fleet_6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of lag figures."""
    op.create_table(
        "lag",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "process", name=op.f("pk_lag")),
    )
