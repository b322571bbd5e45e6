"""What a clerk decided of a card that no roster knew."""

import sqlalchemy as sa
from alembic import op

revision = "persons_8"
down_revision = "persons_7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing has been decided of the cards that are listed."""
    for name in ("state", "note", "decided_by"):
        op.add_column("triage", sa.Column(name, sa.Text(), server_default="", nullable=False))
