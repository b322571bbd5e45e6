"""Where entries rest: inserted once, recognised again, never changed.

Rules: identity is (reader, journal, number); the same identity with the same bytes is recognised,
with other bytes both are kept and an alarm sounds; the bytes are the reader's own, and everything
else in the row is taken from them; nothing here commits: that is the caller's transaction.
"""

import hashlib
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import msgspec
import sqlalchemy as sa

from fleet import audit, bulk, store
from fleet.alarms import AlarmKind, sound
from fleet.findings import Names
from fleet.journals import Journal
from fleet.quarantine import ENTRY
from fleet.reconcile import BOOKED_KEPT_MS, Last, names_of
from fleet.registry import Reader
from fleet.schema import (
    conflict,
    entry,
    entry_minute,
    journal,
    ledger_epoch,
    quarantine,
    retired_journal,
)
from fleet.telemetry import HOUR_MS, MINUTE_MS, floor
from programmes.rulebook import Booked
from wire.codes import Outcome
from wire.entries import Answer, Cancel, Entry, Press, Redirect, Ride, Tap, new_journal
from wire.individual_number import refuse_individual_number

_DAY_MS: Final = 24 * 3_600_000
RECEIVED_BEFORE_MS: Final = 7 * _DAY_MS
"""How much earlier than a booking says it may have been received, so that old months need not be
searched. It is received after it was made; it says a later time only when the reader's clock ran
ahead. That lead is known from taps that arrive at once (they lie in the future); a week more covers
those that waited a week for the network. Beyond that a repeat could be called a fault."""
LOOKED_BACK_MAX_MS: Final = 400 * _DAY_MS
"""The oldest receipt that is looked at, for clocks that stand in 1970."""
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


def taken_from(one: Entry) -> tuple[Any, ...]:
    """Return what a row says of an entry beside its bytes, as TAKEN_FROM_BODY names it."""
    if isinstance(one, Tap):
        scheme = one.scheme
        return (
            "tap",
            one.at_ms,
            one.clock._value_,
            one.programme,
            one.outcome._value_,
            one.code._value_,
            one.credential,
            scheme._value_ if scheme else None,
            one.category,
            one.declared,
            one.rider_pays_yen,
            one.rule,
            one.roster,
        )
    if isinstance(one, Ride):
        told = (one.programme, one.outcome._value_, one.code._value_, None, None, None, None)
        pays = (one.riders_pay_yen, one.rule, one.roster)
        return ("ride", one.at_ms, one.clock._value_, *told, *pays)
    if isinstance(one, Cancel):
        rest = (None,) * 7
        return ("cancel", one.at_ms, one.clock._value_, one.programme, None, one.why, *rest)
    if isinstance(one, Press):
        pressed = (one.programme, None, one.button, None, None, None, None)
        return ("press", one.at_ms, one.clock._value_, *pressed, one.rider_pays_yen, one.rule, None)
    kind = str(type(one).__struct_config__.tag)
    if isinstance(one, Redirect | Answer):
        declared = one.declared if isinstance(one, Redirect) else one.missing
        card = (one.credential, one.scheme._value_, None)
        said = (one.programme, None, None, *card, declared, None, None, None)
        return (kind, one.at_ms, one.clock._value_, *said)
    return (kind, one.at_ms, one.clock._value_, *_NOTHING)


def columns(one: Entry) -> dict[str, Any]:
    """Return what a row says of an entry beside its bytes; all of it is taken from them."""
    return dict(zip(TAKEN_FROM_BODY, taken_from(one), strict=True))


TAKEN_FROM_BODY: Final = (
    "kind",
    "at_ms",
    "clock",
    "programme",
    "outcome",
    "code",
    "credential",
    "scheme",
    "category",
    "declared",
    "rider_pays_yen",
    "rule",
    "roster_version",
)
"""Columns of an entry that only repeat what its bytes say."""
_NOTHING: Final = (None,) * 10
_COLUMNS: Final = ("journal_id", "n", "hash", "body", "received_at_ms", *TAKEN_FROM_BODY)
_ALIKE: Final = operator.itemgetter(*map(_COLUMNS.index, ("kind", "programme", "code")))
"""What rows of one reader and minute are counted by."""
_KEY: Final = ("minute_ms", "reader", "programme", "code")

Row = tuple[Any, ...]
"""An entry as _COLUMNS names it."""
Counts = dict[tuple[int, str, str, str], int]
"""New entries by the columns of `entry_minute`."""


def rows(
    journal_id: int, new: Iterable[tuple[int, bytes, bytes, Entry]], received_at_ms: int
) -> list[Row]:
    """Return the rows of new entries, each given as NewEntry has it."""
    return [
        (journal_id, n, digest, body, received_at_ms, *taken_from(one))
        for n, digest, body, one in new
    ]


def count(counts: Counts, reader: Reader, received_at_ms: int, some: Sequence[Row]) -> None:
    """Count new rows of one reader by the minute.

    By the hour where few are members (`fleet.grain`).
    """
    minute_ms = floor(received_at_ms, HOUR_MS if reader.place.by_hour else MINUTE_MS)
    alike = Counter(map(_ALIKE, some))
    for (kind, programme, code), number in alike.items():
        press = "press." if kind == "press" else ""
        key = (minute_ms, reader.name, programme or "", press + (code or ""))
        counts[key] = counts.get(key, 0) + number


