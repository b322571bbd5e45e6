"""What needs a person's attention: once for each kind and subject, counted, cleared by a person."""

import enum

import sqlalchemy as sa

from fleet import audit, store
from fleet.schema import alarm

DETAIL_MAX = 200
"""Characters of an alarm's detail; the whole bytes stand in quarantine or conflict."""


class AlarmKind(enum.StrEnum):
    """What happened; the sentences stand in `locale/` as `alarm.<kind>`."""

    GAP = "gap"
    """Numbers are missing; the subject is the gap."""
    CONFLICT = "conflict"
    """Other bytes for an entry that the ledger has; the subject is journal/number."""
    FORK = "fork"
    """Two journals follow the same one: a copied disk; the subject is the former journal."""
    ROLLED_BACK = "rolled-back"
    """The reader knows less of its journal than the ledger: an old image; subject: new journal."""
    OLD_JOURNAL = "old-journal"
    """A journal goes on after the reader left it behind: two of one identity; subject: journal."""
    HISTORY_LOST = "history-lost"
    """A reader with a past starts without one: a new disk; the subject is the new journal."""
    QUARANTINE = "quarantine"
    """Something could not be read or verified; the subject is the reader."""
    REPLAY = "replay"
    """A decision could not be repeated from what it rested on; the subject is the reader."""
    OPENED = "opened"
    """The lid of a reader's box was opened; the subject is the reader."""
    BROKER_DROPPED = "broker-dropped"
    """The broker dropped messages: its limits are too small; readers send again. One subject."""


class AlarmRefused(ValueError):
    """There is no such alarm to clear."""


def sound(
    connection: sa.Connection,
    kind: AlarmKind,
    subject: str,
    reader: str | None,
    detail: str,
    at_ms: int,
) -> None:
    """Raise an alarm, or count it up; one that was cleared opens again."""
    row = {
        "kind": kind.value,
        "subject": subject,
        "reader": reader,
        "detail": detail[:DETAIL_MAX],
        "first_at_ms": at_ms,
        "last_at_ms": at_ms,
        "count": 1,
        "cleared_at_ms": None,
        "cleared_by": None,
        "why": None,
    }
    last = ["detail", "last_at_ms", "cleared_at_ms", "cleared_by", "why"]
    store.upsert(connection, alarm, [row], key=["kind", "subject"], add=["count"], replace=last)


def settle(connection: sa.Connection, kind: AlarmKind, subject: str, at_ms: int) -> None:
    """Clear an alarm whose reason is gone by itself."""
    connection.execute(
        alarm.update()
        .where(alarm.c.kind == kind.value, alarm.c.subject == subject)
        .values(cleared_at_ms=at_ms, cleared_by="ingest", why="")
    )


def clear(connection: sa.Connection, alarm_id: int, who: str, why: str, at_ms: int) -> None:
    """Clear an alarm by a person's word. Raises AlarmRefused."""
    done = connection.execute(
        alarm.update()
        .where(alarm.c.id == alarm_id, alarm.c.cleared_at_ms.is_(None))
        .values(cleared_at_ms=at_ms, cleared_by=who, why=why)
    )
    if not done.rowcount:
        raise AlarmRefused(f"no open alarm has the number {alarm_id}")
    audit.note(connection, at_ms, who, "alarm.cleared", str(alarm_id), why)
