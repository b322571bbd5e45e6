"""Putting a backup back: all of it or nothing, and the present state is kept aside.

Rules: nobody else works on the databases; a backup that is damaged, of another tenant or of a newer
version is refused before anything is touched; the restored ledger begins a new epoch, so readers
send again what it lost, and rosters go on with versions that were never used; who is killed on the
way leaves the old state or, after the next try, the new one, and nothing is opened between them.

On SQLite the new files are made ready in `restoring.part`; its renaming to `restoring` is the
moment from which the restore counts, and is finished by whoever runs it next. On PostgreSQL all is
one transaction, which renames the schemas that were there.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from fleet import audit, backup, ledger, rosters
from fleet.backup import FILES, BackupRefused, Manifest
from fleet.config import Config, Databases
from fleet.durable import sync
from fleet.grants import Database, Role, user_of
from fleet.schema import journal, ledger_epoch, roster
from fleet.store import RESTORING, Store, bring_up, migrate, open_fleet, revisions
from fleet.workers import sole_worker

VERSIONS_JUMPED: Final = 1_000_000
"""Roster versions left out: at most two are built a second, so a backup may be five days old
even when a list changed all the time, and months old in any real town."""
ALONE: Final = ("ingest", "dispatch")
"""Who must not work meanwhile."""
_DATABASES: Final[tuple[Database, ...]] = ("fleet", "persons")


def restore(config: Config, folder: Path, who: str, why: str, at_ms: int) -> str:
    """Put a backup back and return where the state before it lies. Raises BackupRefused."""
    databases = config.databases
    with contextlib.ExitStack() as held:
        databases.state.mkdir(parents=True, exist_ok=True)
        for what in ALONE:
            held.enter_context(sole_worker(databases, Role.OWNER, what))
        if not databases.url and (aside := finish(databases.state)):
            raise BackupRefused(
                f"a restore that was cut short is finished now; the state before it is in {aside}. "
                "Nothing else was done: run this again if you mean another backup"
            )
        manifest = backup.check(folder, config.tenant)
        _require_fit(manifest, databases)
        if databases.url:
            return _restore_server(config, folder, who, why, at_ms)
        return _restore_files(databases, folder, who, why, at_ms)


def _require_fit(manifest: Manifest, databases: Databases) -> None:
    here = "postgresql" if databases.url else "sqlite"
    if manifest.kind != here:
        raise BackupRefused(f"this backup is of {manifest.kind}, the fleet's database is {here}")
    for database in _DATABASES:
        known = revisions(database)
        if manifest.schema.get(database) not in known:
            raise BackupRefused(
                f"this backup was made by a newer version ({manifest.program}): upgrade first"
            )


def begin_again(
    connection: sa.Connection, who: str, why: str, at_ms: int, used: dict[tuple[str, str], int]
) -> str:
    """Let a restored ledger live on: a new epoch, and rosters beyond every version used.

    `used` names versions of (programme, place) that the restored state may not know of. Raises
    BackupRefused when this machine's clock is behind what the ledger has seen: readers believe a
    new epoch only when it is said later than anything before.
    """
    seen_ms = connection.scalar(sa.select(sa.func.max(journal.c.received_at_ms))) or 0
    began_ms = connection.scalar(sa.select(sa.func.max(ledger_epoch.c.began_at_ms))) or 0
    if at_ms < max(seen_ms, began_ms):
        raise BackupRefused("the clock of this machine is behind the ledger: set it, then go on")
    epoch = ledger.begin_epoch(connection, who, why, at_ms)
    rosters.jump(connection, used, VERSIONS_JUMPED, at_ms)
    return epoch


def _used(connection: sa.Connection, table: Any = roster) -> dict[tuple[str, str], int]:
    newest = sa.select(table.c.programme, table.c.place, sa.func.max(table.c.version).label("v"))
    rows = connection.execute(newest.group_by(table.c.programme, table.c.place))
    return {(row.programme, row.place): row.v for row in rows}


def _stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


# --- SQLite --------------------------------------------------------------------------------------


def _restore_files(databases: Databases, folder: Path, who: str, why: str, at_ms: int) -> str:
    state = databases.state
    used, seen_ms = _present(state)
    if at_ms < seen_ms:
        raise BackupRefused("the clock of this machine is behind the ledger: set it, then go on")
    part = state / f"{RESTORING}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for name in FILES:
        shutil.copyfile(folder / name, part / name)
        (part / name).chmod(0o600)
    backup.check_copies(folder, part)
    migrate(Databases(part))
    store = open_fleet(Databases(part), Role.OWNER)
    try:
        with store.write() as connection:
            begin_again(connection, who, why, at_ms, used)
            audit.note(connection, at_ms, who, "restored", folder.name, why)
    finally:
        store.close()
    for name in FILES:
        backup.settle(part / name)
        _with_log(part / name)
        sync(part / name)
    (part / f"before-restore-{_stamp(at_ms)}").touch()
    sync(part)
    with _exclusive(state):
        part.rename(state / RESTORING)
        sync(state)
        return finish(state)


def _with_log(path: Path) -> None:
    """Let it be written as a fleet's database is: with a log beside it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _present(state: Path) -> tuple[dict[tuple[str, str], int], int]:
    """Return the roster versions in use, and the last time seen, as far as they can be read."""
    if not (state / FILES[0]).exists():
        return {}, 0
    try:
        store = open_fleet(Databases(state), Role.OWNER)
        try:
            with store.read() as connection:
                seen_ms = connection.scalar(sa.select(sa.func.max(journal.c.received_at_ms)))
                return _used(connection), seen_ms or 0
        finally:
            store.close()
    except sa.exc.DatabaseError:
        return {}, 0  # it is damaged: that is why a backup is put back


