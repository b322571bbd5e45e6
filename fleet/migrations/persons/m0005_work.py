"""Working hours: terms, corrections, entries, requests, closed months, signed lists of days."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only, make_unchangeable

revision = "persons_5"
down_revision = "persons_4"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; members have no terms yet, and are of no school."""
    _what_people_say()
    _months()
    _accounts_and_lists()
    op.create_table(
        "work_retention",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("months", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_retention")),
    )
    for table in ("work_close", "work_month", "work_list", "work_retention"):
        make_append_only(op.get_bind(), table)
    for table in (
        *("work_term", "work_request", "work_decision", "work_correction", "work_entry"),
        *("work_special", "work_account", "work_leaf"),
    ):
        make_unchangeable(op.get_bind(), table)


def _what_people_say() -> None:
    op.create_table(
        "work_term",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("engaged", sa.Text(), nullable=False),
        sa.Column("pattern", sa.JSON(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_work_term_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_term")),
    )
    op.create_index(op.f("ix_work_term_member_id"), "work_term", ["member_id"], unique=False)
    op.create_index(op.f("ix_work_term_organisation"), "work_term", ["organisation"], unique=False)
    op.create_table(
        "work_request",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("wishes", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_work_request_member_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_request")),
    )
    op.create_index(op.f("ix_work_request_member_id"), "work_request", ["member_id"], unique=False)
    op.create_table(
        "work_decision",
        sa.Column("request_id", _ID, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["work_request.id"], name=op.f("fk_work_decision_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_work_decision")),
    )
    op.create_table(
        "work_correction",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", _ID, nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_work_correction_member_id")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["work_request.id"], name=op.f("fk_work_correction_request_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_correction")),
    )
    op.create_index(
        "ix_work_correction_member_id_day", "work_correction", ["member_id", "day"], unique=False
    )
    op.create_table(
        "work_entry",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("withdraws", _ID, nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_work_entry_member_id")),
        sa.ForeignKeyConstraint(
            ["withdraws"], ["work_entry.id"], name=op.f("fk_work_entry_withdraws")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_entry")),
        sa.UniqueConstraint("withdraws", name=op.f("uq_work_entry_withdraws")),
    )
    op.create_index("ix_work_entry_member_id_day", "work_entry", ["member_id", "day"], unique=False)


def _months() -> None:
    op.create_table(
        "work_close",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_close")),
    )
    op.create_index(
        "ix_work_close_organisation_month", "work_close", ["organisation", "month"], unique=False
    )
    op.create_table(
        "work_month",
        sa.Column("close_id", _ID, autoincrement=False, nullable=False),
        sa.Column("member_id", _ID, autoincrement=False, nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("engaged", sa.Text(), nullable=False),
        sa.Column("worked_min", sa.BigInteger(), nullable=False),
        sa.Column("outside_min", sa.BigInteger(), nullable=False),
        sa.Column("rest_day_min", sa.BigInteger(), nullable=False),
        sa.Column("is_incomplete", sa.Boolean(), nullable=False),
        sa.Column("marks", sa.BigInteger(), nullable=False),
        sa.Column("by_hand", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["close_id"], ["work_close.id"], name=op.f("fk_work_month_close_id")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_work_month_member_id")),
        sa.PrimaryKeyConstraint("close_id", "member_id", name=op.f("pk_work_month")),
    )
    op.create_index(
        "ix_work_month_member_id_month", "work_month", ["member_id", "month"], unique=False
    )
    op.create_table(
        "work_special",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_work_special_member_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_special")),
    )
    op.create_index(op.f("ix_work_special_member_id"), "work_special", ["member_id"], unique=False)


def _accounts_and_lists() -> None:
    op.create_table(
        "work_account",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_work_account_member_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_account")),
    )
    op.create_index(op.f("ix_work_account_account"), "work_account", ["account"], unique=False)
    op.create_index(op.f("ix_work_account_member_id"), "work_account", ["member_id"], unique=False)
    op.create_table(
        "work_change",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("first", sa.Date(), nullable=False),
        sa.Column("last", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_change")),
    )
    op.create_table(
        "work_listed",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date()),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_work_listed")),
    )
    op.create_table(
        "work_list",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_list")),
        sa.UniqueConstraint(
            "organisation", "day", "number", name=op.f("uq_work_list_organisation_day_number")
        ),
    )
    op.create_index("ix_work_list_day", "work_list", ["day"], unique=False)
    op.create_table(
        "work_leaf",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("member_id", _ID, nullable=False),
        sa.Column("list_id", _ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["work_list.id"], name=op.f("fk_work_leaf_list_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_work_leaf_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_leaf")),
    )
    op.create_index(op.f("ix_work_leaf_list_id"), "work_leaf", ["list_id"], unique=False)
    op.create_index("ix_work_leaf_member_id_day", "work_leaf", ["member_id", "day"], unique=False)
