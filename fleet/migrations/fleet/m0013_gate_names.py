"""Whether a place's gate shows names, and those that its readers are to hold."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "fleet_13"
down_revision = "fleet_12"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; no place shows names until it is chosen."""
    op.create_table(
        "gate_naming",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["place"], ["place.name"], name=op.f("fk_gate_naming_place")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_naming")),
    )
    op.create_index(op.f("ix_gate_naming_place"), "gate_naming", ["place"], unique=False)
    op.create_table(
        "gate_names",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("contents", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["reader"], ["reader.name"], name=op.f("fk_gate_names_reader")),
        sa.PrimaryKeyConstraint("reader", name=op.f("pk_gate_names")),
    )
    make_append_only(op.get_bind(), "gate_naming")
