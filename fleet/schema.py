"""The tables of the fleet, in two databases: `fleet` (no persons) and `persons`.

Rules: an entry, a conflict and an audit line are never changed or removed (triggers refuse it);
the two databases meet only in credentials, which differ in every programme; which role may touch
what stands in `fleet.grants`. Times are UTC in ms since 1970 (`_at_ms`), money integer yen, hashes
raw bytes. Types are portable, so that PostgreSQL takes the same tables.
"""

from typing import Any, Final

import sqlalchemy as sa

_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
fleet: Final = sa.MetaData(naming_convention=_NAMES)
"""Registry, ledger, rosters, telemetry, accounts: nothing that names a person."""
persons: Final = sa.MetaData(naming_convention=_NAMES)
"""Persons, their memberships and cards."""

APPEND_ONLY: Final = {
    "fleet": (
        "entry",
        "conflict",
        "audit",
        "reader_key",
        "joint",
        "retention",
        "retired_month",
        "retired_reader",
        "retired_journal",
        "audit_run",
        "budget",
        "ride",
        "ride_share",
        "ride_taken_back",
        "ride_retention",
        "retired_rides",
    ),
    "persons": (
        "audit",
        "scheme_statement",
        "campaign",
        "consent",
        "consent_basis",
        "work_close",
        "work_month",
        "work_list",
        "work_retention",
        "work_spare",
        "work_spare_use",
    ),
}
"""Tables that only grow, by database; enforced by `grants.make_append_only`."""

