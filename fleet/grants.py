"""Who may touch which table and column: one table of grants, and the database refuses the rest.

On SQLite the connection's authorizer holds it: whatever is not granted is denied when a statement
is prepared, ATTACH and every writing PRAGMA included, and a role without any write opens the file
read-only. PostgreSQL takes the same table as GRANT statements for one user a role. The operator's
console has no grant on `persons` or on the ledger's entries, and reads no instant of a single one.
On PostgreSQL a user who has more than this table says, because he is a superuser or a member of
another role, is refused when a process starts.
"""

import contextlib
import enum
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa

from fleet import schema

Database = Literal["fleet", "persons"]


class Role(enum.StrEnum):
    """A process's role; OWNER is the person at the command line, who has the files anyway."""

    OWNER = "owner"
    INGEST = "ingest"
    DISPATCH = "dispatch"
    DEVICES = "devices"
    CONSOLE = "console"
    OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do with one table. Reading is by column; update names its columns."""

    read: frozenset[str]
    insert: bool = False
    update: frozenset[str] = frozenset()
    delete: bool = False


def _columns(table: sa.Table, but: Collection[str] = ()) -> frozenset[str]:
    return frozenset(column.name for column in table.columns) - frozenset(but)


def _read(table: sa.Table, but: Collection[str] = ()) -> tuple[str, Grant]:
    return table.name, Grant(_columns(table, but))


def _append(table: sa.Table) -> tuple[str, Grant]:
    return table.name, Grant(_columns(table), insert=True)


def _change(table: sa.Table, *update: str, delete: bool = False) -> tuple[str, Grant]:
    """Insert too, and update these columns (none named: all)."""
    every = _columns(table)
    return table.name, Grant(every, True, frozenset(update) or every, delete)


def _only(table: sa.Table, read: Collection[str], *update: str) -> tuple[str, Grant]:
    return table.name, Grant(frozenset(read), update=frozenset(update))


def _forget(table: sa.Table) -> tuple[str, Grant]:
    return table.name, Grant(_columns(table), delete=True)


def _forgettable(table: sa.Table) -> tuple[str, Grant]:
    return table.name, Grant(_columns(table), insert=True, delete=True)


_S: Final = schema
_SHOWN_OF_JOURNALS: Final = (
    "id",
    "reader",
    "journal",
    "started_at_ms",
    "agent",
    "through",
    "seen",
    "seen_hash",
    "claimed",
    "superseded",
    "spans",
    "whole",
    "unreplayed",
)
"""Not received_at_ms: at a small place the time of the newest entry is a person's arrival."""
_DECIDED: Final = ("decided_at_ms", "decided_by", "decided_why")
_LOG_IN: Final = (
    _only(
        _S.account,
        _columns(_S.account),
        "failures",
        "locked_until_ms",
        "password",
        "signed_in_at_ms",
    ),
    _read(_S.account_right),
    _change(_S.session, delete=True),
    _append(_S.audit),
)
_KEEPING_TELEMETRY: Final = (
    _append(_S.stage_minute),
    _append(_S.counter_minute),
    _change(_S.telemetry_hour),
    _change(_S.telemetry_reader),
    _change(_S.telemetry_loss),
)
_TIDYING_TELEMETRY: Final = (
    _forget(_S.stage_minute),
    _forget(_S.counter_minute),
    _forget(_S.entry_minute),
    _change(_S.telemetry_hour, delete=True),
    _change(_S.telemetry_reader),
    _change(_S.telemetry_loss, delete=True),
    _change(_S.online_hour, delete=True),
    _only(_S.place, _columns(_S.place), "by_hour"),
    _change(_S.revision, "revision"),
)
"""Adding up and forgetting, and judging by which grain a place may be counted (fleet.grain)."""
_REFERRING_TO_A_JOURNAL: Final = tuple(
    _only(table, ["journal_id"])
    for table in (
        *(_S.entry, _S.conflict, _S.quarantine, _S.joint, _S.retired_journal),
        *(_S.ride, _S.ride_taken_back),
    )
)
"""SQLite looks for rows that refer to a journal when one is begun."""
_MOVING_CARDS: Final = (
    _S.card.name,
    Grant(
        _columns(_S.card, ["stopped_why"]),
        insert=True,
        update=frozenset({"credential", "scheme", "key_epoch", "superseded_at_ms", "successor"}),
    ),
)
"""A card found under the key epoch before, or the scheme that members leave: its new credential in
its place, the old one beside."""
_TERMS_OF_SCHEMES: Final = (
    _read(_S.scheme_statement, ["signed_by", "office", "ground", "ground_date", "why", "who"]),
    _read(_S.campaign, ["why", "who"]),
)
"""Until when cards are known by a scheme, and to which one members move; not who signed that."""
_CLOSING_A_GAP: Final = (
    _only(_S.gap, _columns(_S.gap), "closed_at_ms", "how", "closed_by", "why", "missing"),
    _only(_S.journal, _SHOWN_OF_JOURNALS, "spans", "through", "seen", "seen_hash", "whole"),
    _only(_S.alarm, _columns(_S.alarm), "cleared_at_ms", "cleared_by", "why"),
)
_WRITING_OFF: Final = (
    (_S.gap.name, Grant(_columns(_S.gap), insert=True, update=_CLOSING_A_GAP[0][1].update)),
    (_S.journal.name, Grant(_columns(_S.journal), update=_CLOSING_A_GAP[1][1].update)),
    _only(_S.alarm, ("id", "kind", "subject"), "cleared_at_ms", "cleared_by", "why"),
)
"""What a vehicle's reader that died never sent (fleet.vehicles_lost)."""

