"""The rows of usage files once for all places of a programme, and a signed head for each."""

import sqlalchemy as sa
from alembic import op

revision = "fleet_10"
down_revision = "fleet_9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep the time of each file, so that none is older than the one before; all are due at once.

    Until the next build, seconds later, no place has a head, and readers keep what they hold.
    """
    op.create_table(
        "usage_rows",
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("periods", sa.JSON(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("programme", "sha256", name=op.f("pk_usage_rows")),
    )
    with op.batch_alter_table("usage_file") as table:
        table.drop_column("file")
        table.add_column(sa.Column("head", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("rows_sha256", sa.LargeBinary(), nullable=True))
        table.create_foreign_key(
            op.f("fk_usage_file_programme_rows_sha256"),
            "usage_rows",
            ["programme", "rows_sha256"],
            ["programme", "sha256"],
        )