_Id: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite counts rows by itself only for INTEGER."""


def _id() -> sa.Column[Any]:
    return sa.Column("id", _Id, primary_key=True, autoincrement=True)


def _text(name: str, default: str | None = None) -> sa.Column[Any]:
    """A text that is always there; with a default it may be left out when a row is added."""
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _number(name: str, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=default)


# --- who may speak, and from where ---------------------------------------------------------------

place: Final = sa.Table(
    "place",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    _text("kind"),
    _text("line", ""),
    sa.Column("programmes", sa.JSON, nullable=False),
    sa.Column("triage_programmes", sa.JSON, nullable=False),
    _text("label_ja", ""),
    _text("label_en", ""),
    sa.Column("by_hour", sa.Boolean, nullable=False, server_default=sa.true()),
    _text("organisation", ""),
    comment="Where readers stand. organisation: whose it is, such as a transport company's; '' the "
    "city's. by_hour: fewer than 20 members in one of its programmes, so "
    "that nothing of it is counted finer than by the hour. programmes: names in the order in which "
    "a card is looked up; triage_programmes: those whose unknown cards a clerk may assign for "
    "seven days.",
)

organisation: Final = sa.Table(
    "organisation",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    _text("label_ja"),
    _text("label_en", ""),
    comment="What people call whose places are, by place.organisation; who is not here is shown by "
    "that name.",
)

reader: Final = sa.Table(
    "reader",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, sa.ForeignKey("place.name"), nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False, unique=True),
    _text("public_key"),
    _text("sealing_public_key"),
    sa.Column("keys_sealed", sa.LargeBinary),
    sa.Column("keys_sha256", sa.LargeBinary),
    _number("enrolled_at_ms"),
    sa.Column("revoked_at_ms", sa.BigInteger),
    _text("revoked_why", ""),
    comment="Readers by full name tenant/reader. fingerprint: SHA-256 of the certificate, hex; "
    "keys as PEM; keys_sealed: programme keys that only the reader can open. A revoked reader "
    "stays listed, is answered nothing, and its messages are counted in bad_message.",
)

gate_naming: Final = sa.Table(
    "gate_naming",
    fleet,
    _id(),
    sa.Column("place", sa.Text, sa.ForeignKey("place.name"), nullable=False, index=True),
    _text("organisation"),
    _text("kind"),
    _number("at_ms"),
    _text("who"),
    comment="Whether a place shows the names of who stands at its gate: kind shown or hidden; the "
    "newest row of a place holds as long as the place is that organisation's, and without one it "
    "shows none. Rows are never changed.",
)

gate_names: Final = sa.Table(
    "gate_names",
    fleet,
    sa.Column("reader", sa.Text, sa.ForeignKey("reader.name"), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("contents", sa.LargeBinary, nullable=False),
    comment="The names that a gate shows, which only its reader can open. contents: what is in it, "
    "as a fingerprint under a key of the office, so that the same is not sealed again.",
)

reader_key: Final = sa.Table(
    "reader_key",
    fleet,
    sa.Column("reader", sa.Text, sa.ForeignKey("reader.name"), primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    _text("public_key"),
    _number("added_at_ms"),
    comment="Every public key (PEM) that a reader ever signed with, by its id (wire.envelope): "
    "signatures of years ago can still be checked. Append-only.",
)

reader_state: Final = sa.Table(
    "reader_state",
    fleet,
    sa.Column("reader", sa.Text, sa.ForeignKey("reader.name"), primary_key=True),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("online_since_ms", sa.BigInteger),
    _number("status_at_ms"),
    _number("received_at_ms"),
    _text("agent", ""),
    _text("front_end", ""),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Column("trouble", sa.Text),
    sa.Column("journal", sa.Text),
    _number("n", "0"),
    _number("waiting", "0"),
    sa.Column("rosters", sa.JSON, nullable=False),
    sa.Column("reported", sa.JSON),
    _number("connections", "0"),
    comment="One row a reader: its last status. trouble: code of wire.codes, null when ready; "
    "journal, n: the tip that it named; waiting: entries not yet acknowledged; rosters: list of "
    "{programme, version, age_s}; reported: {at_ms, agent, rosters, keys, trouble} of the twin; "
    "connections: how often it came online. received_at_ms is the fleet's clock, the rest its own.",
)

online_change: Final = sa.Table(
    "online_change",
    fleet,
    sa.Column("reader", sa.Text, sa.ForeignKey("reader.name"), primary_key=True),
    sa.Column("at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("online", sa.Boolean, nullable=False),
    comment="When a reader came online or went, by the fleet's clock. Kept like telemetry.",
)

bad_message: Final = sa.Table(
    "bad_message",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("leaf", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    _number("count"),
    _number("last_at_ms"),
    comment="Messages that were not taken in, by reader, leaf and stable reason; reader '?' stands "
    "for every name that is not in the registry, so the table is bounded by the registry.",
)

# --- the ledger ----------------------------------------------------------------------------------

ledger_epoch: Final = sa.Table(
    "ledger_epoch",
    fleet,
    _id(),
    sa.Column("epoch", sa.Text, nullable=False, unique=True),
    _number("began_at_ms"),
    _text("reason"),
    comment="The ledger's lives; the latest is named in acknowledgements. A restore into an older "
    "state begins a new one, and readers send again what the restored ledger lacks.",
)

journal: Final = sa.Table(
    "journal",
    fleet,
    _id(),
    sa.Column("reader", sa.Text, sa.ForeignKey("reader.name"), nullable=False),
    _text("journal"),
    sa.Column("former_journal", sa.Text),
    sa.Column("former_n", sa.BigInteger),
    sa.Column("former_tip", sa.LargeBinary),
    sa.Column("started_at_ms", sa.BigInteger),
    _text("agent", ""),
    _number("received_at_ms"),
    _number("through", "0"),
    _number("seen", "0"),
    sa.Column("seen_hash", sa.LargeBinary),
    _number("claimed", "0"),
    sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("spans", sa.JSON, nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False, server_default=sa.true()),
    _number("unreplayed", "0"),
    sa.Column("signed_first", sa.BigInteger),
    sa.Column("signed_lost", sa.BigInteger),
    sa.Column("signed_last", sa.BigInteger),
    sa.Column("signed_before", sa.LargeBinary),
    sa.Column("signed_key", sa.Text),
    sa.Column("signature", sa.LargeBinary),
    sa.UniqueConstraint("reader", "journal"),
    sa.Index("ix_journal_journal", "journal"),
    comment="One row a journal. through: all numbers up to it are accounted for; seen: the "
    "greatest that is, with its chain hash seen_hash; claimed: the greatest that the reader said "
    "it wrote (status, or the next journal's first entry); spans: accounted numbers as sorted, "
    "disjoint [first, last] pairs; superseded: the reader began another one after it; whole: "
    "nothing is missing up to seen, nor up to claimed when superseded; "
    "unreplayed: taps whose decision could not be replayed (roster no longer kept). signed_*, "
    "signature: the newest batch as its reader signed it, without its entries; signed_key: the "
    "key's id in reader_key. One signature over a tip proves all before it, by the chain.",
)
sa.Index(
    "ix_journal_not_whole",
    journal.c.id,
    sqlite_where=journal.c.whole.is_(sa.false()),
    postgresql_where=journal.c.whole.is_(sa.false()),
)

entry: Final = sa.Table(
    "entry",
    fleet,
    sa.Column("position", _Id, primary_key=True, autoincrement=True),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id"), nullable=False),
    _number("n"),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _number("received_at_ms"),
    _text("kind"),
    _number("at_ms"),
    _text("clock"),
    sa.Column("programme", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("code", sa.Text),
    sa.Column("credential", sa.Text),
    sa.Column("scheme", sa.Text),
    sa.Column("category", sa.Text),
    sa.Column("declared", sa.Text),
    sa.Column("rider_pays_yen", sa.Integer),
    sa.Column("rule", sa.Text),
    sa.Column("roster_version", sa.BigInteger),
    sa.UniqueConstraint("journal_id", "n"),
    comment="The ledger. Append-only; identity (journal_id, n); position: order of commit; body: "
    "the reader's bytes unchanged, from which all columns after received_at_ms are taken; hash: "
    "of the journal's chain at n; kind: start, tap, press (then code holds the button), ride (then "
    "rider_pays_yen is what its riders pay together), cancel (code: why), shift, redirect, answer "
    "(declared: what was missing) or clock.",
)
sa.Index(
    "ix_entry_credential_at_ms",
    entry.c.credential,
    entry.c.at_ms,
    sqlite_where=entry.c.credential.is_not(None),
    postgresql_where=entry.c.credential.is_not(None),
)

_CLOCK_IS_ASKED: Final = sa.text("kind = 'clock' OR clock = 'unknown'")
sa.Index(
    "ix_entry_clock",
    entry.c.received_at_ms,
    sqlite_where=_CLOCK_IS_ASKED,
    postgresql_where=_CLOCK_IS_ASKED,
)

conflict: Final = sa.Table(
    "conflict",
    fleet,
    _id(),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id"), nullable=False),
    _number("n"),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("body_sha256", sa.LargeBinary, nullable=False),
    _number("received_at_ms"),
    sa.UniqueConstraint("journal_id", "n", "body_sha256"),
    comment="Other bytes for an identity that the ledger already has. Append-only.",
)

quarantine: Final = sa.Table(
    "quarantine",
    fleet,
    _id(),
    _number("received_at_ms"),
    _text("reader"),
    _text("topic"),
    _text("reason"),
    _text("detail"),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id")),
    sa.Column("first", sa.BigInteger),
    sa.Column("last", sa.BigInteger),
    sa.Column("hash", sa.LargeBinary),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    _number("times", "1"),
    sa.Column("resolved_at_ms", sa.BigInteger),
    sa.Column("resolved_by", sa.Text),
    sa.Column("resolved_how", sa.Text),
    sa.Index("ix_quarantine_reader_sha256", "reader", "sha256"),
    sa.Index("ix_quarantine_journal_id_last", "journal_id", "last"),
    comment="What could not be read or verified, byte for byte. With journal_id the numbers first "
    "to last count as committed and hash is the chain's after last; without, nothing does. reason: "
    "stable word; times: how often the same bytes came. resolved_*: when it was taken in again, "
    "by whom, and what came of it; null until then.",
)

quarantine_hour: Final = sa.Table(
    "quarantine_hour",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("hour_ms", sa.BigInteger, primary_key=True),
    _number("kept"),
    _number("dropped"),
    comment="Unverifiable messages by reader and hour: kept in quarantine, and dropped because "
    "the hour's rows were full.",
)

gap: Final = sa.Table(
    "gap",
    fleet,
    _id(),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id"), nullable=False),
    _number("first"),
    _number("last"),
    _number("missing"),
    _text("cause"),
    _number("opened_at_ms"),
    sa.Column("closed_at_ms", sa.BigInteger),
    sa.Column("how", sa.Text),
    sa.Column("closed_by", sa.Text),
    sa.Column("why", sa.Text),
    sa.UniqueConstraint("journal_id", "first", "last", "cause"),
    comment="Numbers first to last that the ledger has not got; missing: how many of them now. "
    "cause: declared-lost (the reader said so) or not-arrived. how: filled, declared-lost "
    "(another gap says so) or written-off (closed_by and why say who and why); null while open.",
)

finding: Final = sa.Table(
    "finding",
    fleet,
    sa.Column("journal_id", _Id, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    _text("outcome"),
    _text("code"),
    _text("rule"),
    sa.Column("rider_pays_yen", sa.Integer),
    _number("found_at_ms"),
    sa.ForeignKeyConstraint(["journal_id", "n"], ["entry.journal_id", "entry.n"]),
    comment="A decision that the ledger would have made differently. kind: replay (a fault: the "
    "same inputs gave another answer), roster-lag (the reader's list was older than what the "
    "fleet knew) or allowance (others had spent it meanwhile): in both the reader's decision "
    "stands, the city bears it. The rest is the ledger's answer.",
)

alarm: Final = sa.Table(
    "alarm",
    fleet,
    _id(),
    _text("kind"),
    _text("subject"),
    sa.Column("reader", sa.Text),
    _text("detail", ""),
    _number("first_at_ms"),
    _number("last_at_ms"),
    _number("count"),
    sa.Column("cleared_at_ms", sa.BigInteger),
    sa.Column("cleared_by", sa.Text),
    sa.Column("why", sa.Text),
    sa.UniqueConstraint("kind", "subject"),
    comment="What needs a person's attention, once a kind and subject, counted. kind: one of "
    "ledger.AlarmKind; subject: what it is about. It happening again opens a cleared one.",
)

entry_minute: Final = sa.Table(
    "entry_minute",
    fleet,
    sa.Column("minute_ms", sa.BigInteger, primary_key=True),
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    _number("count"),
    comment="New entries by the minute in which they were committed, or, at a place with by_hour, "
    "by the hour (minute_ms is then a whole hour); code: of a tap; of a "
    "press `press.` and its button; empty (programme too) for start and clock entries. Kept like "
    "telemetry.",
)

# --- rides, and what is claimed for them ---------------------------------------------------------

ride: Final = sa.Table(
    "ride",
    fleet,
    _id(),
    _text("kind"),
    sa.Column("of_id", _Id, sa.ForeignKey("ride.id"), unique=True),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id")),
    sa.Column("n", sa.BigInteger),
    _text("programme"),
    _text("organisation", ""),
    _text("place", ""),
    _text("medium"),
    _text("outcome"),
    _text("code"),
    _text("rule", ""),
    _number("at_ms"),
    _number("boarded_at_ms"),
    _number("booked_at_ms"),
    _number("riders"),
    _number("fare_yen"),
    _text("discount", ""),
    _number("discount_yen"),
    _number("subsidy_yen"),
    _number("riders_pay_yen"),
    _text("driver", ""),
    _text("on_spot", ""),
    _text("off_spot", ""),
    _text("ticket", ""),
    _text("who", ""),
    _text("why", ""),
    sa.UniqueConstraint("journal_id", "n", "kind"),
    sa.Index("ix_ride_programme_boarded_at_ms", "programme", "boarded_at_ms"),
    sa.Index("ix_ride_organisation_id", "organisation", "id"),
    comment="Rides as money knows them. kind: ride, or taken-back (all numbers of the ride of_id "
    "with the sign turned). journal_id, n: the reader's entry; null for what the office entered "
    "(who; why begins with a word of fleet.office_rides.MEDIA; code used-up: over the allowance). "
    "medium: card, paper or none; ticket: numbers of paper tickets, by blanks; organisation: whose "
    "the vehicle was; booked_at_ms: by the fleet's clock, the rest by the reader's; fare_yen, "
    "subsidy_yen (the city pays), discount_yen (the company gives), riders_pay_yen. The sum over "
    "all rows is what is owed. Append-only.",
)

sa.Index(
    "ix_ride_programme_ticket",
    ride.c.programme,
    ride.c.ticket,
    sqlite_where=ride.c.ticket != "",
    postgresql_where=ride.c.ticket != "",
)

ride_share: Final = sa.Table(
    "ride_share",
    fleet,
    sa.Column("ride_id", _Id, sa.ForeignKey("ride.id"), primary_key=True, autoincrement=False),
    sa.Column("seat", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("credential", sa.Text, nullable=False, index=True),
    _number("times"),
    _number("subsidy_yen"),
    comment="What a ride counts for each rider: times is 1, 0 when it was refused, -1 where it is "
    "taken back. Append-only.",
)

ride_taken_back: Final = sa.Table(
    "ride_taken_back",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("of_journal", sa.Text, primary_key=True),
    sa.Column("of_n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id"), nullable=False),
    _number("n"),
    _number("at_ms"),
    _text("driver", ""),
    _text("why", ""),
    comment="Which entries of a reader (rides, and taps of riders before their ride) it has taken "
    "back, by which entry of its own: it may come before its ride does. Append-only.",
)

claim: Final = sa.Table(
    "claim",
    fleet,
    _id(),
    _text("programme"),
    _text("organisation"),
    _text("month"),
    sa.Column("until", sa.Date, nullable=False),
    _text("state"),
    _number("made_at_ms"),
    _text("made_by"),
    _number("lines"),
    _number("subsidy_yen"),
    sa.Column("file", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("seal", sa.LargeBinary),
    sa.Column("signature", sa.LargeBinary),
    _text("key_id", ""),
    sa.Column("decided_at_ms", sa.BigInteger),
    _text("decided_by", ""),
    _text("why", ""),
    sa.Column("paid_on", sa.Date),
    _text("paid_by", ""),
    sa.Index("ix_claim_programme_organisation", "programme", "organisation"),
    comment="What a transport company claims of the city: all its rides through the day `until`, "
    "in the month YYYY-MM. state: made, approved, returned or paid; file: its CSV without the "
    "signature (UTF-8, zlib), sha256: of these bytes; seal, signature, key_id: what the fleet "
    "signed of it, null until it has; decided: approved or returned (then why).",
)
sa.Index(
    "ix_claim_once",
    claim.c.programme,
    claim.c.organisation,
    claim.c.until,
    unique=True,
    sqlite_where=sa.text("state <> 'returned'"),
    postgresql_where=sa.text("state <> 'returned'"),
)

claim_line: Final = sa.Table(
    "claim_line",
    fleet,
    sa.Column("claim_id", _Id, sa.ForeignKey("claim.id"), primary_key=True, autoincrement=False),
    sa.Column(
        "ride_id",
        _Id,
        sa.ForeignKey("ride.id"),
        primary_key=True,
        autoincrement=False,
        index=True,
    ),
    sa.Column("stands", sa.Boolean, nullable=False, server_default=sa.true()),
    comment="Rows of a claim. stands: false once it was returned; a row of ride stands in at most "
    "one claim.",
)
sa.Index(
    "ix_claim_line_once",
    claim_line.c.ride_id,
    unique=True,
    sqlite_where=claim_line.c.stands,
    postgresql_where=claim_line.c.stands,
)

# --- what of an allowance was used ---------------------------------------------------------------

usage: Final = sa.Table(
    "usage",
    fleet,
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("credential", sa.Text, primary_key=True),
    _number("times"),
    _number("yen"),
    comment="Sums over the accepted taps of a card in a period of its programme "
    "(programmes.rulebook.Rulebook.periods), moved in the transaction that inserts them. A "
    "member's usage is the sum over all cards that he ever had.",
)

usage_file: Final = sa.Table(
    "usage_file",
    fleet,
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, sa.ForeignKey("place.name"), primary_key=True),
    _number("at_ms"),
    _number("rows"),
    sa.Column("head", sa.LargeBinary),
    sa.Column("rows_sha256", sa.LargeBinary),
    sa.ForeignKeyConstraint(
        ["programme", "rows_sha256"], ["usage_rows.programme", "usage_rows.sha256"]
    ),
    comment="The newest usage file (wire.usage) of a programme for a place, made anew every 15 "
    "minutes: its signed head, null when it was made before rows were shared.",
)

usage_rows: Final = sa.Table(
    "usage_rows",
    fleet,
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("sha256", sa.LargeBinary, primary_key=True),
    _number("at_ms"),
    sa.Column("periods", sa.JSON, nullable=False),
    _number("rows"),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    comment="Rows of usage files, once for all places: members near a limit, as opaque "
    "credentials. at_ms: when a snapshot last gave these rows; those that no file names any more "
    "stay a while, for readers that hold them.",
)

# --- what readers are told -----------------------------------------------------------------------

rule: Final = sa.Table(
    "rule",
    fleet,
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("valid_from", sa.Date, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    _number("added_at_ms"),
    _text("added_by"),
    _text("approved_by", ""),
    _text("why", ""),
    comment="Dated rule tables of the programmes; the latest valid_from not after a day rules it. "
    "A version is never changed: a correction is a new version. approved_by: the second person, "
    "'' for a table from the command line.",
)

rule_proposal: Final = sa.Table(
    "rule_proposal",
    fleet,
    _id(),
    sa.Column("programme", sa.Text, nullable=False, index=True),
    _text("version"),
    sa.Column("valid_from", sa.Date, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    _text("base"),
    _text("why"),
    _text("state"),
    _number("proposed_at_ms"),
    _text("proposed_by"),
    sa.Column("decided_at_ms", sa.BigInteger),
    _text("decided_by", ""),
    _text("decided_why", ""),
    sa.CheckConstraint(
        "state NOT IN ('approved', 'rejected') OR decided_by <> proposed_by", name="second_person"
    ),
    comment="Rule tables that wait for a second person. base: the version that was in force on "
    "valid_from when it was drawn up, '' for none. state: draft, waiting, approved, rejected or "
    "withdrawn (fleet.proposals.State); an approved one stands in `rule` from then on.",
)

budget: Final = sa.Table(
    "budget",
    fleet,
    _id(),
    sa.Column("programme", sa.Text, nullable=False, index=True),
    _number("fiscal_year"),
    _number("yen"),
    _number("at_ms"),
    _text("who"),
    _text("why", ""),
    comment="What a programme may cost in a fiscal year; the newest row of a year holds. "
    "Append-only.",
)

roster: Final = sa.Table(
    "roster",
    fleet,
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, sa.ForeignKey("place.name"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("content_sha256", sa.LargeBinary, nullable=False),
    _number("rows"),
    _number("bytes"),
    _number("built_at_ms"),
    sa.Column("head", sa.LargeBinary),
    sa.Column("rows_sha256", sa.LargeBinary),
    comment="Rosters that were built; the greatest version is the one wanted. head: all that "
    "stands before the rows, signed; sha256: of head; rows_sha256: of the rows, which lie once for "
    "all places under rosters/ in the state folder. content_sha256 leaves out version and time. "
    "Versions of before heads were kept have none, and are not served.",
)
sa.Index("ix_roster_sha256", roster.c.sha256)

key_epoch: Final = sa.Table(
    "key_epoch",
    fleet,
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    _number("since_ms"),
    comment="The present key epoch of each programme, and since when the fleet knows of it. The "
    "keys themselves are never here.",
)

revision: Final = sa.Table(
    "revision",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    _number("revision"),
    comment="Counts changes of `registry` and `rules`, for those who must notice them.",
)

# --- telemetry -----------------------------------------------------------------------------------

stage_minute: Final = sa.Table(
    "stage_minute",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("from_ms", sa.BigInteger, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("counts", sa.JSON, nullable=False),
    _number("sum_us"),
    comment="Histogram of one stage of wire.messages.STAGES in one minute of one reader (its own "
    "clock); counts: 35 buckets of HISTOGRAM_EDGES_US.",
)

counter_minute: Final = sa.Table(
    "counter_minute",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("from_ms", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    _number("value"),
    comment="What a reader counted in one minute.",
)
sa.Index("ix_stage_minute_from_ms", stage_minute.c.from_ms)
sa.Index("ix_counter_minute_from_ms", counter_minute.c.from_ms)

telemetry_hour: Final = sa.Table(
    "telemetry_hour",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("hour_ms", sa.BigInteger, primary_key=True),
    sa.Column("counters", sa.JSON, nullable=False),
    sa.Column("stages", sa.JSON, nullable=False),
    comment="What a reader reported, added up by the hour of its clock; reader '' is all of them. "
    "counters: {name: value}; stages: {stage: [sum in us, {bucket: count}]}.",
)
sa.Index("ix_telemetry_hour_hour_ms", telemetry_hour.c.hour_ms)

telemetry_reader: Final = sa.Table(
    "telemetry_reader",
    fleet,
    sa.Column("reader", sa.Text, primary_key=True),
    _number("last_from_ms"),
    comment="The last minute of a reader that was added to an hour, so that none is added twice.",
)

telemetry_loss: Final = sa.Table(
    "telemetry_loss",
    fleet,
    sa.Column("hour_ms", sa.BigInteger, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    _number("count"),
    comment="Reports that the fleet dropped, by hour and reason of telemetry.Loss.",
)

online_hour: Final = sa.Table(
    "online_hour",
    fleet,
    sa.Column("hour_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("fewest"),
    _number("most"),
    comment="How many readers were online within an hour: the fewest and the most at once.",
)

ledger_month: Final = sa.Table(
    "ledger_month",
    fleet,
    sa.Column("month", sa.Text, primary_key=True),
    _number("entries"),
    comment="Entries received in a month (2026-06, Japan) that the ledger still has; counted by "
    "dispatch, for those who may not see when an entry came.",
)

# --- what was audited, and what is past its time -------------------------------------------------

joint: Final = sa.Table(
    "joint",
    fleet,
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id"), primary_key=True),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    comment="The chain's hash at a number that the ledger has not got, as the reader signed it in "
    "the batch that followed: so the entry behind a hole is proven like any other. Append-only.",
)

retention: Final = sa.Table(
    "retention",
    fleet,
    _id(),
    _number("months"),
    _number("at_ms"),
    _text("who"),
    _text("why"),
    comment="How many months the tenant keeps entries; the newest line holds. Append-only.",
)

retired_month: Final = sa.Table(
    "retired_month",
    fleet,
    sa.Column("month", sa.Text, primary_key=True),
    _number("entries"),
    _number("at_ms"),
    _text("who"),
    sa.Column("line", sa.LargeBinary, nullable=False),
    comment="A month of receipt (2026-06, Japan) that was dropped whole. line: proof.RetiredMonth, "
    "signed by the fleet; the other columns are taken from it. Append-only.",
)

retired_reader: Final = sa.Table(
    "retired_reader",
    fleet,
    sa.Column("month", sa.Text, sa.ForeignKey("retired_month.month"), primary_key=True),
    sa.Column("reader", sa.Text, sa.ForeignKey("reader.name"), primary_key=True),
    sa.Column("line", sa.LargeBinary, nullable=False),
    comment="What was dropped of one reader in a month. line: proof.RetiredReader, signed by the "
    "fleet, over this month's rows of retired_journal. Append-only.",
)

retired_journal: Final = sa.Table(
    "retired_journal",
    fleet,
    sa.Column("month", sa.Text, sa.ForeignKey("retired_month.month"), primary_key=True),
    sa.Column("journal_id", _Id, sa.ForeignKey("journal.id"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("last"),
    sa.Column("before", sa.LargeBinary),
    sa.Column("after", sa.LargeBinary, nullable=False),
    comment="A run of numbers of one journal that was dropped with its month. kind: entries, or "
    "aside (they were in quarantine); before, after: the chain's hash before first (null when it "
    "stood behind a hole) and after last. Append-only.",
)
sa.Index("ix_retired_journal_journal_id", retired_journal.c.journal_id)

ride_retention: Final = sa.Table(
    "ride_retention",
    fleet,
    _id(),
    _number("years"),
    _number("at_ms"),
    _text("who"),
    _text("why"),
    comment="How many fiscal years after their own the tenant keeps rides and claims; the newest "
    "line holds. Append-only.",
)

retired_rides: Final = sa.Table(
    "retired_rides",
    fleet,
    sa.Column("month", sa.Text, primary_key=True),
    _number("rides"),
    _number("at_ms"),
    _text("who"),
    sa.Column("line", sa.LargeBinary, nullable=False),
    comment="A month whose rides and claims were dropped, with all before it that had not gone. "
    "rides: rows of ride; line: verdict.RetiredRides, signed by the fleet; the other columns are "
    "taken from it. Append-only.",
)

audit_run: Final = sa.Table(
    "audit_run",
    fleet,
    _id(),
    _number("at_ms"),
    _text("who"),
    sa.Column("reader", sa.Text),
    sa.Column("from_ms", sa.BigInteger),
    sa.Column("to_ms", sa.BigInteger),
    _text("verdict"),
    _number("entries"),
    sa.Column("exceptions", sa.JSON, nullable=False),
    sa.Column("faults", sa.JSON, nullable=False),
    _number("took_ms"),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("line", sa.LargeBinary, nullable=False),
    comment="What `audit verify` found. reader, from_ms, to_ms: its scope, null for all; verdict: "
    "proven, exceptions or broken; exceptions, faults: how many of each kind; digest: SHA-256 of "
    "the whole result; line: proof.AuditLine, signed by the fleet. Append-only.",
)

# --- how the fleet itself keeps up ---------------------------------------------------------------

lag: Final = sa.Table(
    "lag",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("process", sa.Text, primary_key=True),
    _number("value"),
    _number("at_ms"),
    comment="How long the fleet's own parts take just now, one row a figure and process: names and "
    "units in fleet.lag. Overwritten; a process that is gone leaves its rows for ten minutes.",
)

# --- people who work with it ---------------------------------------------------------------------

account: Final = sa.Table(
    "account",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    _text("role"),
    _text("password"),
    _number("added_at_ms"),
    _number("failures", "0"),
    _number("locked_until_ms", "0"),
    sa.Column("oidc_subject", sa.Text),
    sa.Column("once_until_ms", sa.BigInteger),
    sa.Column("closed_at_ms", sa.BigInteger),
    sa.Column("signed_in_at_ms", sa.BigInteger),
    comment="Accounts. role: operator or clerk (who works in the office, with the rights in "
    "account_right); password: argon2id, '' for one that signs in by OpenID Connect alone; "
    "locked_until_ms: after many failures; oidc_subject: issuer, blank and subject there; "
    "once_until_ms: the password is to be changed at the next sign-in, which is until then; "
    "closed_at_ms: an administrator closed it; signed_in_at_ms: the last time.",
)
sa.Index("ix_account_oidc_subject", account.c.oidc_subject, unique=True)

account_right: Final = sa.Table(
    "account_right",
    fleet,
    sa.Column(
        "account", sa.Text, sa.ForeignKey("account.name", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("programme", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
    sa.Column("organisation", sa.Text, primary_key=True),
    _number("since_ms"),
    _text("given_by"),
    comment="What an account may do in the office: role of fleet.rights.Role in one programme "
    "('*': in every one), of one organisation (a transport company, a school; '': of the city).",
)

second_factor: Final = sa.Table(
    "second_factor",
    fleet,
    _id(),
    sa.Column(
        "account",
        sa.Text,
        sa.ForeignKey("account.name", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _text("kind"),
    _text("label"),
    sa.Column("credential_id", sa.LargeBinary, unique=True),
    sa.Column("secret", sa.LargeBinary, nullable=False),
    _number("counter", "0"),
    _number("added_at_ms"),
    sa.Column("confirmed_at_ms", sa.BigInteger),
    comment="Second factors. kind: totp (secret: its shared secret, sealed; counter: the last "
    "time step that was used) or webauthn (secret: the public key, COSE; counter: the "
    "authenticator's).",
)

session: Final = sa.Table(
    "session",
    fleet,
    sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
    sa.Column(
        "account", sa.Text, sa.ForeignKey("account.name", ondelete="CASCADE"), nullable=False
    ),
    _number("begun_at_ms"),
    _number("ends_at_ms"),
    sa.Column("seen_at_ms", sa.BigInteger),
    sa.Column("second_at_ms", sa.BigInteger),
    _text("agent", ""),
    _text("how", ""),
    comment="Open log-ins; the token itself is only in the browser. seen_at_ms: the last request, "
    "to the minute; second_at_ms: when the second factor was shown; agent: which browser; how: "
    "card-pin, or empty: by password or provider.",
)

api_client: Final = sa.Table(
    "api_client",
    fleet,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False, unique=True),
    _text("programme"),
    sa.Column("scopes", sa.JSON, nullable=False),
    _number("added_at_ms"),
    _text("added_by"),
    sa.Column("ended_at_ms", sa.BigInteger),
    comment="The city's other systems, each for one programme; the token is only with them.",
)

audit: Final = sa.Table(
    "audit",
    fleet,
    _id(),
    _number("at_ms"),
    _text("who"),
    _text("what"),
    _text("subject"),
    _text("detail", ""),
    comment="What people did here: who, what (a stable word), to what. Append-only.",
)

# --- persons -------------------------------------------------------------------------------------

person: Final = sa.Table(
    "person",
    persons,
    _id(),
    _text("name"),
    _text("kana", ""),
    sa.Column("birth_date", sa.Date),
    _number("updated_at_ms"),
    comment="People as the clerks know them.",
)

member: Final = sa.Table(
    "member",
    persons,
    _id(),
    sa.Column("person_id", _Id, sa.ForeignKey("person.id"), nullable=False),
    _text("programme"),
    _text("registration_number"),
    _text("category", ""),
    sa.Column("valid_from", sa.Date),
    sa.Column("valid_to", sa.Date),
    sa.Column("stopped_from_ms", sa.BigInteger),
    _text("stopped_why", ""),
    _number("updated_at_ms"),
    _text("household", ""),
    _text("ended_kind", ""),
    sa.Column("erased_at_ms", sa.BigInteger),
    sa.UniqueConstraint("programme", "registration_number"),
    comment="A person's enrolment in one programme; both days of the validity are included. "
    "household: members with the same one live together; ended_kind: why valid_to was set "
    "(fleet.enrolment.Ended); erased_at_ms: the person was erased, and only counts are left.",
)
sa.Index("ix_member_programme_household", member.c.programme, member.c.household)

consent_basis: Final = sa.Table(
    "consent_basis",
    persons,
    _id(),
    _text("programme"),
    _text("ordinance"),
    _text("article"),
    sa.Column("ordinance_date", sa.Date, nullable=False),
    _text("wording"),
    _text("wording_en", ""),
    _text("contact"),
    sa.Column("valid_from", sa.Date, nullable=False),
    _number("at_ms"),
    _text("who"),
    comment="On what ordinance and article members of a programme consent, the sentence that they "
    "consent to (wording_en: for those who read no Japanese), and whom they call; the latest "
    "valid_from not after a day holds. Append-only.",
)
sa.Index("ix_consent_basis_programme", consent_basis.c.programme)

consent: Final = sa.Table(
    "consent",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    _text("programme"),
    _text("kind"),
    sa.Column("basis_id", _Id, sa.ForeignKey("consent_basis.id")),
    _text("medium", ""),
    _number("at_ms"),
    _text("who"),
    _text("why", ""),
    comment="kind: given or withdrawn; medium: desk or paper; a member's newest row holds. It "
    "names no person. Append-only.",
)

member_event: Final = sa.Table(
    "member_event",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    _number("at_ms"),
    _text("who"),
    _text("kind"),
    _text("why", ""),
    sa.Column("changed", sa.JSON, nullable=False),
    sa.Column("other_id", _Id, sa.ForeignKey("member.id")),
    sa.Column("undoes", _Id),
    comment="What happened to a member, as the page tells it (fleet.member_life.Kind). changed: "
    "[[table, row, column, old, new], …], by which it can be undone; other_id: the other member of "
    "an exchange; undoes: id of the row that this one takes back. It holds what people are and "
    "were called, and reasons in free words, so it is erased with the member.",
)

desk_wait: Final = sa.Table(
    "desk_wait",
    persons,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("reader", sa.Text, nullable=False, index=True),
    _text("programme"),
    _text("purpose"),
    _text("account"),
    _text("state"),
    _number("begun_at_ms"),
    _number("ends_at_ms"),
    sa.Column("sent_at_ms", sa.BigInteger),
    sa.Column("answered_at_ms", sa.BigInteger),
    _text("outcome", ""),
    sa.Column("found", sa.JSON, nullable=False),
    comment="A browser that waits for a card at its desk's reader (fleet.desk_wait). found: "
    "[[scheme, key epoch, credential], …] of the card that was held. Erased when it was used, and "
    "an hour after its end.",
)

import_job: Final = sa.Table(
    "import_job",
    persons,
    _id(),
    sa.Column("programme", sa.Text, nullable=False, index=True),
    _text("file_name"),
    sa.Column("body", sa.LargeBinary),
    _text("state"),
    _number("done", "0"),
    _number("total", "0"),
    sa.Column("report", sa.JSON),
    _number("begun_at_ms"),
    _number("heard_at_ms"),
    sa.Column("ended_at_ms", sa.BigInteger),
    _text("who"),
    comment="A file of members that is being looked at or taken in (fleet.import_jobs). body: its "
    "lines, erased after a day or when given up; once taken in, what was there before, for seven "
    "days; heard_at_ms: the last sign of the process that works on it.",
)

webhook: Final = sa.Table(
    "webhook",
    persons,
    _id(),
    sa.Column("programme", sa.Text, nullable=False, index=True),
    _text("url"),
    sa.Column("secret", sa.LargeBinary, nullable=False),
    _number("added_at_ms"),
    _text("added_by"),
    sa.Column("ended_at_ms", sa.BigInteger),
    comment="Where another system of the city wants to hear of changed enrolments; each delivery "
    "is signed with HMAC-SHA256 under secret.",
)

webhook_delivery: Final = sa.Table(
    "webhook_delivery",
    persons,
    _id(),
    sa.Column("webhook_id", _Id, sa.ForeignKey("webhook.id"), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _number("tries", "0"),
    sa.Column("next_at_ms", sa.BigInteger),
    sa.Column("done_at_ms", sa.BigInteger),
    _text("last_error", ""),
    _number("at_ms"),
    comment="What is to be delivered to a webhook, at least once and in order. next_at_ms: null "
    "when it was delivered or given up.",
)
sa.Index("ix_webhook_delivery_webhook_id_id", webhook_delivery.c.webhook_id, webhook_delivery.c.id)
sa.Index(
    "ix_webhook_delivery_undone",
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.id,
    sqlite_where=webhook_delivery.c.done_at_ms.is_(None),
    postgresql_where=webhook_delivery.c.done_at_ms.is_(None),
)

card: Final = sa.Table(
    "card",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    _text("programme"),
    _text("credential"),
    _text("scheme"),
    sa.Column("key_epoch", sa.Integer, nullable=False),
    sa.Column("stopped_from_ms", sa.BigInteger),
    _text("stopped_why", ""),
    _number("assigned_at_ms"),
    _text("assigned_by"),
    sa.Column("superseded_at_ms", sa.BigInteger),
    sa.Column("successor", _Id),
    sa.UniqueConstraint("programme", "credential"),
    comment="A member's cards, each as the programme's credential; scheme paper: no card, but what "
    "his rides without one are counted under, always superseded. superseded_at_ms: since when "
    "the member's card has another credential (successor: id of that row); its history stays the "
    "member's. One of a scheme that members leave stays on rosters until the deadline.",
)
sa.Index("ix_card_credential", card.c.credential)
sa.Index(
    "ix_card_successor",
    card.c.successor,
    sqlite_where=card.c.successor.is_not(None),
    postgresql_where=card.c.successor.is_not(None),
)

triage: Final = sa.Table(
    "triage",
    persons,
    _id(),
    _text("programme"),
    _text("credential"),
    _text("scheme"),
    sa.Column("key_epoch", sa.Integer, nullable=False),
    _text("reader"),
    _text("place"),
    _text("journal"),
    _number("n"),
    _number("at_ms"),
    _number("received_at_ms"),
    _text("state", ""),
    _text("note", ""),
    _text("decided_by", ""),
    sa.UniqueConstraint("programme", "credential"),
    comment="Cards that no roster knew, where the programme's triage is on: the last presentation "
    "of each. state: empty, asked (somebody finds out whose it is: note) or ignored; it stays when "
    "the card is held again. Erased seven days after received_at_ms, and at once when assigned.",
)

programme_revision: Final = sa.Table(
    "programme_revision",
    persons,
    sa.Column("programme", sa.Text, primary_key=True),
    _number("revision"),
    comment="Counts changes of a programme's members and cards: a roster is to be built.",
)

scheme_statement: Final = sa.Table(
    "scheme_statement",
    persons,
    _id(),
    _text("programme"),
    _text("scheme"),
    _text("kind"),
    _text("signed_by", ""),
    _text("office", ""),
    _text("ground", ""),
    sa.Column("ground_date", sa.Date),
    sa.Column("valid_from", sa.Date),
    sa.Column("valid_to", sa.Date),
    _text("why", ""),
    _number("at_ms"),
    _text("who"),
    comment="On what ground a programme identifies cards by a scheme. kind: stated (signed_by, "
    "office, and the ordinance or contract with its date), taken-over (the scheme was in use "
    "before statements were kept; nobody has signed) or ended (all before it end with valid_to; "
    "why says why). Both days are included, null is open; fleet.schemes adds them up. Append-only.",
)
sa.Index(
    "ix_scheme_statement_programme_scheme",
    scheme_statement.c.programme,
    scheme_statement.c.scheme,
)

campaign: Final = sa.Table(
    "campaign",
    persons,
    _id(),
    _text("programme"),
    _text("kind"),
    _text("from_scheme"),
    _text("to_scheme"),
    sa.Column("until", sa.Date, nullable=False),
    _text("why", ""),
    _number("at_ms"),
    _text("who"),
    comment="Members of a programme move from one scheme to another until a day, which is "
    "included. kind: started or stopped; a programme's newest row holds. Append-only.",
)
sa.Index("ix_campaign_programme", campaign.c.programme)

# --- working hours of members of attendance (fleet.work_records) ----------------------------------

work_term: Final = sa.Table(
    "work_term",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    sa.Column("valid_from", sa.Date, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False, index=True),
    _text("staff"),
    _text("engaged"),
    sa.Column("pattern", sa.JSON, nullable=False),
    _number("at_ms"),
    _text("who"),
    _text("why", ""),
    comment="What a member has agreed to, from a day on until the next one. organisation: the "
    "school, by place.organisation; staff: whose limits hold (programmes.work_limits.Staff); "
    "engaged: full-time, part-time and so on; pattern: work_hours.Pattern. Of one day the newest "
    "row holds. Rows are never changed; they are erased with the member.",
)

work_correction: Final = sa.Table(
    "work_correction",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    _text("kind"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("request_id", _Id, sa.ForeignKey("work_request.id")),
    _number("at_ms"),
    _text("who"),
    _text("why"),
    sa.Index("ix_work_correction_member_id_day", "member_id", "day"),
    comment="Corrections of what readers know of a member's comings and goings. id: their order; "
    "kind, body: work_marks.Correction as JSON; day: the day of work that it is about; request_id: "
    "what was asked and approved. Rows are never changed; they are erased with the member.",
)

work_entry: Final = sa.Table(
    "work_entry",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    _text("kind"),
    _number("from_ms"),
    _number("to_ms"),
    _text("note", ""),
    sa.Column("withdraws", _Id, sa.ForeignKey("work_entry.id"), unique=True),
    _number("at_ms"),
    _text("who"),
    sa.Index("ix_work_entry_member_id_day", "member_id", "day"),
    comment="What is declared beside the marks. kind: off-site, home, study, leave, break, "
    "no-break, trip (over night), or withdrawn (withdraws: id of the row that counts no more). "
    "Rows are never changed; they are erased with the member.",
)

work_objection: Final = sa.Table(
    "work_objection",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    sa.Column("entry_id", _Id, sa.ForeignKey("work_entry.id"), nullable=False, index=True),
    _text("kind"),
    _text("why"),
    _number("at_ms"),
    _text("who"),
    comment="What a member says against an entry that somebody else made, and what is answered: "
    "kind contest or answer; an entry's newest row holds. Rows are never changed; they are erased "
    "with the member.",
)

work_request: Final = sa.Table(
    "work_request",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("wishes", sa.LargeBinary, nullable=False),
    _text("why"),
    _number("at_ms"),
    _text("who"),
    comment="Corrections that somebody asks for. wishes: a list of fleet.work_wishes.Wish as JSON.",
)

work_decision: Final = sa.Table(
    "work_decision",
    persons,
    sa.Column(
        "request_id",
        _Id,
        sa.ForeignKey("work_request.id"),
        primary_key=True,
        autoincrement=False,
    ),
    _text("state"),
    _text("why", ""),
    _number("at_ms"),
    _text("who"),
    comment="What became of a request: approved, refused or withdrawn; once, and never changed.",
)

work_close: Final = sa.Table(
    "work_close",
    persons,
    _id(),
    _text("organisation"),
    _text("month"),
    _text("kind"),
    _number("at_ms"),
    _text("who"),
    _text("why", ""),
    sa.Index("ix_work_close_organisation_month", "organisation", "month"),
    comment="kind: closed or reopened; of a school's month the newest row holds. Append-only.",
)

work_month: Final = sa.Table(
    "work_month",
    persons,
    sa.Column(
        "close_id", _Id, sa.ForeignKey("work_close.id"), primary_key=True, autoincrement=False
    ),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), primary_key=True, autoincrement=False),
    _text("month"),
    _text("staff"),
    _text("engaged"),
    _number("worked_min"),
    _number("outside_min"),
    _number("rest_day_min"),
    sa.Column("is_incomplete", sa.Boolean, nullable=False),
    _number("marks"),
    _number("by_hand"),
    sa.Index("ix_work_month_member_id_month", "member_id", "month"),
    comment="What a member's month came to when it was closed; it names nobody and stays when the "
    "member is erased. marks: that count; by_hand: of them, those that no reader has. Append-only.",
)

work_special: Final = sa.Table(
    "work_special",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    _text("month"),
    _text("kind"),
    _number("at_ms"),
    _text("who"),
    _text("why"),
    comment="Months that were declared special cases (特例), or no more: kind declared or revoked; "
    "the newest row holds. Rows are never changed; they are erased with the member.",
)

work_naming: Final = sa.Table(
    "work_naming",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    _text("kind"),
    _number("at_ms"),
    _text("who"),
    comment="Whether a member is named at gates that show names: kind hidden or shown; a member's "
    "newest row holds, and without one he is shown. Rows are never changed; they are erased with "
    "the member.",
)

work_account: Final = sa.Table(
    "work_account",
    persons,
    _id(),
    sa.Column("account", sa.Text, nullable=False, index=True),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False, index=True),
    _text("kind"),
    _number("at_ms"),
    _text("who"),
    comment="Whose own account it is: kind bound or unbound; an account's newest row holds. Rows "
    "are never changed; they are erased with the member.",
)

card_pin: Final = sa.Table(
    "card_pin",
    persons,
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), primary_key=True, autoincrement=False),
    _text("account"),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    _number("set_at_ms"),
    _number("failures", "0"),
    comment="What a member types after holding his card at a desk to see his own days "
    "(fleet.card_pin). sealed: argon2id of the PIN, sealed under the office's key; account: whose "
    "it was when it was set; failures: tries since it last was right, or since it was set.",
)

desk_browser: Final = sa.Table(
    "desk_browser",
    persons,
    _id(),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False, unique=True),
    _text("reader"),
    _text("label"),
    _number("bound_at_ms"),
    _text("bound_by"),
    _number("ends_at_ms"),
    comment="Browsers at which members sign in by card (fleet.desk_browsers): reader: the desk's; "
    "label: where the computer stands; the token itself is only in the browser. A row is removed "
    "when that ends.",
)

work_feed: Final = sa.Table(
    "work_feed",
    persons,
    _id(),
    _text("account"),
    _text("organisation"),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), index=True),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False, unique=True),
    _text("language"),
    _number("at_ms"),
    sa.Column("read_at_ms", sa.BigInteger),
    sa.UniqueConstraint("account", "organisation"),
    comment="Secret addresses of calendars: member_id for one's own, organisation for a school's. "
    "read_at_ms: when it was read last, to the hour. A row is removed when its address ends, and "
    "erased with the member; the audit keeps both steps.",
)

work_change: Final = sa.Table(
    "work_change",
    persons,
    _id(),
    sa.Column("first", sa.Date, nullable=False),
    sa.Column("last", sa.Date, nullable=False),
    comment="Days of which something has changed and whose signed lists are to be looked at again; "
    "dispatch removes a row when that is done.",
)

work_listed: Final = sa.Table(
    "work_listed",
    persons,
    sa.Column("epoch", sa.Text, primary_key=True),
    _number("position"),
    _number("revision"),
    sa.Column("day", sa.Date),
    comment="How far of the ledger, in its present life, and of which revision of the members "
    "signed lists know; day: the last that was over at the last look.",
)

work_list: Final = sa.Table(
    "work_list",
    persons,
    _id(),
    _text("organisation"),
    sa.Column("day", sa.Date, nullable=False),
    _number("number"),
    _number("at_ms"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    _text("key_id"),
    sa.UniqueConstraint("organisation", "day", "number"),
    sa.Index("ix_work_list_day", "day"),
    comment="Signed lists of a school's day (work_list_file.DayList); number counts them from 1. "
    "A list names nobody. Append-only.",
)

work_leaf: Final = sa.Table(
    "work_leaf",
    persons,
    _id(),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), nullable=False),
    sa.Column("list_id", _Id, sa.ForeignKey("work_list.id"), nullable=False, index=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_work_leaf_member_id_day", "member_id", "day"),
    comment="What a list's hash of a member's day is of (work_list_file.OwnDay, deflated), with "
    "its salt, in the first list that has it. Rows are never changed; they are erased with the "
    "member.",
)

work_spare: Final = sa.Table(
    "work_spare",
    persons,
    _id(),
    _text("organisation"),
    _number("number"),
    sa.Column("credential", sa.Text, nullable=False, unique=True),
    _text("scheme"),
    _number("key_epoch"),
    _number("at_ms"),
    _text("who"),
    sa.UniqueConstraint("organisation", "number"),
    comment="Staff cards that a school lends for a day; number: what the school calls it, from 1. "
    "A spare card is nobody's own (fleet.lent_cards). Append-only.",
)

work_loan: Final = sa.Table(
    "work_loan",
    persons,
    _id(),
    sa.Column("spare_id", _Id, sa.ForeignKey("work_spare.id"), nullable=False),
    _number("number"),
    sa.Column("member_id", _Id, sa.ForeignKey("member.id"), index=True),
    _number("from_ms"),
    _number("until_ms"),
    _text("who"),
    sa.UniqueConstraint("spare_id", "number"),
    comment="To whom a spare card was lent, and until when at the latest; member_id: none for a "
    "visitor; number: counts the loans of a card from 1, so that of two at once one is refused. "
    "Rows are never changed; they are erased with the member.",
)

work_return: Final = sa.Table(
    "work_return",
    persons,
    sa.Column("loan_id", _Id, sa.ForeignKey("work_loan.id"), primary_key=True, autoincrement=False),
    _number("at_ms"),
    _text("who"),
    comment="When a lent card was given back; once, and never changed.",
)

work_spare_use: Final = sa.Table(
    "work_spare_use",
    persons,
    _id(),
    sa.Column("spare_id", _Id, sa.ForeignKey("work_spare.id"), nullable=False, index=True),
    _text("kind"),
    _text("why"),
    _number("at_ms"),
    _text("who"),
    comment="Spare cards that are out of use, or in use again: kind out or in; why: one of "
    "work_spare_use.Why, empty of in; a card's newest row holds. Append-only.",
)

work_visitor: Final = sa.Table(
    "work_visitor",
    persons,
    sa.Column("loan_id", _Id, sa.ForeignKey("work_loan.id"), primary_key=True, autoincrement=False),
    _text("label"),
    comment="What a school calls the visitor who has a card that was lent to no member. Rows are "
    "never changed; dispatch removes them a week after the day (fleet.work_visitors).",
)

work_retention: Final = sa.Table(
    "work_retention",
    persons,
    _id(),
    _number("months"),
    _number("at_ms"),
    _text("who"),
    _text("why"),
    comment="How many months records of work are kept; the newest row holds. Append-only.",
)

person_audit: Final = sa.Table(
    "audit",
    persons,
    _id(),
    _number("at_ms"),
    _text("who"),
    _text("what"),
    _text("subject"),
    _text("detail", ""),
    comment="What people did to members and cards. Append-only; names no person, only numbers.",
)
sa.Index("ix_audit_at_ms", person_audit.c.at_ms)
