"""Usage by credential and period."""

revision = "fleet_3"
down_revision = "fleet_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
