"""Telemetry by minute and by hour."""

revision = "fleet_5"
down_revision = "fleet_4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
