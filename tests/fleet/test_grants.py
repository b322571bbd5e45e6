import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fleet import schema
from fleet.config import Databases
from fleet.grants import GRANTS, Database, Role, authorizer, user_of
from fleet.months import Months
from fleet.store import Store, StoreUnready, StoreUnusable, migrate, open_fleet, open_persons
from fleet.workers import sole_worker
from tests.fleet.virtual import NOON_MS
from tests.real_postgres import Postgres

NOT_FOR_THE_CONSOLE = (
    *(f"select {column.name} from entry" for column in schema.entry.columns),
    "select * from entry",
    "select n from entry where credential = 'x'",
    "select payload from quarantine",
    "select body from conflict",
    "select received_at_ms from conflict",
    "select received_at_ms from journal",
    "select signature from journal",
    "select found_at_ms from finding",
    "select n from finding",
    "select secret from second_factor",
    "select token_sha256 from api_client",
)
INSTANTS_OF_THE_CONSOLE = {
    "a device's own": {
        "reader.enrolled_at_ms",
        "reader.revoked_at_ms",
        "reader_state.online_since_ms",
        "reader_state.status_at_ms",
        "reader_state.received_at_ms",
        "online_change.at_ms",
        "journal.started_at_ms",
    },
    "of a fault, to look for its cause": {
        "bad_message.last_at_ms",
        "quarantine.received_at_ms",
        "quarantine.resolved_at_ms",
        "quarantine_hour.hour_ms",
        "gap.opened_at_ms",
        "gap.closed_at_ms",
        "alarm.first_at_ms",
        "alarm.last_at_ms",
        "alarm.cleared_at_ms",
    },
    "counts by the hour, or where many are members by the minute": {
        "entry_minute.minute_ms",
        "stage_minute.from_ms",
        "counter_minute.from_ms",
        "telemetry_hour.hour_ms",
        "telemetry_loss.hour_ms",
        "online_hour.hour_ms",
    },
    "of the fleet and of those who work with it": {
        "ledger_epoch.began_at_ms",
        "rule.added_at_ms",
        "roster.built_at_ms",
        "lag.at_ms",
        "audit_run.at_ms",
        "audit_run.from_ms",
        "audit_run.to_ms",
        "audit_run.took_ms",
        "retention.at_ms",
        "retired_month.at_ms",
        "account.added_at_ms",
        "account.locked_until_ms",
        "account.once_until_ms",
        "account.closed_at_ms",
        "account.signed_in_at_ms",
        "session.begun_at_ms",
        "session.ends_at_ms",
        "session.seen_at_ms",
        "session.second_at_ms",
        "account_right.since_ms",
        "audit.at_ms",
    },
}
"""Every instant that the console's user may read, and what it is of: none of a single entry."""


def test_the_console_may_read_just_these_instants() -> None:
    granted = {
        f"{table}.{column}"
        for table, grant in GRANTS[Role.CONSOLE]["fleet"].items()
        for column in grant.read
        if column.endswith("_ms")
    }
    assert granted == set().union(*INSTANTS_OF_THE_CONSOLE.values())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    migrate(Databases(tmp_path))
    return tmp_path


def refused(store: Store, statement: str) -> str:
    with pytest.raises(sa.exc.DatabaseError) as error, store.write() as connection:
        connection.exec_driver_sql(statement)
    assert isinstance(error.value.orig, sqlite3.DatabaseError)
    return str(error.value.orig)


def test_the_console_may_read_no_bytes_credential_or_category_of_an_entry(state: Path) -> None:
    store = open_fleet(Databases(state), Role.CONSOLE)
    for statement in NOT_FOR_THE_CONSOLE:
        assert "prohibited" in refused(store, statement)
    with store.read() as connection:
        assert connection.exec_driver_sql("select max(seen) from journal").one() == (None,)
    store.close()


