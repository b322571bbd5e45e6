"""What the ledger knows of each journal: how far it has come, and which journal follows which.

A reader begins a journal at every start and names in it the one before, with its last number and
tip. So a copied disk (two journals after the same one), an old image (the reader knows less than
the ledger) and a tail that never came are all seen here, and none of them stops anything.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fleet import gaps
from fleet.alarms import AlarmKind, sound
from fleet.gaps import Span
from fleet.schema import entry, journal, quarantine
from fleet.store import AnyRow, new_id
from wire.entries import JournalId, Start, genesis

_STATE: Final = (
    journal.c.id,
    journal.c.reader,
    journal.c.journal,
    journal.c.former_journal,
    journal.c.former_n,
    journal.c.spans,
    journal.c.seen_hash,
    journal.c.claimed,
    journal.c.superseded,
    journal.c.unreplayed,
)

# Made once: making a statement costs as much as running it.
_LOAD: Final = sa.select(*_STATE).where(journal.c.journal.in_(sa.bindparam("ids", expanding=True)))
_SAVE: Final = journal.update().where(journal.c.id == sa.bindparam("this"))
_BEGIN: Final = journal.insert()


@dataclass(slots=True)
class Journal:
    """One journal inside one transaction."""

    id: int
    reader: str
    journal: str
    former_journal: str | None
    former_n: int | None
    spans: list[Span]
    seen_hash: bytes | None
    """The chain's hash at `seen`; None when it is not known (a loss at the end)."""
    claimed: int
    superseded: bool
    unreplayed: int

    @property
    def seen(self) -> int:
        """The greatest number that is accounted for."""
        return gaps.seen(self.spans)

    @property
    def through(self) -> int:
        """The number up to which everything is accounted for."""
        return gaps.through(self.spans)

    @property
    def whole(self) -> bool:
        """Nothing is missing of what must have come by now."""
        end = max(self.seen, self.claimed) if self.superseded else self.seen
        return not gaps.missing(self.spans, 1, end)


def _journal(row: AnyRow) -> Journal:
    values = dict(row._mapping)
    values["spans"] = [(first, last) for first, last in values["spans"]]
    return Journal(**values)


def load(
    connection: sa.Connection, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Journal]:
    """Return those of these (reader, journal) that the ledger knows."""
    ids = sorted({one for _, one in wanted})
    rows = connection.execute(_LOAD, {"ids": ids})
    found = {(row.reader, row.journal): _journal(row) for row in rows}
    return {key: state for key, state in found.items() if key in wanted}


def open_journal(connection: sa.Connection, reader: str, name: str, at_ms: int) -> Journal:
    """Return what is known of one journal; a new one is begun."""
    found = load(connection, {(reader, name)})
    if found:
        return found[reader, name]
    added = connection.execute(
        _BEGIN, {"reader": reader, "journal": name, "received_at_ms": at_ms, "spans": []}
    )
    return Journal(new_id(added), reader, name, None, None, [], None, 0, False, 0)


def save(connection: sa.Connection, state: Journal, at_ms: int) -> None:
    """Write one journal's marks."""
    connection.execute(
        _SAVE,
        {
            "this": state.id,
            "spans": state.spans,
            "through": state.through,
            "seen": state.seen,
            "seen_hash": state.seen_hash,
            "claimed": state.claimed,
            "superseded": state.superseded,
            "whole": state.whole,
            "unreplayed": state.unreplayed,
            "received_at_ms": at_ms,
        },
    )


def hash_at(connection: sa.Connection, state: Journal, n: int) -> bytes | None:
    """Return the chain's hash at number n; None when the ledger does not know it."""
    if n == 0:
        return genesis(state.reader, JournalId(state.journal))
    if n == state.seen and state.seen_hash is not None:
        return state.seen_hash
    if n > state.seen:
        return None
    here = (entry.c.journal_id == state.id, entry.c.n == n)
    found = connection.scalar(sa.select(entry.c.hash).where(*here))
    if found is None:
        after = (quarantine.c.journal_id == state.id, quarantine.c.last == n)
        found = connection.scalar(sa.select(quarantine.c.hash).where(*after).limit(1))
    return found


def claim(connection: sa.Connection, reader: str, name: str, n: int, at_ms: int) -> None:
    """Note that the reader says it has written `n` entries of a journal."""
    state = open_journal(connection, reader, name, at_ms)
    if n > state.claimed:
        connection.execute(
            journal.update()
            .where(journal.c.id == state.id)
            .values(claimed=n, whole=_with_claim(state, n))
        )


