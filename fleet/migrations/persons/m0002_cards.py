"""Cards that were re-keyed or replaced stay known."""

revision = "persons_2"
down_revision = "persons_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
