"""Months past retention, dropped whole and signed for."""

revision = "fleet_4"
down_revision = "fleet_3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