def _with_claim(state: Journal, n: int) -> bool:
    state.claimed = n
    return state.whole


def begin(connection: sa.Connection, state: Journal, start: Start, at_ms: int) -> None:
    """Take in the first entry of a journal: what came before it, and what that tells."""
    former = start.former
    state.former_journal = former.journal if former else None
    state.former_n = former.n if former else None
    connection.execute(
        journal.update().where(journal.c.id == state.id),
        {
            "former_journal": state.former_journal,
            "former_n": state.former_n,
            "former_tip": former.tip if former else None,
            "started_at_ms": start.at_ms,
            "agent": start.agent,
        },
    )
    others = connection.execute(
        sa.select(journal.c.id, journal.c.journal, journal.c.former_journal).where(
            journal.c.reader == state.reader, journal.c.id != state.id
        )
    ).all()
    if former is None:
        if others and not any(other.former_journal == state.journal for other in others):
            _sound(connection, AlarmKind.HISTORY_LOST, state, state.journal, "", at_ms)
    else:
        if any(other.former_journal == former.journal for other in others):
            _sound(connection, AlarmKind.FORK, state, former.journal, state.journal, at_ms)
        _leave(connection, state, start, at_ms)
    _supersede(connection, state, others, start.at_ms)


def _leave(connection: sa.Connection, state: Journal, start: Start, at_ms: int) -> None:
    """Compare what the reader remembers of its former journal with what the ledger has."""
    former = start.former
    if former is None:
        return
    known = open_journal(connection, state.reader, former.journal, at_ms)
    told = hash_at(connection, known, former.n)
    if known.seen > former.n:
        detail = f"{former.journal}: reader {former.n}, ledger {known.seen}"
        _sound(connection, AlarmKind.ROLLED_BACK, state, state.journal, detail, at_ms)
    elif told is not None and told != former.tip:
        detail = f"{former.journal}: other tip at {former.n}"
        _sound(connection, AlarmKind.ROLLED_BACK, state, state.journal, detail, at_ms)
    known.claimed = max(known.claimed, former.n)
    known.superseded = True
    connection.execute(
        journal.update()
        .where(journal.c.id == known.id)
        .values(claimed=known.claimed, superseded=True, whole=known.whole)
    )


def _supersede(
    connection: sa.Connection, state: Journal, others: Sequence[AnyRow], started_at_ms: int
) -> None:
    """A reader writes one journal at a time: those begun before this one will not go on.

    When another journal already follows this one, this is the old one that came late.
    """
    if any(other.former_journal == state.journal for other in others):
        state.superseded = True
        return
    rows = connection.execute(
        sa.select(*_STATE).where(
            journal.c.id.in_([other.id for other in others]),
            journal.c.superseded.is_(sa.false()),
            sa.func.coalesce(journal.c.started_at_ms, 0) <= started_at_ms,
        )
    ).all()
    for row in rows:
        other = _journal(row)
        other.superseded = True
        connection.execute(
            journal.update()
            .where(journal.c.id == other.id)
            .values(superseded=True, whole=other.whole)
        )


def goes_on_too_long(connection: sa.Connection, state: Journal, last: int) -> bool:
    """True when the journal goes on behind the number at which the reader said it had ended."""
    if not state.superseded:
        return False
    ended = connection.scalar(
        sa.select(sa.func.min(journal.c.former_n)).where(
            journal.c.reader == state.reader, journal.c.former_journal == state.journal
        )
    )
    return ended is not None and last > ended


def history_is_whole(connection: sa.Connection, state: Journal) -> bool:
    """True when the ledger has the journal before this one just as the reader remembers it."""
    if state.former_journal is None:
        return True
    found = connection.execute(
        sa.select(journal.c.through, journal.c.seen).where(
            journal.c.reader == state.reader, journal.c.journal == state.former_journal
        )
    ).one_or_none()
    return found is not None and found.through == found.seen == state.former_n


def _sound(
    connection: sa.Connection,
    kind: AlarmKind,
    state: Journal,
    subject: str,
    detail: str,
    at_ms: int,
) -> None:
    sound(connection, kind, subject, state.reader, detail, at_ms)


def reader_of(connection: sa.Connection, journal_id: int) -> str:
    """Return the full name of the reader that wrote a journal."""
    found = connection.scalar(sa.select(journal.c.reader).where(journal.c.id == journal_id))
    return str(found)