def append(connection: sa.Connection, some: Sequence[Row], counts: Counts) -> None:
    """Insert entries that are known to be new, and what they count: two statements."""
    bulk.append(connection, entry, _COLUMNS, some)
    counted = [(*key, number) for key, number in sorted(counts.items())]
    bulk.count_up(connection, entry_minute, _KEY, ("count",), counted)


def bodies(
    connection: sa.Connection, state: Journal, first: int, last: int
) -> dict[int, bytes | None]:
    """Return the bytes that stand under these numbers: entries, and those kept in quarantine.

    None stands for those that went with a month past retention.
    """
    found: dict[int, bytes | None] = {}
    gone = sa.select(retired_journal.c.first, retired_journal.c.last).where(
        retired_journal.c.journal_id == state.id,
        retired_journal.c.first <= last,
        retired_journal.c.last >= first,
    )
    for low, high in connection.execute(gone):
        found |= dict.fromkeys(range(max(low, first), min(high, last) + 1))
    unread = sa.select(quarantine.c.first, quarantine.c.payload).where(
        quarantine.c.journal_id == state.id,
        quarantine.c.first.between(first, last),
        quarantine.c.reason == ENTRY,
    )
    found |= dict(connection.execute(unread.order_by(quarantine.c.id.desc())).all())
    stands = sa.select(entry.c.n, entry.c.body).where(
        entry.c.journal_id == state.id, entry.c.n.between(first, last)
    )
    found |= dict(connection.execute(stands).all())
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


class Asked(NamedTuple):
    """Whose last bookings are asked for, by reader, and how far back to look."""

    cards: Mapping[str, set[str]]
    since_ms: int
    """By the readers' clocks."""
    received_from_ms: int
    """By the fleet's: see RECEIVED_BEFORE_MS."""

    @classmethod
    def of(
        cls,
        taps: Iterable[tuple[str, Iterable[Tap]]],
        received_at_ms: int,
        names: Names,
        looks_back_ms: int = BOOKED_KEPT_MS,
    ) -> Self:
        """Ask for the cards of these taps, given by reader, that arrived at this time.

        `names`: what else cards are or were known as; they are asked for under these too.
        `looks_back_ms`: how long before the first tap a booking may matter.
        """
        cards: dict[str, set[str]] = {}
        first = last = received_at_ms
        for reader, some in taps:
            named = cards.setdefault(reader, set())
            for tap in some:
                first, last = min(first, tap.at_ms), max(last, tap.at_ms)
                named.update(names_of(tap, names))
        since_ms = first - looks_back_ms
        ahead_ms = last - received_at_ms
        from_ms = max(since_ms - ahead_ms - RECEIVED_BEFORE_MS, received_at_ms - LOOKED_BACK_MAX_MS)
        return cls(cards, since_ms, from_ms)


# `nth` 1 is the newest; of two at one instant the one that was committed later.
LAST_BOOKINGS: Final = """
SELECT reader, credential, journal, at_ms, declared FROM (
    SELECT j.reader, e.credential, j.journal, e.at_ms, e.declared, row_number() OVER (
        PARTITION BY j.reader, e.credential ORDER BY e.at_ms DESC, e.position DESC) AS nth
    FROM entry e JOIN journal j ON j.id = e.journal_id
    WHERE e.credential IN ? AND e.at_ms >= ? AND e.received_at_ms >= ? AND e.outcome = ?
    AND j.reader IN ?
) AS booked WHERE nth = 1
"""


def last_bookings(connection: sa.Connection, asked: Asked) -> dict[str, dict[str, Last]]:
    """Return by reader each card's last accepted presentation there, by the reader's clock."""
    found: dict[str, dict[str, Last]] = {}
    named = sorted({card for cards in asked.cards.values() for card in cards})
    if not named:
        return found
    since = (asked.since_ms, asked.received_from_ms, Outcome.ACCEPTED.value)
    for reader, card, name, at_ms, declared in bulk.select_in(
        connection, LAST_BOOKINGS, named, *since, sorted(asked.cards)
    ):
        if card in asked.cards[reader]:
            last = Last(name, Booked(at_ms, declared or ""))
            found.setdefault(reader, {})[card] = last
    return found


_STEPPED: Final = sa.select(
    sa.exists().where(
        entry.c.journal_id == journal.c.id,
        journal.c.reader == sa.bindparam("reader"),
        journal.c.journal == sa.bindparam("journal"),
        entry.c.kind == "clock",
    )
)


def is_stepped(connection: sa.Connection, reader: str, name: str) -> bool:
    """Say whether a reader's clock jumped in one of its journals."""
    return bool(connection.scalar(_STEPPED, {"reader": reader, "journal": name}))


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
    yield from connection.execute(wanted, execution_options={"yield_per": EXPORT_ROWS})


def export(connection: sa.Connection, reader: str | None = None) -> Iterator[bytes]:
    """Yield each entry as one JSON line (without its line end), journal by journal, in order."""
    for row in _entries(connection, reader):
        line = Line(row.reader, row.journal, row.n, row.hash.hex(), row.body.decode("utf-8"))
        yield msgspec.json.encode(line)
