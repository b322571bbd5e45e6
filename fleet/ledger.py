"""Where entries rest: inserted once, recognised again, never changed.

Rules: identity is (reader, journal, number); the same identity with the same bytes is recognised,
with other bytes both are kept and an alarm sounds; the bytes are the reader's own, and everything
else in the row is taken from them; nothing here commits: that is the caller's transaction.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import audit, store
from fleet.alarms import AlarmKind, sound
from fleet.journals import Journal
from fleet.reconcile import Last
from fleet.schema import conflict, entry, entry_minute, journal, ledger_epoch, quarantine
from fleet.telemetry import HOUR_MS, MINUTE_MS, floor
from programmes.rulebook import Booked
from wire.codes import Outcome
from wire.entries import Entry, JournalId, Press, Tap, chain, genesis, new_journal
from wire.individual_number import refuse_individual_number

BOOKED_KEPT_MS: Final = 7 * 24 * 3_600_000
"""How far back a reader looks for a card's own bookings (programmes.rulebook.Facts.booked)."""
EXPORT_ROWS: Final = 2_000
"""Rows fetched at a time by an export: about 1 MB."""


class LedgerRefused(ValueError):
    """This cannot be done to the ledger; nothing was changed. The sentence says why."""


class NewEntry(NamedTuple):
    """One entry that the ledger has not got, decoded."""

    n: int
    hash: bytes
    body: bytes
    entry: Entry


def _row(journal_id: int, new: NewEntry, received_at_ms: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_DECODED)
    one = new.entry
    row |= {
        "journal_id": journal_id,
        "n": new.n,
        "hash": new.hash,
        "body": new.body,
        "received_at_ms": received_at_ms,
        "kind": type(one).__struct_config__.tag,
        "at_ms": one.at_ms,
        "clock": one.clock.value,
    }
    if isinstance(one, Tap):
        row |= {
            "programme": one.programme,
            "outcome": one.outcome.value,
            "code": one.code.value,
            "credential": one.credential,
            "scheme": one.scheme.value if one.scheme else None,
            "category": one.category,
            "declared": one.declared,
            "rider_pays_yen": one.rider_pays_yen,
            "rule": one.rule,
            "roster_version": one.roster,
        }
    elif isinstance(one, Press):
        row |= {
            "programme": one.programme,
            "code": one.button,
            "rider_pays_yen": one.rider_pays_yen,
            "rule": one.rule,
        }
    return row


_DECODED: Final = tuple(
    column.name for column in entry.columns if column.nullable and not column.primary_key
)


_APPEND: Final = entry.insert()


def append(
    connection: sa.Connection,
    state: Journal,
    new: Sequence[NewEntry],
    received_at_ms: int,
    by_hour: bool,
) -> None:
    """Insert entries that are known to be new, in one statement, and count them.

    They are counted by the minute, or by the hour where few are members (`fleet.grain`).
    """
    if not new:
        return
    rows = [_row(state.id, one, received_at_ms) for one in new]
    connection.execute(_APPEND, rows)
    minute_ms = floor(received_at_ms, HOUR_MS if by_hour else MINUTE_MS)
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        press = "press." if row["kind"] == "press" else ""
        key = (row["programme"] or "", press + (row["code"] or ""))
        counts[key] = counts.get(key, 0) + 1
    store.upsert(
        connection,
        entry_minute,
        [
            {
                "minute_ms": minute_ms,
                "reader": state.reader,
                "programme": programme,
                "code": code,
                "count": count,
            }
            for (programme, code), count in counts.items()
        ],
        key=["minute_ms", "reader", "programme", "code"],
        add=["count"],
    )


def bodies(connection: sa.Connection, state: Journal, first: int, last: int) -> dict[int, bytes]:
    """Return the bytes that stand under these numbers: entries, and those kept in quarantine."""
    inside = (quarantine.c.journal_id == state.id, quarantine.c.first.between(first, last))
    single = quarantine.c.first == quarantine.c.last
    unread = sa.select(quarantine.c.first, quarantine.c.payload).where(*inside, single)
    found = {row.first: row.payload for row in connection.execute(unread.order_by(quarantine.c.id))}
    stands = sa.select(entry.c.n, entry.c.body).where(
        entry.c.journal_id == state.id, entry.c.n.between(first, last)
    )
    found.update({row.n: row.body for row in connection.execute(stands)})
    return found


def contradict(
    connection: sa.Connection, state: Journal, n: int, digest: bytes, body: bytes, at_ms: int
) -> None:
    """Keep other bytes for an identity that stands already, and sound an alarm."""
    row = {
        "journal_id": state.id,
        "n": n,
        "hash": digest,
        "body": body,
        "body_sha256": hashlib.sha256(body).digest(),
        "received_at_ms": at_ms,
    }
    store.insert_missing(connection, conflict, [row])
    subject = f"{state.journal}/{n}"
    sound(connection, AlarmKind.CONFLICT, subject, state.reader, "", at_ms)


