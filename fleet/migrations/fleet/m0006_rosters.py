"""Rosters whose rows are shared between places, and the present key epochs."""

import sqlalchemy as sa
from alembic import op

revision = "fleet_6"
down_revision = "fleet_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rosters of before have no head here: the next build makes new versions of them all."""
    op.add_column("roster", sa.Column("head", sa.LargeBinary(), nullable=True))
    op.add_column("roster", sa.Column("rows_sha256", sa.LargeBinary(), nullable=True))
    op.create_index("ix_roster_sha256", "roster", ["sha256"], unique=False)
    op.create_table(
        "key_epoch",
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("programme", name=op.f("pk_key_epoch")),
    )
