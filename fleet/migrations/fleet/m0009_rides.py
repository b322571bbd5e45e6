"""Whose a place is; rides as money knows them; what transport companies claim for them."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "fleet_9"
down_revision = "fleet_8"
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    """Every place is the city's until the registry is taken in again."""
    op.add_column("place", _text("organisation"))
    _rides()
    _claims()
    for table in ("ride", "ride_share", "ride_taken_back"):
        make_append_only(op.get_bind(), table)


def _rides() -> None:
    op.create_table(
        "ride",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("of_id", _Id, nullable=True),
        sa.Column("journal_id", _Id, nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=True),
        sa.Column("programme", sa.Text(), nullable=False),
        *(_text(name) for name in ("organisation", "place")),
        sa.Column("medium", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        _text("rule"),
        *(_number(name) for name in ("at_ms", "boarded_at_ms", "booked_at_ms", "riders")),
        _number("fare_yen"),
        _text("discount"),
        *(_number(name) for name in ("discount_yen", "subsidy_yen", "riders_pay_yen")),
        *(_text(name) for name in ("driver", "on_spot", "off_spot", "ticket", "who", "why")),
        sa.ForeignKeyConstraint(["of_id"], ["ride.id"], name=op.f("fk_ride_of_id")),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_ride_journal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ride")),
        sa.UniqueConstraint("of_id", name=op.f("uq_ride_of_id")),
        sa.UniqueConstraint("journal_id", "n", "kind", name=op.f("uq_ride_journal_id_n_kind")),
    )
    op.create_index("ix_ride_programme_boarded_at_ms", "ride", ["programme", "boarded_at_ms"])
    op.create_index("ix_ride_organisation_id", "ride", ["organisation", "id"])
    op.create_index(
        "ix_ride_programme_ticket",
        "ride",
        ["programme", "ticket"],
        sqlite_where=sa.text("ticket != ''"),
        postgresql_where=sa.text("ticket != ''"),
    )
    op.create_table(
        "ride_share",
        sa.Column("ride_id", _Id, nullable=False),
        _number("seat"),
        sa.Column("credential", sa.Text(), nullable=False),
        *(_number(name) for name in ("times", "subsidy_yen")),
        sa.ForeignKeyConstraint(["ride_id"], ["ride.id"], name=op.f("fk_ride_share_ride_id")),
        sa.PrimaryKeyConstraint("ride_id", "seat", name=op.f("pk_ride_share")),
    )
    op.create_index("ix_ride_share_credential", "ride_share", ["credential"])
    op.create_table(
        "ride_taken_back",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("of_journal", sa.Text(), nullable=False),
        _number("of_n"),
        sa.Column("journal_id", _Id, nullable=False),
        *(_number(name) for name in ("n", "at_ms")),
        *(_text(name) for name in ("driver", "why")),
        sa.ForeignKeyConstraint(
            ["journal_id"], ["journal.id"], name=op.f("fk_ride_taken_back_journal_id")
        ),
        sa.PrimaryKeyConstraint("reader", "of_journal", "of_n", name=op.f("pk_ride_taken_back")),
    )


def _claims() -> None:
    op.create_table(
        "claim",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("programme", "organisation")),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _number("made_at_ms"),
        sa.Column("made_by", sa.Text(), nullable=False),
        *(_number(name) for name in ("lines", "subsidy_yen")),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in ("file", "sha256")),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("seal", "signature")),
        _text("key_id"),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        *(_text(name) for name in ("decided_by", "why")),
        sa.Column("paid_on", sa.Date(), nullable=True),
        _text("paid_by"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim")),
    )
    op.create_index("ix_claim_programme_organisation", "claim", ["programme", "organisation"])
    op.create_index(
        "ix_claim_once",
        "claim",
        ["programme", "organisation", "until"],
        unique=True,
        sqlite_where=sa.text("state <> 'returned'"),
        postgresql_where=sa.text("state <> 'returned'"),
    )
    op.create_table(
        "claim_line",
        sa.Column("claim_id", _Id, nullable=False),
        sa.Column("ride_id", _Id, nullable=False),
        sa.Column("stands", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_claim_line_claim_id")),
        sa.ForeignKeyConstraint(["ride_id"], ["ride.id"], name=op.f("fk_claim_line_ride_id")),
        sa.PrimaryKeyConstraint("claim_id", "ride_id", name=op.f("pk_claim_line")),
    )
    op.create_index(
        "ix_claim_line_once",
        "claim_line",
        ["ride_id"],
        unique=True,
        sqlite_where=sa.text("stands"),
        postgresql_where=sa.text("stands"),
    )
