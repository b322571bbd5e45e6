"""Usage by card and period, and what readers are told of it."""

import datetime
from collections import Counter
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision = "fleet_3"
down_revision = "fleet_2"
branch_labels = None
depends_on = None


ROWS_AT_ONCE = 5_000
_TOKYO = ZoneInfo("Asia/Tokyo")


def upgrade() -> None:
    """Create both tables, and count what the ledger holds already."""
    op.create_table(
        "usage",
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("yen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("programme", "period", "credential", name=op.f("pk_usage")),
    )
    op.create_table(
        "usage_file",
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["place"], ["place.name"], name=op.f("fk_usage_file_place")),
        sa.PrimaryKeyConstraint("programme", "place", name=op.f("pk_usage_file")),
    )
    _count()


def _count() -> None:
    """Count the rides of the senior pass in their fiscal years; nothing else was counted then."""
    connection = op.get_bind()
    times: Counter[tuple[str, str]] = Counter()
    yen: Counter[tuple[str, str]] = Counter()
    rows = connection.execute(
        sa.text(
            "SELECT credential, at_ms, rider_pays_yen FROM entry WHERE kind = 'tap' "
            "AND programme = 'senior-pass' AND outcome = 'accepted' AND credential IS NOT NULL"
        )
    )
    for row in rows:
        day = datetime.datetime.fromtimestamp(row.at_ms / 1000, _TOKYO).date()
        year = day.year if day.month >= 4 else day.year - 1
        times[str(year), row.credential] += 1
        yen[str(year), row.credential] += row.rider_pays_yen or 0
    counted = [
        {"programme": "senior-pass", "period": period, "credential": card, "times": n, "yen": paid}
        for (period, card), n in sorted(times.items())
        for paid in (yen[period, card],)
    ]
    insert = sa.text(
        "INSERT INTO usage (programme, period, credential, times, yen) "
        "VALUES (:programme, :period, :credential, :times, :yen)"
    )
    for start in range(0, len(counted), ROWS_AT_ONCE):
        connection.execute(insert, counted[start : start + ROWS_AT_ONCE])
