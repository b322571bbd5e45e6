"""On what ground a scheme is used, and members who move from one to another."""

import time

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "persons_3"
down_revision = "persons_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; schemes in use are taken over, without an end and without a signature."""
    op.create_table(
        "scheme_statement",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("signed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("office", sa.Text(), server_default="", nullable=False),
        sa.Column("ground", sa.Text(), server_default="", nullable=False),
        sa.Column("ground_date", sa.Date(), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheme_statement")),
    )
    op.create_index(
        "ix_scheme_statement_programme_scheme",
        "scheme_statement",
        ["programme", "scheme"],
        unique=False,
    )
    op.create_table(
        "campaign",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_scheme", sa.Text(), nullable=False),
        sa.Column("to_scheme", sa.Text(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
    )
    op.create_index("ix_campaign_programme", "campaign", ["programme"], unique=False)
    _take_over()
    for table in ("scheme_statement", "campaign"):
        make_append_only(op.get_bind(), table)


def _take_over() -> None:
    """Go on with the schemes by which cards are known, or wait for a clerk."""
    op.get_bind().execute(
        sa.text(
            "INSERT INTO scheme_statement (programme, scheme, kind, at_ms, who) "
            "SELECT programme, scheme, 'taken-over', :at_ms, 'migration' "
            "FROM (SELECT programme, scheme FROM card UNION SELECT programme, scheme FROM triage) "
            "AS used ORDER BY programme, scheme"
        ),
        {"at_ms": int(time.time() * 1000)},
    )
