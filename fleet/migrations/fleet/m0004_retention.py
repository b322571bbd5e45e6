"""Months past retention, dropped whole and signed for; what an audit found."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "fleet_4"
down_revision = "fleet_3"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create what retention and audit write; all of it only grows."""
    _create_retired()
    op.create_table(
        "joint",
        sa.Column("journal_id", _ID, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_joint_journal_id")),
        sa.PrimaryKeyConstraint("journal_id", "n", name=op.f("pk_joint")),
    )
    op.create_table(
        "retention",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("months", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention")),
    )
    op.create_table(
        "audit_run",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("exceptions", sa.JSON(), nullable=False),
        sa.Column("faults", sa.JSON(), nullable=False),
        sa.Column("took_ms", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_run")),
    )
    for table in (
        "joint",
        "retention",
        "retired_month",
        "retired_reader",
        "retired_journal",
        "audit_run",
    ):
        make_append_only(op.get_bind(), table)


def _create_retired() -> None:
    op.create_table(
        "retired_month",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_retired_month")),
    )
    op.create_table(
        "retired_reader",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["month"], ["retired_month.month"], name=op.f("fk_retired_reader_month")
        ),
        sa.ForeignKeyConstraint(["reader"], ["reader.name"], name=op.f("fk_retired_reader_reader")),
        sa.PrimaryKeyConstraint("month", "reader", name=op.f("pk_retired_reader")),
    )
    op.create_table(
        "retired_journal",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("journal_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.LargeBinary(), nullable=True),
        sa.Column("after", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["month"], ["retired_month.month"], name=op.f("fk_retired_journal_month")
        ),
        sa.ForeignKeyConstraint(
            ["journal_id"], ["journal.id"], name=op.f("fk_retired_journal_journal_id")
        ),
        sa.PrimaryKeyConstraint(
            "month", "journal_id", "kind", "first", name=op.f("pk_retired_journal")
        ),
    )
    op.create_index(
        "ix_retired_journal_journal_id", "retired_journal", ["journal_id"], unique=False
    )
