"""Telemetry by the hour, by which grain a place is counted, and what was dropped."""

import sqlalchemy as sa
from alembic import op

revision = "fleet_5"
down_revision = "fleet_4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every place is counted by the hour until its members have been counted."""
    op.add_column(
        "place", sa.Column("by_hour", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.create_table(
        "telemetry_hour",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("counters", sa.JSON(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "hour_ms", name=op.f("pk_telemetry_hour")),
    )
    op.create_index("ix_telemetry_hour_hour_ms", "telemetry_hour", ["hour_ms"], unique=False)
    op.create_table(
        "telemetry_reader",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("last_from_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reader", name=op.f("pk_telemetry_reader")),
    )
    op.create_table(
        "telemetry_loss",
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_ms", "reason", name=op.f("pk_telemetry_loss")),
    )
    op.create_table(
        "ledger_month",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_ledger_month")),
    )
    op.create_table(
        "online_hour",
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fewest", sa.BigInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_ms", name=op.f("pk_online_hour")),
    )