def test_the_console_reaches_persons_by_no_way(state: Path) -> None:
    store = open_fleet(Databases(state), Role.CONSOLE)
    assert refused(store, f"attach '{state / 'persons.db'}' as persons") == "not authorized"
    assert refused(store, f"attach 'file:{state / 'persons.db'}?mode=ro' as p") == "not authorized"
    store.close()
    persons = open_persons(Databases(state), Role.CONSOLE)
    for table in schema.persons.tables:
        with pytest.raises(sa.exc.DatabaseError, match="prohibited"), persons.read() as connection:
            connection.exec_driver_sql(f"select * from {table}")
        with pytest.raises(sa.exc.DatabaseError, match="auth"), persons.read() as connection:
            connection.exec_driver_sql(f"delete from {table}")
    persons.close()


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_no_role_may_change_the_ledger_the_tables_or_the_rules_of_the_connection(
    state: Path, role: Role
) -> None:
    store = open_fleet(Databases(state), role)
    for statement in (
        "delete from entry",
        "update entry set code = 'ok'",
        "drop table entry",
        "drop trigger entry_no_delete",
        "create table x (y)",
        "pragma writable_schema = on",
        "pragma user_version = 9",
        "pragma synchronous = off",
        "pragma foreign_keys = off",
        "vacuum into '/tmp/never.db'",
        "select load_extension('x')",
        "select * from sqlite_master",
    ):
        with pytest.raises(sa.exc.DatabaseError), store.read() as connection:
            connection.exec_driver_sql(statement)
    store.close()


@pytest.mark.parametrize("role", GRANTS)
@pytest.mark.parametrize("database", ["fleet", "persons"])
def test_every_table_is_as_open_as_its_grant_says_and_no_more(
    state: Path, role: Role, database: str
) -> None:
    path = state / f"{database}.db"
    connection = sqlite3.connect(path)
    metadata = schema.fleet if database == "fleet" else schema.persons
    grants = GRANTS[role][database]  # type: ignore[index]
    assert set(grants) <= set(metadata.tables)
    connection.set_authorizer(authorizer(role, database))  # type: ignore[arg-type]
    for name, table in metadata.tables.items():
        grant = grants.get(name)
        for column in table.columns:
            readable = grant is not None and column.name in grant.read
            assert may(connection, f'explain select "{column.name}" from "{name}"') == readable
            writable = grant is not None and column.name in grant.update
            change = f'explain update "{name}" set "{column.name}" = null'
            if not writable:
                assert not may(connection, change)
        assert (grant is not None and grant.delete) or not may(
            connection, f"explain delete from {name}"
        )
    connection.close()


def may(connection: sqlite3.Connection, statement: str) -> bool:
    try:
        connection.execute(statement)
    except sqlite3.OperationalError:
        raise  # a statement that is wrong, not one that is refused
    except sqlite3.DatabaseError:
        return False
    return True


def test_the_migrations_make_just_the_tables_of_the_schema(state: Path) -> None:
    for database, metadata in (("fleet", schema.fleet), ("persons", schema.persons)):
        engine = sa.create_engine(f"sqlite:///{state / database}.db")
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            (mode,) = connection.exec_driver_sql("pragma journal_mode").one()
            assert mode == "wal"
        engine.dispose()


def test_migrating_again_changes_nothing(state: Path) -> None:
    before = (state / "fleet.db").read_bytes()
    migrate(Databases(state))
    assert (state / "fleet.db").read_bytes() == before


def test_a_store_that_was_never_made_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="kazasu-fleet init"):
        open_fleet(Databases(tmp_path), Role.INGEST)


def test_a_commit_is_on_the_disk_before_it_is_believed(state: Path) -> None:
    store = open_fleet(Databases(state), Role.OWNER)
    with store.read() as connection:
        assert connection.exec_driver_sql("pragma synchronous").one() == (2,)
        assert connection.exec_driver_sql("pragma foreign_keys").one() == (1,)
    store.close()


