"""What a reader signed of each journal, and under which key."""

revision = "fleet_2"
down_revision = "fleet_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
