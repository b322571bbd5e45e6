"""Which places and readers there are, and how each reader is known.

Rules: a reader is known by its certificate's fingerprint (HTTPS) and its public key (signatures),
looked up at each use; a revoked one is answered nothing, at once; taking the same registry in
again changes only what has changed, and never brings a revoked certificate back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleet import audit, store
from fleet.schema import key_epoch, organisation, place, reader, reader_key, revision
from fleet.store import AnyRow
from wire.envelope import UNREADABLE, key_id
from wire.individual_number import refuse_individual_number
from wire.registry import Registry
from wire.topics import parse_name, parse_reader

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A registry of 10,000 places is about 40 MB."""


class RegistryRefused(ValueError):
    """This file cannot be taken in; nothing was changed. The sentence says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands, as far as ingest and rosters look at it."""

    name: str
    kind: str
    line: str
    programmes: tuple[str, ...]
    triage_programmes: frozenset[str]
    organisation: str = ""
    """The transport company or school whose it is; empty: the city's."""
    by_hour: bool = True
    """Too few members for anything of it to be counted finer than by the hour (fleet.grain)."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader, with the key that its messages must be signed by."""

    name: str
    place: Place
    key: ec.EllipticCurvePublicKey
    key_id: str
    keys_sha256: bytes | None
    revoked: bool


class Imported(NamedTuple):
    """What taking in a registry changed."""

    places: int
    added: int
    changed: int
    unchanged: int


def read_registry(path: Path) -> Registry:
    """Return a registry file. Raises RegistryRefused."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise RegistryRefused(f"{path} is larger than {FILE_BYTES_MAX} bytes")
        registry = msgspec.json.decode(path.read_bytes(), type=Registry)
        parse_name(registry.tenant)
    except (OSError, *UNREADABLE) as error:
        raise RegistryRefused(f"{path}: {error}") from error
    return registry


def import_registry(
    connection: sa.Connection, registry: Registry, tenant: str, who: str, at_ms: int
) -> Imported:
    """Take in places and readers. Raises RegistryRefused before anything is written."""
    _check(registry, tenant)
    store.upsert(
        connection,
        place,
        [msgspec.structs.asdict(one) for one in registry.places],
        key=["name"],
        replace=[
            *("kind", "line", "programmes", "triage_programmes"),
            *("label_ja", "label_en", "organisation"),
        ],
    )
    store.upsert(
        connection,
        organisation,
        [msgspec.structs.asdict(one) for one in registry.organisations],
        key=["name"],
        replace=["label_ja", "label_en"],
    )
    former = {row.name: row for row in connection.execute(sa.select(reader))}
    keys: list[dict[str, object]] = []
    added = changed = 0
    for one in registry.readers:
        row: dict[str, object] = {
            "name": one.reader,
            "place": one.place,
            "fingerprint": one.fingerprint,
            "public_key": one.public_key,
            "sealing_public_key": one.sealing_public_key,
            "keys_sealed": one.keys_sealed,
            "keys_sha256": sha256(one.keys_sealed).digest(),
        }
        known = former.get(one.reader)
        if known is None:
            row |= {"enrolled_at_ms": at_ms}
            connection.execute(reader.insert(), row)
            added += 1
        elif any(known._mapping[name] != value for name, value in row.items()):
            _renew(connection, row, known)
            changed += 1
        if known is None or known.public_key != one.public_key:
            keys.append(_key(one.reader, one.public_key, at_ms))
    store.insert_missing(connection, reader_key, keys)
    _take_epochs(connection, registry.key_epochs, at_ms)
    bump(connection, "registry")
    audit.note(connection, at_ms, who, "registry.imported", registry.tenant, f"{added}+{changed}")
    unchanged = len(registry.readers) - added - changed
    return Imported(len(registry.places), added, changed, unchanged)


def key_epochs(connection: sa.Connection) -> dict[str, int]:
    """Return the present key epoch by programme, as provisioning last said."""
    rows = connection.execute(sa.select(key_epoch.c.programme, key_epoch.c.epoch))
    return {row.programme: row.epoch for row in rows}


def _take_epochs(connection: sa.Connection, epochs: Mapping[str, int], at_ms: int) -> None:
    """Note epochs that have begun; one that is over does not come back with an old file."""
    known = key_epochs(connection)
    rows = [
        {"programme": programme, "epoch": epoch, "since_ms": at_ms}
        for programme, epoch in epochs.items()
        if epoch > known.get(programme, 0)
    ]
    store.upsert(connection, key_epoch, rows, key=["programme"], replace=["epoch", "since_ms"])


def _key(name: str, pem: str, at_ms: int) -> dict[str, object]:
    """Return the row that keeps a key for as long as signatures of it stand in the ledger."""
    found = key_id(load_public_key(pem))
    return {"reader": name, "key_id": found, "public_key": pem, "added_at_ms": at_ms}


def _renew(connection: sa.Connection, row: dict[str, object], known: AnyRow) -> None:
    """Write a reader's new facts; only a new certificate ends a revocation."""
    if known._mapping["fingerprint"] != row["fingerprint"]:
        row = row | {"revoked_at_ms": None, "revoked_why": ""}
    connection.execute(reader.update().where(reader.c.name == row["name"]), row)