def test_two_workers_of_one_kind_never_share_a_state(tmp_path: Path) -> None:
    with (
        sole_worker(Databases(tmp_path), Role.INGEST, "ingest"),
        pytest.raises(StoreUnusable, match="another ingest"),
        sole_worker(Databases(tmp_path), Role.INGEST, "ingest"),
    ):
        pass
    with sole_worker(Databases(tmp_path), Role.INGEST, "ingest"):
        pass


# --- the same table on PostgreSQL ----------------------------------------------------------------


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path) -> Iterator[Databases]:
    made = postgres.migrated(tmp_path)
    yield made
    postgres.drop(made)


def forbidden(store: Store, statement: str) -> None:
    with (
        pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"),
        store.write() as connection,
    ):
        connection.exec_driver_sql(statement)


HAS = sa.text("select has_column_privilege(:user, :table, :column, :verb)")
HAS_TABLE = sa.text("select has_table_privilege(:user, :table, :verb)")


@pytest.mark.parametrize("role", GRANTS)
@pytest.mark.parametrize("database", ["fleet", "persons"])
def test_the_server_gives_each_user_just_the_grants_of_the_table(
    server: Databases, role: Role, database: Database
) -> None:
    owner = (
        open_fleet(server, Role.OWNER) if database == "fleet" else open_persons(server, Role.OWNER)
    )
    metadata = schema.fleet if database == "fleet" else schema.persons
    user = user_of(role)
    with owner.read() as connection:
        for name, table in metadata.tables.items():
            grant = GRANTS[role][database].get(name)
            asked = {"user": user, "table": f'{database}."{name}"'}
            for column in table.columns:
                for verb, given in (("SELECT", "read"), ("UPDATE", "update")):
                    has = connection.scalar(HAS, {**asked, "column": column.name, "verb": verb})
                    assert has == (grant is not None and column.name in getattr(grant, given))
            for verb, given in (("INSERT", "insert"), ("DELETE", "delete")):
                has = connection.scalar(HAS_TABLE, {**asked, "verb": verb})
                assert has == (grant is not None and getattr(grant, given))
            for verb in ("TRUNCATE", "REFERENCES", "TRIGGER"):
                assert not connection.scalar(HAS_TABLE, {**asked, "verb": verb})
    owner.close()


def test_no_user_may_touch_what_is_not_in_the_table_of_grants(server: Databases) -> None:
    ours = [user_of(role) for role in GRANTS]
    open_month(server)
    store = open_fleet(server, Role.OWNER)
    others = sa.text(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('fleet', 'persons') and c.relkind in ('r', 'p', 'v', 'm')"
    )
    with store.read() as connection:
        found = {(str(where), str(name)) for where, name in connection.execute(others)}
        known = {("fleet", name) for name in schema.fleet.tables}
        known |= {("persons", name) for name in schema.persons.tables}
        assert known < found
        assert ("fleet", "entry_202606") in found - known
        for where, name in found - known:
            for user in ours:
                asked = {"user": user, "table": f"{where}.{name}"}
                for verb in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                    assert not connection.scalar(HAS_TABLE, {**asked, "verb": verb})
    store.close()


def open_month(server: Databases) -> None:
    store = open_fleet(server, Role.INGEST)
    Months(store).ensure(NOON_MS)
    store.close()


def test_the_server_refuses_the_console_persons_bytes_and_credentials(server: Databases) -> None:
    store = open_fleet(server, Role.CONSOLE)
    for statement in NOT_FOR_THE_CONSOLE:
        forbidden(store, statement)
    for table in schema.persons.tables:
        forbidden(store, f"select * from persons.{table}")
        forbidden(store, f"select 1 from persons.{table}")
    with store.read() as connection:
        assert connection.exec_driver_sql("select max(seen) from journal").one() == (None,)
    store.close()