_REFERRED: Final = ("journal_id", "position", "received_at_ms")
_OF_WORK: Final = (
    *("n", "kind", "at_ms", "clock", "programme", "outcome", "credential", "declared", "body"),
)
"""What a member's day is derived from, for the lists that dispatch signs."""
_RECORDS_OF_WORK: Final = (
    *(_S.work_term, _S.work_correction, _S.work_entry, _S.work_request, _S.work_decision),
    *(_S.work_special, _S.work_account, _S.work_naming, _S.work_loan, _S.work_return),
    _S.work_objection,
)
"""Of members; a row is never changed, and erased with its member."""

_LENT_CARDS: Final = (_read(_S.work_spare), _read(_S.work_loan), _read(_S.work_return))
"""Whose a school's spare card is today."""

GRANTS: Final[Mapping[Role, Mapping[Database, Mapping[str, Grant]]]] = {
    Role.INGEST: {
        "fleet": dict(
            (
                _read(_S.reader, ["keys_sealed"]),
                _read(_S.rule),
                _read(_S.key_epoch),
                _read(_S.ledger_epoch),
                _append(_S.entry),
                _append(_S.conflict),
                _append(_S.finding),
                _append(_S.ride),
                _append(_S.ride_share),
                _append(_S.ride_taken_back),
                _only(_S.claim_line, ("ride_id",)),  # SQLite looks for rows that refer to a ride
                _append(_S.joint),
                _read(_S.retired_journal),
                _change(_S.journal),
                _change(_S.quarantine, "times"),
                _change(_S.quarantine_hour, "kept", "dropped"),
                _change(_S.gap, "missing", "closed_at_ms", "how"),
                _change(_S.alarm),
                _change(_S.entry_minute, "count"),
                _change(_S.usage, "times", "yen"),
                _change(_S.bad_message, "count", "last_at_ms"),
                *_KEEPING_TELEMETRY,
                _read(_S.place),
                _read(_S.roster),
                _read(_S.revision),
                _change(_S.lag),
            )
        ),
        "persons": dict(
            (
                _read(_S.member, ["registration_number", "stopped_why"]),
                _MOVING_CARDS,
                *_LENT_CARDS,
                *_TERMS_OF_SCHEMES,
                _change(_S.triage),
                _only(
                    _S.desk_wait,
                    _columns(_S.desk_wait, ["account"]),
                    *("state", "answered_at_ms", "outcome", "found"),
                ),
                _change(_S.programme_revision, "revision"),
                _append(_S.person_audit),
            )
        ),
    },
    Role.DISPATCH: {
        "fleet": dict(
            (
                _read(_S.reader, ["keys_sealed"]),
                _read(_S.rule),
                _read(_S.key_epoch),
                _read(_S.ledger_epoch),
                _change(_S.journal),
                *_REFERRING_TO_A_JOURNAL,
                _forget(_S.quarantine_hour),
                _append(_S.gap),
                _change(_S.alarm),
                _read(_S.usage),
                _change(_S.usage_file, delete=True),
                _change(_S.usage_rows, "at_ms", "periods", delete=True),
                _change(_S.reader_state),
                _change(_S.online_change, delete=True),
                _change(_S.bad_message, "count", "last_at_ms"),
                *_TIDYING_TELEMETRY,
                _only(_S.entry, (*_REFERRED, *_OF_WORK)),
                _change(_S.ledger_month, delete=True),
                _change(_S.roster, delete=True),
                _change(_S.lag, delete=True),
                _read(_S.ride),
                _read(_S.claim_line),
                _only(_S.claim, _columns(_S.claim), "seal", "signature", "key_id"),
                _read(_S.gate_naming, ["who"]),
                _read(_S.gate_names, ["sealed", "contents"]),
                _append(_S.audit),
            )
        ),
        "persons": dict(
            (
                _read(_S.member, ["registration_number", "stopped_why"]),
                _read(_S.card, ["stopped_why"]),
                *_TERMS_OF_SCHEMES,
                _forget(_S.triage),
                (
                    _S.desk_wait.name,
                    Grant(
                        _columns(_S.desk_wait, ["account", "found"]),
                        update=frozenset({"sent_at_ms"}),
                        delete=True,
                    ),
                ),
                _read(_S.programme_revision),
                *_LENT_CARDS,
                _read(_S.work_term),
                _read(_S.work_correction),
                _read(_S.work_entry),
                _read(_S.work_objection),
                _forget(_S.work_change),
                _change(_S.work_listed, delete=True),
                _append(_S.work_list),
                _append(_S.work_leaf),
                (_S.work_visitor.name, Grant(frozenset({"loan_id"}), delete=True)),
                _read(_S.work_retention),
            )
        ),
    },
    Role.DEVICES: {
        "fleet": dict(
            (
                _read(_S.reader),
                _read(_S.place),
                _read(_S.roster),
                _read(_S.revision),
                _read(_S.usage_file),
                _read(_S.usage_rows),
                _read(_S.gate_names, ["contents"]),
            )
        ),
        "persons": {},
    },
    Role.CONSOLE: {
        "fleet": dict(
            (
                _read(_S.place),
                _read(_S.reader, ["keys_sealed"]),
                _read(_S.reader_state),
                _read(_S.online_change),
                _read(_S.bad_message),
                _read(_S.ledger_epoch),
                _only(_S.conflict, ("id", "journal_id")),
                _read(_S.quarantine, ["payload"]),
                _read(_S.quarantine_hour),
                _only(_S.finding, ("kind",)),
                _read(_S.entry_minute),
                _read(_S.rule),
                _read(_S.roster),
                _read(_S.revision),
                _read(_S.stage_minute),
                _read(_S.counter_minute),
                _read(_S.telemetry_hour),
                _read(_S.telemetry_loss),
                _read(_S.online_hour),
                _read(_S.ledger_month),
                _read(_S.lag),
                _read(_S.audit_run),
                _read(_S.retention),
                _read(_S.retired_month),
                *_CLOSING_A_GAP,
                *_LOG_IN,
            )
        ),
        "persons": {},
    },
    Role.OFFICE: {
        "fleet": dict(
            (
                _read(_S.place),
                _read(_S.organisation),
                _read(_S.reader, ["keys_sealed"]),
                _read(_S.reader_state),
                _read(_S.entry),
                _read(_S.finding),
                _append(_S.ride),
                _append(_S.ride_share),
                _read(_S.ride_taken_back),
                _only(_S.retired_journal, ("journal_id", "kind", "first", "last")),
                _only(_S.retired_rides, ("month", "rides", "at_ms")),
                _change(_S.claim, "state", *_DECIDED[:2], "why", "paid_on", "paid_by"),
                _change(_S.claim_line, "stands"),
                *_WRITING_OFF,
                _change(_S.usage, "times", "yen"),
                _append(_S.rule),
                _change(_S.rule_proposal, "state", "proposed_at_ms", *_DECIDED),
                _append(_S.budget),
                _append(_S.gate_naming),
                _change(_S.gate_names, delete=True),
                _read(_S.key_epoch),
                _read(_S.roster),
                _change(_S.revision, "revision"),
                *_LOG_IN,
                _change(_S.account, delete=True),
                _change(_S.account_right, delete=True),
                _change(_S.second_factor, delete=True),
                _change(_S.api_client, "ended_at_ms"),
            )
        ),
        "persons": dict(
            (
                _change(_S.person),
                _change(_S.member),
                _change(_S.card, delete=True),
                _change(_S.triage, delete=True),
                _append(_S.scheme_statement),
                _append(_S.campaign),
                _append(_S.consent_basis),
                _append(_S.consent),
                _forgettable(_S.member_event),
                _change(_S.desk_wait, delete=True),
                _change(_S.import_job, delete=True),
                _change(_S.webhook, "ended_at_ms"),
                _change(_S.webhook_delivery, delete=True),
                _change(_S.programme_revision),
                _append(_S.person_audit),
                *(_forgettable(table) for table in _RECORDS_OF_WORK),
                _change(_S.card_pin, "failures", delete=True),
                _forgettable(_S.desk_browser),
                _change(_S.work_feed, "read_at_ms", delete=True),
                _append(_S.work_spare),
                _append(_S.work_spare_use),
                _append(_S.work_visitor),
                _append(_S.work_close),
                _append(_S.work_month),
                _append(_S.work_change),
                _read(_S.work_list),
                _forget(_S.work_leaf),
                _read(_S.work_retention),
            )
        ),
    },
}

