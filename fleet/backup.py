"""A copy of both databases that can be put back: made beside the running fleet, checked, whole.

Rules: a backup appears under its name only when it is complete and was read again; each database
is one consistent state, `fleet` not later than `persons`, so that what readers send again after a
restore finds everybody it names. Roster files are not copied: they are built again from what is.
Keys and fleet.toml are not in it: they are kept apart, as their owner decides.
"""

import contextlib
import hashlib
import re
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
import sqlalchemy as sa

from fleet import audits, postgres
from fleet.config import Config, Databases
from fleet.durable import sync
from fleet.grants import Database, Role
from fleet.schema import entry, journal, ledger_epoch, member
from fleet.store import BUSY_TIMEOUT_S, open_fleet, open_persons
from fleet.workers import only_one
from wire.envelope import UNREADABLE

MANIFEST: Final = "manifest.json"
DUMP: Final = "kazasu.dump"
"""Of PostgreSQL: pg_dump's custom format, both schemas."""
FILES: Final = ("fleet.db", "persons.db")
"""Of SQLite, in the order in which they are copied."""
KEEP_MAX: Final = 1_000
BLOCK: Final = 1 << 20
_NAME: Final = re.compile(r"kazasu-\d{8}T\d{6}Z")
_PART: Final = ".part"


class BackupRefused(RuntimeError):
    """This backup cannot be made, or not be put back; the sentence says why and what to do."""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup says of itself. `schema`: revision of each database; `counts`: rows in it."""

    v: Literal[1]
    tenant: str
    kind: Literal["sqlite", "postgresql"]
    made_at_ms: int
    program: str
    epoch: str
    schema: dict[str, str]
    counts: dict[str, int]
    files: dict[str, File]


def back_up(config: Config, folder: Path, at_ms: int, keep: int | None = None) -> Path:
    """Write one backup under `folder` and return where it lies.

    With `keep` only that many newest backups of this tenant stay. Raises BackupRefused, and Held
    while another one is being written there.
    """
    if keep is not None and not 1 <= keep <= KEEP_MAX:
        raise BackupRefused(f"1 to {KEEP_MAX} backups can be kept, not {keep}")
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / ".lock", "backup"):
        _remove_parts(folder)
        name = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("kazasu-%Y%m%dT%H%M%SZ")
        made, beside = folder / name, folder / (name + _PART)
        if made.exists():
            raise BackupRefused(f"{made} exists already: wait a second")
        beside.mkdir(mode=0o700)
        if config.databases.url:
            manifest = _dump_server(config, beside, at_ms)
        else:
            manifest = _copy_files(config, beside, at_ms)
        _write(beside / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        check(beside, config.tenant)
        sync(beside)
        beside.rename(made)
        sync(folder)
        if keep is not None:
            _remove_old(folder, config.tenant, keep)
    return made


def _remove_parts(folder: Path) -> None:
    """Remove what a backup left behind that was killed."""
    for one in folder.glob(f"kazasu-*{_PART}"):
        shutil.rmtree(one)


def _remove_old(folder: Path, tenant: str, keep: int) -> None:
    ours: list[Path] = []
    for one in sorted(folder.iterdir()):
        if _NAME.fullmatch(one.name) and (one / MANIFEST).exists():
            with contextlib.suppress(BackupRefused):
                if read_manifest(one).tenant == tenant:
                    ours.append(one)
    for one in ours[:-keep]:
        hidden = one.with_name(one.name + _PART)
        one.rename(hidden)
        shutil.rmtree(hidden)


# --- SQLite --------------------------------------------------------------------------------------


def _copy_files(config: Config, into: Path, at_ms: int) -> Manifest:
    for name in FILES:
        copy_database(config.databases.state / name, into / name)
    copied = Databases(into)
    manifest = _describe(config, copied, "sqlite", at_ms)
    for name in FILES:
        settle(into / name)
    files = {name: _file(into / name) for name in FILES}
    return msgspec.structs.replace(manifest, files=files)


def copy_database(source: Path, copy: Path) -> None:
    """Copy a database while others write to it: one state, in one step of SQLite's backup API.

    With WAL nobody waits for it. Raises BackupRefused when the copy does not hold together.
    """
    if not source.exists():
        raise BackupRefused(f"{source} does not exist: run `kazasu-fleet init` first")
    copy.touch(mode=0o600)
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", BUSY_TIMEOUT_S, uri=True)
            ) as there,
            contextlib.closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
            told = here.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupRefused(f"{source} cannot be copied: {error}") from error
    if told != ("ok",):
        raise BackupRefused(f"{source} is damaged: {told}: restore the last good backup")


def settle(path: Path) -> None:
    """Make a database one file: nothing of it stays in a log beside it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    sync(path)


# --- PostgreSQL ----------------------------------------------------------------------------------


