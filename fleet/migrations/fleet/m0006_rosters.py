"""Rosters whose rows are shared between places."""

revision = "fleet_6"
down_revision = "fleet_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
