"""Whether a member is named at gates that show names."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_unchangeable

revision = "persons_7"
down_revision = "persons_6"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table; whoever said nothing is named where a gate shows names."""
    op.create_table(
        "work_naming",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_work_naming_member_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_naming")),
    )
    op.create_index(op.f("ix_work_naming_member_id"), "work_naming", ["member_id"], unique=False)
    make_unchangeable(op.get_bind(), "work_naming")
