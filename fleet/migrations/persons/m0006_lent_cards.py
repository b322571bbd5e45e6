"""A school's spare cards, to whom they are lent, and when they were given back."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only, make_unchangeable

revision = "persons_6"
down_revision = "persons_5"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; no school has a spare card yet."""
    op.create_table(
        "work_spare",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key_epoch", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_spare")),
        sa.UniqueConstraint("credential", name=op.f("uq_work_spare_credential")),
        sa.UniqueConstraint(
            "organisation", "number", name=op.f("uq_work_spare_organisation_number")
        ),
    )
    op.create_table(
        "work_loan",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("spare_id", _ID, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["spare_id"], ["work_spare.id"], name=op.f("fk_work_loan_spare_id")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_work_loan_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_loan")),
        sa.UniqueConstraint("spare_id", "number", name=op.f("uq_work_loan_spare_id_number")),
    )
    op.create_index(op.f("ix_work_loan_member_id"), "work_loan", ["member_id"], unique=False)
    op.create_table(
        "work_return",
        sa.Column("loan_id", _ID, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["loan_id"], ["work_loan.id"], name=op.f("fk_work_return_loan_id")),
        sa.PrimaryKeyConstraint("loan_id", name=op.f("pk_work_return")),
    )
    make_append_only(op.get_bind(), "work_spare")
    for table in ("work_loan", "work_return"):
        make_unchangeable(op.get_bind(), table)