@contextlib.contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """See to it that no process has the databases open. Raises BackupRefused.

    Leaving the log needs a database for oneself, so SQLite refuses it while others have it open.
    """
    for name in FILES:
        path = state / name
        if not path.exists():
            continue
        with contextlib.closing(sqlite3.connect(path, timeout=1.0)) as connection:
            try:
                connection.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.OperationalError as error:
                raise BackupRefused(
                    f"{path} is in use: stop console, office and devices too ({error})"
                ) from error
            except sqlite3.DatabaseError:
                continue  # it is damaged: it goes aside as it is
    yield


def finish(state: Path) -> str:
    """Bring a restore to its end that counts already; return where the former state lies.

    Empty when there is none. Safe to run again after being killed at any instant.
    """
    ready = state / RESTORING
    if not ready.exists():
        return ""
    (name,) = (one.name for one in ready.glob("before-restore-*"))
    aside = state / name
    aside.mkdir(mode=0o700, exist_ok=True)
    for file in FILES:
        if not (ready / file).exists():
            continue  # it is in its place already
        for one in (file, f"{file}-wal", f"{file}-shm"):
            if (state / one).exists():
                (state / one).rename(aside / one)
        sync(aside)
        (ready / file).rename(state / file)
        sync(state)
    shutil.rmtree(ready)
    sync(state)
    return str(aside)


# --- PostgreSQL ----------------------------------------------------------------------------------


def _restore_server(config: Config, folder: Path, who: str, why: str, at_ms: int) -> str:
    databases = config.databases
    script = backup.run_program(
        backup.server_program("pg_restore"),
        "--no-owner",
        "--file=-",
        str(folder / backup.DUMP),
    )
    suffix = f"_before_{_stamp(at_ms).lower()}"
    store = Store(databases, "fleet", Role.OWNER, empty_too=True)
    try:
        with store.write() as connection:
            used = _set_aside(connection, suffix, at_ms)
            run_script(connection, script.decode("utf-8"))
            for database in _DATABASES:
                connection.exec_driver_sql(f"SET LOCAL search_path = {database}, pg_temp")
                bring_up(connection, database)
            connection.exec_driver_sql("SET LOCAL search_path = fleet, pg_temp")
            begin_again(connection, who, why, at_ms, used)
            audit.note(connection, at_ms, who, "restored", folder.name, why)
    finally:
        store.close()
    return f"the schemas fleet{suffix} and persons{suffix}"


def _set_aside(connection: sa.Connection, suffix: str, at_ms: int) -> dict[tuple[str, str], int]:
    """Rename the schemas that are there, and shut the fleet's own users out of them."""
    there = set(connection.scalars(sa.text("SELECT nspname FROM pg_namespace")))
    used: dict[tuple[str, str], int] = {}
    if "fleet" in there:
        used = _used(connection)
        seen_ms = connection.scalar(sa.select(sa.func.max(journal.c.received_at_ms))) or 0
        if at_ms < seen_ms:
            raise BackupRefused(
                "the clock of this machine is behind the ledger: set it, then go on"
            )
    for database in _DATABASES:
        if database in there:
            connection.exec_driver_sql(f"ALTER SCHEMA {database} RENAME TO {database}{suffix}")
            for role in Role:
                if role is not Role.OWNER:
                    user = user_of(role)
                    connection.exec_driver_sql(
                        f"REVOKE ALL ON SCHEMA {database}{suffix} FROM {user}"
                    )
    return used


def run_script(connection: sa.Connection, script: str) -> None:
    """Run what pg_restore wrote inside this transaction: statements, and the rows of each COPY.

    Lines that begin with a backslash and end no rows are for psql alone, which is not used here.
    """
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        statements: list[str] = []
        lines = iter(script.splitlines(keepends=True))
        for line in lines:
            if line.startswith("COPY ") and line.endswith("FROM stdin;\n"):
                _run(cursor, statements)
                with cursor.copy(line) as copy:
                    for row in lines:
                        if row == "\\.\n":
                            break
                        copy.write(row)
            elif not line.startswith("\\"):
                statements.append(line)
        _run(cursor, statements)


def _run(cursor: Any, statements: list[str]) -> None:
    text = "".join(statements)
    statements.clear()
    if text.strip():
        cursor.execute(text)