def _check(registry: Registry, tenant: str) -> None:
    if registry.tenant != tenant:
        raise RegistryRefused(f"this registry is of {registry.tenant}, this fleet of {tenant}")
    places = {one.name for one in registry.places}
    for one in registry.readers:
        try:
            name = parse_reader(one.reader)
            load_public_key(one.public_key)
        except ValueError as error:
            raise RegistryRefused(f"reader {one.reader}: {error}") from error
        if name.tenant != tenant:
            raise RegistryRefused(f"reader {one.reader} is not of {tenant}")
        if one.place not in places:
            raise RegistryRefused(f"reader {one.reader}: place {one.place!r} is not in the file")


def revoke(connection: sa.Connection, name: str, why: str, who: str, at_ms: int) -> None:
    """Shut one reader out from now on. Raises RegistryRefused: no such reader, or no reason."""
    if not why.strip():
        raise RegistryRefused("a reader is revoked with a reason: say why, in one sentence")
    refuse_individual_number("why", why)
    done = connection.execute(
        reader.update()
        .where(reader.c.name == name, reader.c.revoked_at_ms.is_(None))
        .values(revoked_at_ms=at_ms, revoked_why=why)
    )
    if done.rowcount != 1:
        raise RegistryRefused(f"no reader in service is called {name!r}")
    bump(connection, "registry")
    audit.note(connection, at_ms, who, "reader.revoked", name, why)


def require_reader(connection: sa.Connection, name: str) -> None:
    """Raise RegistryRefused when no reader, revoked or not, has this full name."""
    if not connection.scalar(sa.select(reader.c.name).where(reader.c.name == name)):
        raise RegistryRefused(
            f"no reader is called {name!r}: write tenant/reader, as `kazasu-fleet readers list` has"
        )


def load_public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Return a P-256 public key. Raises ValueError for anything else."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("a reader's key is a P-256 key")
    return key


def load_places(connection: sa.Connection) -> dict[str, Place]:
    """Return all places by name."""
    return {
        row.name: Place(
            row.name,
            row.kind,
            row.line,
            tuple(row.programmes),
            frozenset(row.triage_programmes),
            row.organisation,
            bool(row.by_hour),
        )
        for row in connection.execute(sa.select(place))
    }


class Organisation(NamedTuple):
    """What people call whose places are."""

    name: str
    label_ja: str
    label_en: str


def load_organisations(connection: sa.Connection) -> list[Organisation]:
    """Return the organisations that have a name for people."""
    columns = (organisation.c[name] for name in Organisation._fields)
    return [Organisation(*row) for row in connection.execute(sa.select(*columns))]


def load_readers(connection: sa.Connection) -> Mapping[str, Reader]:
    """Return all readers by full name, revoked ones too."""
    places = load_places(connection)
    wanted = sa.select(
        reader.c.name,
        reader.c.place,
        reader.c.public_key,
        reader.c.keys_sha256,
        reader.c.revoked_at_ms,
    )
    found: dict[str, Reader] = {}
    for row in connection.execute(wanted):
        key = load_public_key(row.public_key)
        revoked = row.revoked_at_ms is not None
        found[row.name] = Reader(
            row.name, places[row.place], key, key_id(key), row.keys_sha256, revoked
        )
    return found


def bump(connection: sa.Connection, name: str) -> None:
    """Let those who watch `name` (registry, rules) know that it has changed."""
    row = {"name": name, "revision": 1}
    store.upsert(connection, revision, [row], key=["name"], add=["revision"])


_REVISIONS: Final = sa.select(revision)


def revisions(connection: sa.Connection) -> dict[str, int]:
    """Return how often what has changed."""
    rows = connection.execute(_REVISIONS)
    return {cast(str, row.name): cast(int, row.revision) for row in rows}
