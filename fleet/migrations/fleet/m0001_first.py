"""The first tables of the database `fleet`."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "fleet_1"
down_revision = None
branch_labels = None
depends_on = None


_IN_THE_LEDGER = {
    "sqlite": (
        sa.ForeignKeyConstraint(
            ["journal_id", "n"],
            ["entry.journal_id", "entry.n"],
            name="fk_finding_journal_id_n",
        ),
    ),
    "postgresql": (),
}
"""A finding's entry, held by the database on SQLite alone.

In a table partitioned by the time of receipt PostgreSQL keeps no key without that time, and a
foreign key would stand in the way of dropping a month whole. Findings are written in the
transaction that writes their entries.
"""


def upgrade() -> None:
    """Create everything."""
    _create()
    for table in ("entry", "conflict", "audit"):
        make_append_only(op.get_bind(), table)


def _create() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_account")),
    )
    op.create_table(
        "alarm",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_alarm_kind_subject")),
    )
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "bad_message",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "leaf", "reason", name=op.f("pk_bad_message")),
    )
    op.create_table(
        "counter_minute",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "from_ms", "name", name=op.f("pk_counter_minute")),
    )
    op.create_index("ix_counter_minute_from_ms", "counter_minute", ["from_ms"], unique=False)
    op.create_table(
        "entry_minute",
        sa.Column("minute_ms", sa.BigInteger(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "minute_ms", "reader", "programme", "code", name=op.f("pk_entry_minute")
        ),
    )
    op.create_table(
        "ledger_epoch",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("began_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_epoch")),
        sa.UniqueConstraint("epoch", name=op.f("uq_ledger_epoch_epoch")),
    )
    op.create_table(
        "place",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), server_default="", nullable=False),
        sa.Column("programmes", sa.JSON(), nullable=False),
        sa.Column("triage_programmes", sa.JSON(), nullable=False),
        sa.Column("label_ja", sa.Text(), server_default="", nullable=False),
        sa.Column("label_en", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_place")),
    )
    op.create_table(
        "quarantine_hour",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "hour_ms", name=op.f("pk_quarantine_hour")),
    )
    op.create_table(
        "revision",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_revision")),
    )
    op.create_table(
        "rule",
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("programme", "version", name=op.f("pk_rule")),
    )
    op.create_table(
        "stage_minute",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("sum_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "from_ms", "stage", name=op.f("pk_stage_minute")),
    )
    op.create_index("ix_stage_minute_from_ms", "stage_minute", ["from_ms"], unique=False)
    op.create_table(
        "reader",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sealing_public_key", sa.Text(), nullable=False),
        sa.Column("keys_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("keys_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("enrolled_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_why", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["place"], ["place.name"], name=op.f("fk_reader_place")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reader")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_reader_fingerprint")),
    )
    op.create_table(
        "roster",
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("content_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("built_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["place"], ["place.name"], name=op.f("fk_roster_place")),
        sa.PrimaryKeyConstraint("programme", "place", "version", name=op.f("pk_roster")),
    )
    op.create_table(
        "session",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("begun_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["account.name"], name=op.f("fk_session_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_session")),
    )
    op.create_table(
        "journal",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("former_journal", sa.Text(), nullable=True),
        sa.Column("former_n", sa.BigInteger(), nullable=True),
        sa.Column("former_tip", sa.LargeBinary(), nullable=True),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("agent", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("through", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seen_hash", sa.LargeBinary(), nullable=True),
        sa.Column("claimed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("superseded", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("spans", sa.JSON(), nullable=False),
        sa.Column("whole", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("unreplayed", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["reader"], ["reader.name"], name=op.f("fk_journal_reader")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        sa.UniqueConstraint("reader", "journal", name=op.f("uq_journal_reader_journal")),
    )
    op.create_index(
        "ix_journal_not_whole",
        "journal",
        ["id"],
        unique=False,
        sqlite_where=sa.text("whole IS 0"),
        postgresql_where=sa.text("whole IS false"),
    )
    op.create_table(
        "reader_state",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("online_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("status_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("agent", sa.Text(), server_default="", nullable=False),
        sa.Column("front_end", sa.Text(), server_default="", nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("journal", sa.Text(), nullable=True),
        sa.Column("n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("waiting", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rosters", sa.JSON(), nullable=False),
        sa.Column("reported", sa.JSON(), nullable=True),
        sa.Column("connections", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["reader"], ["reader.name"], name=op.f("fk_reader_state_reader")),
        sa.PrimaryKeyConstraint("reader", name=op.f("pk_reader_state")),
    )
    op.create_table(
        "online_change",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["reader"], ["reader.name"], name=op.f("fk_online_change_reader")),
        sa.PrimaryKeyConstraint("reader", "at_ms", name=op.f("pk_online_change")),
    )
    op.create_table(
        "conflict",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "journal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["journal_id"], ["journal.id"], name=op.f("fk_conflict_journal_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conflict")),
        sa.UniqueConstraint(
            "journal_id", "n", "body_sha256", name=op.f("uq_conflict_journal_id_n_body_sha256")
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        _partition_entries()
    else:
        _create_entry()
    op.create_table(
        "gap",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "journal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("how", sa.Text(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_gap_journal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gap")),
        sa.UniqueConstraint(
            "journal_id", "first", "last", "cause", name=op.f("uq_gap_journal_id_first_last_cause")
        ),
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "journal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.Column("first", sa.BigInteger(), nullable=True),
        sa.Column("last", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("times", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["journal_id"], ["journal.id"], name=op.f("fk_quarantine_journal_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(
        "ix_quarantine_journal_id_last", "quarantine", ["journal_id", "last"], unique=False
    )
    op.create_index("ix_quarantine_reader_sha256", "quarantine", ["reader", "sha256"], unique=False)
    op.create_table(
        "finding",
        sa.Column(
            "journal_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rider_pays_yen", sa.Integer(), nullable=True),
        sa.Column("found_at_ms", sa.BigInteger(), nullable=False),
        *_IN_THE_LEDGER[op.get_bind().dialect.name],
        sa.PrimaryKeyConstraint("journal_id", "n", "kind", name=op.f("pk_finding")),
    )


def _create_entry() -> None:
    op.create_table(
        "entry",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "journal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("programme", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("credential", sa.Text(), nullable=True),
        sa.Column("scheme", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("declared", sa.Text(), nullable=True),
        sa.Column("rider_pays_yen", sa.Integer(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("roster_version", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_entry_journal_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_entry")),
        sa.UniqueConstraint("journal_id", "n", name=op.f("uq_entry_journal_id_n")),
    )
    op.create_index(
        "ix_entry_credential_at_ms",
        "entry",
        ["credential", "at_ms"],
        unique=False,
        sqlite_where=sa.text("credential IS NOT NULL"),
        postgresql_where=sa.text("credential IS NOT NULL"),
    )


# One partition a month of receipt (`ensure_month`), so that a month past retention is dropped
# whole. (journal_id, n) is unique in each month, and between months by the journal's spans, which
# whoever appends holds locked. No foreign key to `journal`: it would cost a query an entry, and
# nobody may remove a journal.
_ENTRY = (
    """
    CREATE TABLE entry (
        position bigint GENERATED BY DEFAULT AS IDENTITY,
        journal_id bigint NOT NULL,
        n bigint NOT NULL,
        hash bytea NOT NULL,
        body bytea NOT NULL,
        received_at_ms bigint NOT NULL,
        kind text NOT NULL,
        at_ms bigint NOT NULL,
        clock text NOT NULL,
        programme text,
        outcome text,
        code text,
        credential text,
        scheme text,
        category text,
        declared text,
        rider_pays_yen integer,
        rule text,
        roster_version bigint,
        CONSTRAINT pk_entry PRIMARY KEY (position, received_at_ms)
    ) PARTITION BY RANGE (received_at_ms)
    """,
    """
    CREATE INDEX ix_entry_credential_at_ms ON entry (credential, at_ms)
    WHERE credential IS NOT NULL
    """,
    # The table is made apart and then attached: that lets others go on inserting meanwhile.
    # https://www.postgresql.org/docs/15/ddl-partitioning.html, 5.11.2.2
    """
    CREATE FUNCTION ensure_month(ms bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
    DECLARE
        month timestamp := date_trunc('month', to_timestamp(ms / 1000) AT TIME ZONE 'Asia/Tokyo');
        name text := 'entry_' || to_char(month, 'YYYYMM');
        first numeric := extract(epoch FROM month AT TIME ZONE 'Asia/Tokyo') * 1000;
        after numeric :=
            extract(epoch FROM (month + interval '1 month') AT TIME ZONE 'Asia/Tokyo') * 1000;
    BEGIN
        IF ms NOT BETWEEN 0 AND 4102444799999 THEN
            RAISE EXCEPTION '% is no time of receipt before the year 2100', ms
            USING ERRCODE = 'datetime_field_overflow';
        END IF;
        IF to_regclass('fleet.' || name) IS NOT NULL THEN
            RETURN name;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('ensure_month', 0));
        -- What another made while this one waited is not yet in this session's cache.
        PERFORM FROM pg_class
        WHERE relname = name::name AND relnamespace = 'fleet'::regnamespace;
        IF FOUND THEN
            RETURN name;
        END IF;
        EXECUTE format('CREATE TABLE fleet.%I (LIKE fleet.entry)', name);
        EXECUTE format('CREATE UNIQUE INDEX %I ON fleet.%I (journal_id, n)',
                       'uq_' || name || '_journal_id_n', name);
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON fleet.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION fleet.refuse_change()',
                       name || '_append_only', name);
        EXECUTE format('ALTER TABLE fleet.%I ENABLE ALWAYS TRIGGER %I', name,
                       name || '_append_only');
        EXECUTE format('ALTER TABLE fleet.entry ATTACH PARTITION fleet.%I '
                       'FOR VALUES FROM (%s) TO (%s)', name, trunc(first), trunc(after));
        RETURN name;
    END
    $$
    """,
    "REVOKE ALL ON FUNCTION ensure_month(bigint) FROM PUBLIC",
)


def _partition_entries() -> None:
    for statement in _ENTRY:
        op.execute(sa.text(statement))