_READ_PRAGMAS: Final = frozenset({"data_version", "foreign_keys", "read_uncommitted"})
"""What a connection may ask about itself; nothing may be set."""
_HARMLESS: Final = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


def may_write(role: Role, database: Database) -> bool:
    """True when the role may change anything in this database."""
    if role is Role.OWNER:
        return True
    return any(g.insert or g.update or g.delete for g in GRANTS[role][database].values())


def authorizer(role: Role, database: Database) -> _Authorizer:
    """Return the function that SQLite asks about each step of each statement (not for OWNER).

    Actions and their arguments: https://www.sqlite.org/c3ref/c_alter_table.html.
    """
    grants = GRANTS[role][database]

    def may(action: int, first: str | None, second: str | None) -> bool:
        if action in _HARMLESS:
            return True
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in {"load_extension", "fts3_tokenizer"}
        if action == sqlite3.SQLITE_PRAGMA:
            return first in _READ_PRAGMAS and second is None
        grant = grants.get(first or "")
        return grant is not None and _allows(grant, action, second)

    def authorize(
        action: int,
        first: str | None,
        second: str | None,
        _database: str | None,
        _trigger: str | None,
    ) -> int:
        return sqlite3.SQLITE_OK if may(action, first, second) else sqlite3.SQLITE_DENY

    return authorize


