"""Up to when a school's gates have told all that they know.

Rules: a gate that has nothing unsent has told everything up to its last word; one that has, up to
the last entry that follows all before it; one that was never heard nothing. A school knows no more
than the gate that has told least.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from fleet.schema import entry, journal, place, reader, reader_state
from programmes import attendance


class Gate(NamedTuple):
    """One reader at a school's entrance."""

    reader: str
    place: str
    label_ja: str
    label_en: str
    online: bool
    heard_ms: int | None
    """When it was heard last, by the fleet's clock."""
    waiting: int
    """Entries that it had not sent by then."""
    told_ms: int | None
    """Up to here nothing of it lacks; None when nothing is known."""


def of_school(connection: sa.Connection, organisation: str) -> list[Gate]:
    """Return the gates of a school, by place; of no school ('') none."""
    if not organisation:
        return []
    rows: Iterable[Any] = connection.execute(
        sa.select(
            *(reader.c.name, place.c.name, place.c.label_ja, place.c.label_en),
            *(place.c.programmes, reader_state.c.online, reader_state.c.received_at_ms),
            sa.func.coalesce(reader_state.c.waiting, 0),
        )
        .join(place, place.c.name == reader.c.place)
        .outerjoin(reader_state, reader_state.c.reader == reader.c.name)
        .where(place.c.organisation == organisation)
        .order_by(place.c.name, reader.c.name)
    )
    found = []
    for name, at, label_ja, label_en, programmes, online, heard_ms, waiting in rows:
        if attendance.NAME in programmes:
            told_ms = _whole_until(connection, name) if waiting else heard_ms
            found.append(
                Gate(name, at, label_ja, label_en, bool(online), heard_ms, waiting, told_ms)
            )
    return found


def schools(connection: sa.Connection) -> list[str]:
    """Return every organisation that has a place of attendance."""
    rows: Iterable[Any] = connection.execute(sa.select(place.c.organisation, place.c.programmes))
    return sorted({row.organisation for row in rows if attendance.NAME in row.programmes} - {""})


def _whole_until(connection: sa.Connection, name: str) -> int | None:
    """Return the time of the last entry before which none of its journal is missing."""
    newest = sa.select(journal.c.id, journal.c.through).where(journal.c.reader == name)
    row = connection.execute(newest.order_by(journal.c.id.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    mine = (entry.c.journal_id == row.id, entry.c.n == row.through)
    at_ms: int | None = connection.scalar(sa.select(entry.c.at_ms).where(*mine))
    return at_ms


def told_until(gates: Iterable[Gate]) -> int | None:
    """Return up to when all of these have told everything; None when that is not known."""
    times = [one.told_ms for one in gates]
    known = [ms for ms in times if ms is not None]
    return min(known) if known and len(known) == len(times) else None


def tips(connection: sa.Connection, organisation: str) -> list[tuple[int, int, int]]:
    """Return how far each journal of a school's gates has come: whatever arrives changes it."""
    rows = connection.execute(
        sa.select(journal.c.id, journal.c.through, journal.c.seen)
        .join(reader, reader.c.name == journal.c.reader)
        .join(place, place.c.name == reader.c.place)
        .where(place.c.organisation == organisation)
        .order_by(journal.c.id)
    )
    return [(row.id, row.through, row.seen) for row in rows]
