"""What people call whose places are; how long rides and claims are kept, and what has gone."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "fleet_11"
down_revision = "fleet_10"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Organisations have no name until the registry is taken in again."""
    op.create_table(
        "organisation",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label_ja", sa.Text(), nullable=False),
        sa.Column("label_en", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_organisation")),
    )
    op.create_table(
        "ride_retention",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("years", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ride_retention")),
    )
    op.create_table(
        "retired_rides",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("rides", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_retired_rides")),
    )
    op.create_index("ix_claim_line_ride_id", "claim_line", ["ride_id"])
    for table in ("ride_retention", "retired_rides"):
        make_append_only(op.get_bind(), table)