@pytest.mark.parametrize("role", GRANTS)
def test_no_user_of_the_server_changes_the_ledger_or_becomes_another(
    server: Databases, role: Role
) -> None:
    migrate(server)  # what the database as a whole allows does not come with a template
    open_month(server)
    store = open_fleet(server, role)
    forbidden(store, "delete from entry")
    forbidden(store, "update entry set code = 'ok'")
    forbidden(store, "truncate entry")
    forbidden(store, "delete from entry_202606")
    forbidden(store, "drop table entry_202606")
    forbidden(store, "drop trigger entry_append_only on entry")
    forbidden(store, "alter table entry disable trigger all")
    forbidden(store, "create table x (y int)")
    forbidden(store, "create temporary table x (y int)")
    forbidden(store, "create table public.x (y int)")
    forbidden(store, "create schema x")
    forbidden(store, "set session_replication_role = replica")
    for other in [user_of(one) for one in Role if one is not role] + ["postgres"]:
        forbidden(store, f"set role {other}")
        forbidden(store, f"set session authorization {other}")
    store.close()


def test_the_migrations_make_just_the_tables_of_the_schema_on_postgresql(
    server: Databases,
) -> None:
    by_month = {
        ("add_fk", "finding"),  # would hold a month that is to be dropped
        ("add_fk", "entry"),  # would cost a query an entry
        ("add_constraint", "entry"),  # unique in each month
    }
    for open_one, metadata in ((open_fleet, schema.fleet), (open_persons, schema.persons)):
        store = open_one(server, Role.OWNER)
        with store.read() as connection:
            found = compare_metadata(MigrationContext.configure(connection), metadata)
        store.close()
        assert {
            (kind, str(what.table.name) if kind != "remove_table" else what.name)
            for kind, what, *_ in found
            if kind != "add_table_comment"
        } <= by_month


def test_a_grant_that_was_struck_from_the_table_is_gone_after_the_next_init(
    server: Databases,
) -> None:
    owner = open_fleet(server, Role.OWNER)
    with owner.write() as connection:
        connection.exec_driver_sql("grant select on entry to kazasu_console")
    console = open_fleet(server, Role.CONSOLE)
    with console.read() as connection:
        assert connection.exec_driver_sql("select body from entry").all() == []
    migrate(server)
    forbidden(console, "select body from entry")
    console.close()
    owner.close()


@pytest.mark.parametrize(
    ("give", "take"),
    [
        ("alter role kazasu_console superuser", "ALTER ROLE kazasu_console NOSUPERUSER"),
        ("alter role kazasu_console bypassrls", "ALTER ROLE kazasu_console NOBYPASSRLS"),
        ("grant kazasu_owner to kazasu_console", "REVOKE kazasu_owner FROM kazasu_console"),
        ("grant pg_read_all_data to kazasu_office", "REVOKE pg_read_all_data FROM kazasu_office"),
    ],
)
def test_a_user_who_may_more_than_his_grants_is_refused_with_what_to_type(
    server: Databases, postgres: Postgres, give: str, take: str
) -> None:
    role = Role.OFFICE if "kazasu_office" in take else Role.CONSOLE
    with contextlib.closing(postgres.administrator()) as administrator:
        administrator.execute(give)
        try:
            with pytest.raises(StoreUnready, match=take):
                open_fleet(server, role)
            with pytest.raises(StoreUnready, match=take):
                migrate(server)
        finally:
            administrator.execute(take)
    open_fleet(server, role).close()
    migrate(server)


def test_dispatch_may_look_at_the_servers_statistics(server: Databases, postgres: Postgres) -> None:
    with contextlib.closing(postgres.administrator()) as administrator:
        administrator.execute("grant pg_read_all_stats to kazasu_dispatch")
        try:
            open_fleet(server, Role.DISPATCH).close()
            migrate(server)
        finally:
            administrator.execute("revoke pg_read_all_stats from kazasu_dispatch")
