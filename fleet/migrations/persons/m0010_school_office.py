"""Visitors with a spare card, spare cards out of use, objections to entries of somebody else.

SQLite cannot let a column be empty afterwards: the table is made anew, without what refers to it.
"""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only, make_unchangeable

revision = "persons_10"
down_revision = "persons_9"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Let a loan be to no member; nobody visits yet."""
    if op.get_bind().dialect.name == "sqlite":
        _without_member_on_sqlite()
    else:
        op.alter_column("work_loan", "member_id", existing_type=_ID, nullable=True)
    op.create_table(
        "work_visitor",
        sa.Column("loan_id", _ID, autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["loan_id"], ["work_loan.id"], name=op.f("fk_work_visitor_loan_id")
        ),
        sa.PrimaryKeyConstraint("loan_id", name=op.f("pk_work_visitor")),
    )
    make_unchangeable(op.get_bind(), "work_visitor")
    op.create_table(
        "work_spare_use",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("spare_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["spare_id"], ["work_spare.id"], name=op.f("fk_work_spare_use_spare_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_spare_use")),
    )
    op.create_index(op.f("ix_work_spare_use_spare_id"), "work_spare_use", ["spare_id"])
    make_append_only(op.get_bind(), "work_spare_use")
    _objections()


def _objections() -> None:
    op.create_table(
        "work_objection",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("entry_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["work_entry.id"], name=op.f("fk_work_objection_entry_id")
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_work_objection_member_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_objection")),
    )
    for column in ("member_id", "entry_id"):
        op.create_index(op.f(f"ix_work_objection_{column}"), "work_objection", [column])
    make_unchangeable(op.get_bind(), "work_objection")


def _without_member_on_sqlite() -> None:
    op.execute("CREATE TABLE returned AS SELECT loan_id, at_ms, who FROM work_return")
    op.drop_table("work_return")
    with op.batch_alter_table("work_loan") as table:
        table.alter_column("member_id", existing_type=_ID, nullable=True)
    op.create_table(
        "work_return",
        sa.Column("loan_id", _ID, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["loan_id"], ["work_loan.id"], name=op.f("fk_work_return_loan_id")),
        sa.PrimaryKeyConstraint("loan_id", name=op.f("pk_work_return")),
    )
    op.execute("INSERT INTO work_return SELECT loan_id, at_ms, who FROM returned")
    op.drop_table("returned")
    for name in ("work_loan", "work_return"):
        make_unchangeable(op.get_bind(), name)
