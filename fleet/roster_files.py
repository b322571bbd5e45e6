"""The files behind rosters: the rows of a programme, once for all places that share them.

Rules: rows lie under their own hash and are never changed, so that a file is either whole or not
there; a head (wire.roster) stands in the database, one a place and version; a reader gets both,
one behind the other.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet.durable import sync
from fleet.schema import roster
from fleet.store import Store
from wire.envelope import MessageRefused, PublicKey
from wire.roster import ROW, Roster, open_head
from wire.rows import Rows

FOLDER: Final = "rosters"
ROWS_OPEN_MAX: Final = 32
"""Rows files mapped at once: some versions of each programme."""
HEADS_OPEN_MAX: Final = 2_048
"""Verified heads kept: a few kB each, of 400 places and some versions."""


def rows_path(state: Path, programme: str, sha256: bytes) -> Path:
    """Return where the rows with this hash lie."""
    return state / FOLDER / programme / f"{sha256.hex()}.rows"


class Written(NamedTuple):
    """Rows that lie in their place."""

    sha256: bytes
    rows: int


def write_rows(state: Path, programme: str, pieces: Iterable[bytes]) -> Written:
    """Write rows as they come, sorted; they are there whole or not at all, also after a power cut.

    Raises ValueError for a credential that stands twice or is out of order, and OSError.
    """
    folder = state / FOLDER / programme
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "rows.partial"
    digest, size, last = hashlib.sha256(), 0, b""
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                last = _require_order(piece, last)
                digest.update(piece)
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        path = rows_path(state, programme, digest.digest())
        if not path.exists():
            beside.rename(path)
            sync(folder)
    finally:
        beside.unlink(missing_ok=True)
    return Written(digest.digest(), size // ROW.size)


def _require_order(piece: bytes, last: bytes) -> bytes:
    """Return the last credential of a piece. Raises ValueError."""
    rows = Rows(piece, 0, len(piece) // ROW.size, ROW.size)
    for credential in map(rows.at, range(rows.count)):
        if credential <= last:
            raise ValueError(f"credential {credential.hex()} stands twice, or out of order")
        last = credential
    return last


def remove_rows(state: Path, programme: str, kept: set[bytes]) -> None:
    """Remove the rows of a programme that no version names any more."""
    names = {f"{sha256.hex()}.rows" for sha256 in kept}
    for path in (state / FOLDER / programme).glob("*.rows"):
        if path.name not in names:
            path.unlink(missing_ok=True)


class Kept(NamedTuple):
    """One version of one place's roster, as it is kept."""

    head: bytes
    rows_sha256: bytes
    sha256: bytes


_ONE: Final = sa.select(roster.c.head, roster.c.rows_sha256, roster.c.sha256).where(
    roster.c.programme == sa.bindparam("programme"),
    roster.c.place == sa.bindparam("place"),
    roster.c.head.is_not(None),
)
_BY_VERSION: Final = _ONE.where(roster.c.version == sa.bindparam("version"))
_BY_HASH: Final = _ONE.where(roster.c.sha256 == sa.bindparam("sha256"))


def by_version(connection: sa.Connection, programme: str, place: str, version: int) -> Kept | None:
    """Return a version that is kept."""
    names = {"programme": programme, "place": place, "version": version}
    row = connection.execute(_BY_VERSION, names).one_or_none()
    return Kept(*row) if row else None


def by_hash(connection: sa.Connection, programme: str, place: str, sha256: bytes) -> Kept | None:
    """Return the version whose head has this hash."""
    names = {"programme": programme, "place": place, "sha256": sha256}
    row = connection.execute(_BY_HASH, names).first()
    return Kept(*row) if row else None


def open_rows(state: Path, programme: str, sha256: bytes) -> Rows:
    """Map rows that this fleet wrote itself. Raises OSError, or RowsRefused when cut short."""
    with rows_path(state, programme, sha256).open("rb") as file:
        return Rows.map(file, 0, ROW.size)


class RosterArchive:
    """The rosters that were built, opened when asked for. Used by one thread at a time."""

    def __init__(self, fleet: Store, state: Path, tenant: str, key: PublicKey) -> None:
        self._fleet = fleet
        self._state = state
        self._tenant = tenant
        self._key = key
        self._heads: OrderedDict[tuple[str, str, int], Roster] = OrderedDict()
        self._rows: OrderedDict[bytes, Rows] = OrderedDict()

    def get(self, programme: str, place: str, version: int) -> Roster | None:
        """Return a roster, good until the next call; None when it is not kept, or is damaged."""
        name = (programme, place, version)
        if (found := self._heads.get(name)) is not None:
            self._heads.move_to_end(name)
            self._rows.move_to_end(found.header.rows_sha256)
            return found
        try:
            found = self._open(programme, place, version)
        except (OSError, MessageRefused):
            return None
        if found is not None:
            self._heads[name] = found
            if len(self._heads) > HEADS_OPEN_MAX:
                self._heads.popitem(last=False)
        return found

    def _open(self, programme: str, place: str, version: int) -> Roster | None:
        with self._fleet.read() as connection:
            kept = by_version(connection, programme, place, version)
        if kept is None:
            return None
        header = open_head(kept.head, self._tenant, programme, place, self._key)
        return Roster(header, self._shared(programme, header.rows_sha256, header.rows), kept.sha256)

    def _shared(self, programme: str, sha256: bytes, count: int) -> Rows:
        """Return rows, verified once however many places share them."""
        if sha256 not in self._rows:
            with rows_path(self._state, programme, sha256).open("rb") as file:
                self._rows[sha256] = Rows.open(file, 0, count, sha256, ROW.size)
            if len(self._rows) > ROWS_OPEN_MAX:
                self._close_rows(next(iter(self._rows)))
        self._rows.move_to_end(sha256)
        return self._rows[sha256]

    def _close_rows(self, sha256: bytes) -> None:
        self._rows.pop(sha256).close()
        gone = [name for name, one in self._heads.items() if one.header.rows_sha256 == sha256]
        for name in gone:
            del self._heads[name]

    def close(self) -> None:
        """Unmap everything."""
        self._heads.clear()
        while self._rows:
            self._rows.popitem()[1].close()