def _allows(grant: Grant, action: int, column: str | None) -> bool:
    """Judge one action on a granted table; reading no column at all (count) asks for ''."""
    if action == sqlite3.SQLITE_READ:
        return not column or column in grant.read
    if action == sqlite3.SQLITE_INSERT:
        return grant.insert
    if action == sqlite3.SQLITE_UPDATE:
        return column in grant.update
    return action == sqlite3.SQLITE_DELETE and grant.delete


_REFUSE: Final = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$
"""


def make_append_only(connection: sa.Connection, table: str) -> None:
    """Let the database refuse to change or remove a row of this table, whoever asks.

    Raises sqlalchemy.exc.IntegrityError in him who tries. On PostgreSQL emptying it is refused
    too, and a replication session's silence about triggers does not help (ENABLE ALWAYS).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(_REFUSE))
        name = f"{table}_append_only"
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
        return
    for verb in ("UPDATE", "DELETE"):
        _refuse(connection, table, verb)


def make_unchangeable(connection: sa.Connection, table: str) -> None:
    """Let the database refuse to change a row of this table; it can only be removed whole."""
    if connection.dialect.name == "postgresql":
        name = f"{table}_unchangeable"
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
        return
    _refuse(connection, table, "UPDATE")


@contextlib.contextmanager
def lifted(connection: sa.Connection, *tables: str) -> Iterator[None]:
    """Let the owner remove rows of append-only tables inside this transaction, and then no more.

    Who is killed meanwhile leaves the refusal standing: it comes and goes with the transaction.
    """
    postgresql = connection.dialect.name == "postgresql"
    off = "ALTER TABLE {0} DISABLE TRIGGER {0}_append_only"
    on = "ALTER TABLE {0} ENABLE ALWAYS TRIGGER {0}_append_only"
    for table in tables:
        told = off if postgresql else "DROP TRIGGER {0}_no_delete"
        connection.exec_driver_sql(told.format(table))
    yield
    for table in tables:
        if postgresql:
            connection.exec_driver_sql(on.format(table))
        else:
            _refuse(connection, table, "DELETE")


