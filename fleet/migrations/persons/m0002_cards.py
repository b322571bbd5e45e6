"""Cards that were re-keyed or replaced stay known."""

import sqlalchemy as sa
from alembic import op

revision = "persons_2"
down_revision = "persons_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No card has been superseded: until now its former credential was forgotten."""
    op.add_column("card", sa.Column("superseded_at_ms", sa.BigInteger(), nullable=True))
    op.add_column(
        "card",
        sa.Column("successor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
    )
    op.create_index("ix_card_credential", "card", ["credential"], unique=False)
    there = sa.text("successor IS NOT NULL")
    op.create_index(
        "ix_card_successor",
        "card",
        ["successor"],
        unique=False,
        sqlite_where=there,
        postgresql_where=there,
    )