_NEWEST: Final = (
    sa.select(entry.c.credential, sa.func.max(entry.c.at_ms).label("at_ms"))
    .join(journal, entry.c.journal_id == journal.c.id)
    .where(
        entry.c.credential.in_(sa.bindparam("some", expanding=True)),
        entry.c.at_ms >= sa.bindparam("since_ms"),
        entry.c.outcome == Outcome.ACCEPTED.value,
        journal.c.reader == sa.bindparam("reader"),
    )
    .group_by(entry.c.credential)
    .subquery()
)
_LAST_BOOKINGS: Final = (
    sa.select(entry.c.credential, entry.c.journal_id, entry.c.at_ms, entry.c.declared)
    .join(
        _NEWEST,
        sa.and_(entry.c.credential == _NEWEST.c.credential, entry.c.at_ms == _NEWEST.c.at_ms),
    )
    .join(journal, entry.c.journal_id == journal.c.id)
    .where(entry.c.outcome == Outcome.ACCEPTED.value, journal.c.reader == sa.bindparam("reader"))
)


def last_bookings(
    connection: sa.Connection, reader: str, credentials: Sequence[str], since_ms: int
) -> dict[str, Last]:
    """Return each card's last accepted presentation at this reader, by the reader's clock."""
    found: dict[str, Last] = {}
    for start in range(0, len(credentials), store.IN_MAX):
        some = credentials[start : start + store.IN_MAX]
        asked = {"some": some, "since_ms": since_ms, "reader": reader}
        for row in connection.execute(_LAST_BOOKINGS, asked):
            found[row.credential] = Last(row.journal_id, Booked(row.at_ms, row.declared or ""))
    return found


# --- lives of the ledger -------------------------------------------------------------------------


_EPOCH: Final = sa.select(ledger_epoch.c.epoch).order_by(ledger_epoch.c.id.desc()).limit(1)


def epoch(connection: sa.Connection) -> str | None:
    """Return the ledger's present life; None before `init`."""
    return connection.scalar(_EPOCH)


def begin_epoch(connection: sa.Connection, who: str, reason: str, at_ms: int) -> str:
    """Begin a new life: readers believe a lower mark now, and send again what is missing.

    No one else may work on the ledger meanwhile. Raises LedgerRefused without a reason.
    """
    if not reason.strip():
        raise LedgerRefused("a new epoch has a reason: say what was restored, and why")
    refuse_individual_number("why", reason)
    name = new_journal()
    connection.execute(
        ledger_epoch.insert(), {"epoch": name, "began_at_ms": at_ms, "reason": reason}
    )
    audit.note(connection, at_ms, who, "ledger.epoch", name, reason)
    return name


# --- for comparing with journals -----------------------------------------------------------------


class Line(msgspec.Struct, frozen=True):
    """One exported entry; `body` is the reader's bytes as text (they are UTF-8 JSON)."""

    reader: str
    journal: str
    n: int
    hash: str
    body: str


def _entries(connection: sa.Connection, reader: str | None) -> Iterator[store.AnyRow]:
    wanted = (
        sa.select(journal.c.reader, journal.c.journal, entry.c.n, entry.c.hash, entry.c.body)
        .join(journal, entry.c.journal_id == journal.c.id)
        .order_by(entry.c.journal_id, entry.c.n)
    )
    if reader is not None:
        wanted = wanted.where(journal.c.reader == reader)
    yield from connection.execution_options(yield_per=EXPORT_ROWS).execute(wanted)


def export(connection: sa.Connection, reader: str | None = None) -> Iterator[bytes]:
    """Yield each entry as one JSON line (without its line end), journal by journal, in order."""
    for row in _entries(connection, reader):
        line = Line(row.reader, row.journal, row.n, row.hash.hex(), row.body.decode("utf-8"))
        yield msgspec.json.encode(line)


class Checked(NamedTuple):
    """What recomputing the chains of a reader, or of all, came to."""

    journals: int
    entries: int
    unjoined: int
    """Entries behind a hole, whose hash cannot be worked out from the one before."""
    broken: list[str]
    """`reader journal/n` of each entry whose hash does not follow from its bytes."""


def verify(connection: sa.Connection, reader: str | None = None) -> Checked:
    """Work every chain out again from the stored bytes."""
    names: set[tuple[str, str]] = set()
    entries = unjoined = 0
    broken: list[str] = []
    former: tuple[str, str, int, bytes] | None = None
    for row in _entries(connection, reader):
        entries += 1
        names.add((row.reader, row.journal))
        if row.n == 1:
            before = genesis(row.reader, JournalId(row.journal))
        elif former is not None and former[:3] == (row.reader, row.journal, row.n - 1):
            before = former[3]
        else:
            before = None
            unjoined += 1
        if before is not None and chain(before, row.body) != row.hash:
            broken.append(f"{row.reader} {row.journal}/{row.n}")
        former = (row.reader, row.journal, row.n, row.hash)
    return Checked(len(names), entries, unjoined, broken)