def _refuse(connection: sa.Connection, table: str, verb: str) -> None:
    connection.exec_driver_sql(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


# --- PostgreSQL: the same table as GRANT statements ----------------------------------------------

FUNCTIONS: Final[Mapping[Role, Mapping[Database, Collection[str]]]] = {
    Role.INGEST: {"fleet": ("ensure_month(bigint)",)},
    Role.DISPATCH: {"fleet": ("ensure_month(bigint)",)},
}
"""Functions of a schema that run with the owner's rights, and who may call them."""


def user_of(role: Role) -> str:
    """Return the user of the server that a role logs in as."""
    return f"kazasu_{role}"


def missing_users(connection: sa.Connection) -> list[str]:
    """Return the users that the server has not got yet; SQLite has none."""
    if connection.dialect.name != "postgresql":
        return []
    there = set(connection.scalars(sa.text("SELECT rolname FROM pg_roles")))
    return [name for role in Role if (name := user_of(role)) not in there]


_MORE_THAN_GRANTED: Final = sa.text(
    """
    SELECT r.rolname AS name, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolreplication,
           quote_ident(g.rolname) AS of_role
    FROM pg_roles r
    LEFT JOIN pg_auth_members m ON m.member = r.oid
    LEFT JOIN pg_roles g ON g.oid = m.roleid
    WHERE r.rolname = ANY (:names)
    ORDER BY r.rolname, g.rolname
    """
)
_ATTRIBUTES: Final = (
    ("rolsuper", "SUPERUSER"),
    ("rolbypassrls", "BYPASSRLS"),
    ("rolcreaterole", "CREATEROLE"),
    ("rolreplication", "REPLICATION"),
)
_ALLOWED: Final = frozenset({(user_of(Role.DISPATCH), "pg_read_all_stats")})
"""So that it sees how old the oldest transaction of all is."""


def excesses(connection: sa.Connection, roles: Collection[Role]) -> dict[str, list[str]]:
    """Return the users who may more than the table of grants says, with the statements to type.

    The owner is left out: what is there is his. Attributes and membership:
    https://www.postgresql.org/docs/15/role-attributes.html, role-membership.html.
    """
    found: dict[str, list[str]] = {}
    names = [user_of(role) for role in roles if role is not Role.OWNER]
    if connection.dialect.name != "postgresql" or not names:
        return found
    for row in connection.execute(_MORE_THAN_GRANTED, {"names": names}).mappings():
        name, of_role = str(row["name"]), row["of_role"]
        has = [attribute for column, attribute in _ATTRIBUTES if row[column]]
        wanted = [f"ALTER ROLE {name} {' '.join('NO' + one for one in has)};"] if has else []
        if of_role is not None and (name, of_role) not in _ALLOWED:
            wanted.append(f"REVOKE {of_role} FROM {name};")
        for statement in wanted:
            if statement not in found.setdefault(name, []):
                found[name].append(statement)
    return found


def make_schema(connection: sa.Connection, database: Database) -> None:
    """Make the schema of a database on PostgreSQL; a file of SQLite needs none."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {database}")


def grant(connection: sa.Connection, database: Database) -> None:
    """Write the table of grants down in the server; on SQLite the authorizer holds it.

    What a user had before is taken away first, so a grant that was struck here is gone there.
    """
    if connection.dialect.name != "postgresql":
        return
    _close_to_strangers(connection)
    for role, databases in GRANTS.items():
        for statement in statements(connection, role, database, databases[database]):
            connection.exec_driver_sql(statement)


_NAME_IF_OURS: Final = sa.text(
    "SELECT quote_ident(datname) FROM pg_database WHERE datname = current_database() "
    "AND pg_has_role(datdba, 'USAGE')"
)


def _close_to_strangers(connection: sa.Connection) -> None:
    """Let nobody but our users connect, and nobody make tables of his own, where we may say so."""
    if name := connection.scalar(_NAME_IF_OURS):
        ours = ", ".join(user_of(role) for role in Role)
        connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {name} TO {ours}")


def statements(
    connection: sa.Connection, role: Role, database: Database, granted: Mapping[str, Grant]
) -> Iterator[str]:
    """Yield what gives a role just its grants on one schema."""
    user = user_of(role)
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        yield f"REVOKE ALL ON ALL {kind} IN SCHEMA {database} FROM {user}"
    yield f"REVOKE ALL ON SCHEMA {database} FROM {user}"
    if granted:
        yield f"GRANT USAGE ON SCHEMA {database} TO {user}"
    metadata = schema.fleet if database == "fleet" else schema.persons
    for name, one in granted.items():
        every = _columns(metadata.tables[name])
        verbs = [_on_columns("SELECT", one.read, every), _on_columns("UPDATE", one.update, every)]
        verbs += ["INSERT"] * one.insert + ["DELETE"] * one.delete
        given = ", ".join(verb for verb in verbs if verb)
        yield f'GRANT {given} ON {database}."{name}" TO {user}'
        if one.insert:
            for sequence in _sequences(connection, database, metadata.tables[name]):
                yield f"GRANT USAGE ON SEQUENCE {sequence} TO {user}"
    for function in FUNCTIONS.get(role, {}).get(database, ()):
        yield f"GRANT EXECUTE ON FUNCTION {database}.{function} TO {user}"


def _on_columns(verb: str, some: frozenset[str], every: frozenset[str]) -> str:
    if not some or some == every:
        return verb if some else ""
    return f"{verb} ({', '.join(_quoted(name) for name in sorted(some))})"


def _quoted(name: str) -> str:
    return f'"{name}"'


_SEQUENCE: Final = sa.text("SELECT pg_get_serial_sequence(:table, :column)")


def _sequences(connection: sa.Connection, database: Database, table: sa.Table) -> Iterator[str]:
    for column in table.primary_key:
        asked = {"table": f'{database}."{table.name}"', "column": column.name}
        found = connection.scalar(_SEQUENCE, asked)
        if found is not None:
            yield found