def server_program(name: str) -> str:
    """Return PostgreSQL's own program, from PATH or where Debian keeps it. Raises BackupRefused."""
    if found := shutil.which(name):
        return found
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: [int(part) for part in re.findall(r"\d+", path.parts[-3])],
    )
    if not versions:
        raise BackupRefused(f"{name} is not installed: install postgresql-client")
    return str(versions[-1])


def connection_uri(databases: Databases) -> str:
    """Return the owner's URL as libpq's programs take it."""
    url = postgres.login(databases.url, Role.OWNER).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def run_program(*command: str) -> bytes:
    """Run one of PostgreSQL's programs and return what it wrote. Raises BackupRefused."""
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise BackupRefused(f"{Path(command[0]).name}: {said}")
    return done.stdout


def _dump_server(config: Config, into: Path, at_ms: int) -> Manifest:
    """Dump both schemas from one snapshot, which the manifest's counts are read from too."""
    path = into / DUMP
    path.touch(mode=0o600)
    store = open_fleet(config.databases, Role.OWNER)
    try:
        with store.read() as connection:
            snapshot = connection.scalar(sa.text("SELECT pg_export_snapshot()"))
            run_program(
                server_program("pg_dump"),
                "--format=custom",
                "--schema=fleet",
                "--schema=persons",
                f"--snapshot={snapshot}",
                f"--file={path}",
                f"--dbname={connection_uri(config.databases)}",
            )
            connection.execute(sa.text("SET LOCAL search_path = fleet, persons"))
            manifest = _manifest(config, "postgresql", at_ms, connection, connection)
    finally:
        store.close()
    sync(path)
    return msgspec.structs.replace(manifest, files={DUMP: _file(path)})


# --- what it says of itself ----------------------------------------------------------------------


def _describe(
    config: Config, copied: Databases, kind: Literal["sqlite", "postgresql"], at_ms: int
) -> Manifest:
    fleet, people = open_fleet(copied, Role.OWNER), open_persons(copied, Role.OWNER)
    try:
        with fleet.read() as ledger, people.read() as persons:
            return _manifest(config, kind, at_ms, ledger, persons)
    finally:
        fleet.close()
        people.close()


def _manifest(
    config: Config,
    kind: Literal["sqlite", "postgresql"],
    at_ms: int,
    fleet: sa.Connection,
    persons: sa.Connection,
) -> Manifest:
    epoch = sa.select(ledger_epoch.c.epoch).order_by(ledger_epoch.c.id.desc()).limit(1)
    counts = {
        table.name: int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
        for table, connection in ((entry, fleet), (journal, fleet), (member, persons))
    }
    return Manifest(
        v=1,
        tenant=config.tenant,
        kind=kind,
        made_at_ms=at_ms,
        program=audits.program(),
        epoch=fleet.scalar(epoch) or "",
        schema={"fleet": _revision(fleet, "fleet"), "persons": _revision(persons, "persons")},
        counts=counts,
        files={},
    )


def _revision(connection: sa.Connection, database: Database) -> str:
    schema = f"{database}." if connection.dialect.name == "postgresql" else ""
    found = connection.scalar(sa.text(f"SELECT version_num FROM {schema}alembic_version"))  # noqa: S608  two constants
    return str(found or "")


def read_manifest(folder: Path) -> Manifest:
    """Return a backup's manifest. Raises BackupRefused."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupRefused(f"{folder} is no backup: {MANIFEST} is missing") from None
    except UNREADABLE as error:
        raise BackupRefused(f"{path} is damaged, or of a newer version: {error}") from error


def check(folder: Path, tenant: str) -> Manifest:
    """Return the manifest of a backup whose files are all as they were written.

    Raises BackupRefused for one that is damaged, incomplete or of another tenant.
    """
    manifest = read_manifest(folder)
    if manifest.tenant != tenant:
        raise BackupRefused(f"{folder} is of {manifest.tenant}, this fleet of {tenant}")
    wanted = {DUMP} if manifest.kind == "postgresql" else set(FILES)
    if set(manifest.files) != wanted:
        raise BackupRefused(f"{folder}: a file is missing in {MANIFEST}")
    for name, told in manifest.files.items():
        path = folder / name
        if not path.exists() or _file(path) != told:
            raise BackupRefused(f"{path} is not as it was written: take another backup")
    return manifest


def check_copies(folder: Path, copies: Path) -> None:
    """Raise BackupRefused unless the copies of a backup's files are as it says."""
    for name, told in read_manifest(folder).files.items():
        if _file(copies / name) != told:
            raise BackupRefused(f"{folder / name} could not be read as it was written: try again")


def _file(path: Path) -> File:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return File(path.stat().st_size, digest.hexdigest())


# --- the disk ------------------------------------------------------------------------------------


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    sync(path)
