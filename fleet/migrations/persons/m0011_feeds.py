"""Secret addresses of calendars that people made."""

import sqlalchemy as sa
from alembic import op

revision = "persons_11"
down_revision = "persons_10"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table; nobody has made an address yet."""
    op.create_table(
        "work_feed",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("member_id", _ID, nullable=True),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("read_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_work_feed_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_feed")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_work_feed_token_sha256")),
        sa.UniqueConstraint(
            "account", "organisation", name=op.f("uq_work_feed_account_organisation")
        ),
    )
    op.create_index(op.f("ix_work_feed_member_id"), "work_feed", ["member_id"], unique=False)
