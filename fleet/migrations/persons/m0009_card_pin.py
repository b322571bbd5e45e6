"""PINs of members beside their cards, and the browsers at which they are typed."""

import sqlalchemy as sa
from alembic import op

revision = "persons_9"
down_revision = "persons_8"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; nobody has a PIN yet, and no browser is bound to a desk."""
    op.create_table(
        "card_pin",
        sa.Column("member_id", _ID, autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("set_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_card_pin_member_id")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_card_pin")),
    )
    op.create_table(
        "desk_browser",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("bound_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("bound_by", sa.Text(), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_desk_browser")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_desk_browser_token_sha256")),
    )
