"""What is missing, as pure functions on spans, and as rows that people see and close.

A span is a pair [first, last] of numbers that are accounted for; a journal's spans are sorted,
disjoint and never touch. Nothing here walks through numbers: a declared loss of a million costs
as much as one of two.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, store
from fleet.schema import alarm, entry, gap, journal
from fleet.store import AnyRow
from wire.individual_number import refuse_individual_number

GAP_AFTER_S: Final = 60
"""How long a hole may stand before it is called a gap: 15 retries of a reader's uplink."""
SPANS_MAX: Final = 64
"""Spans of one journal: a reader sends in order, so more than a few mean that it is not ours."""

Span = tuple[int, int]


class GapRefused(ValueError):
    """This gap cannot be written off; the sentence says why."""


# --- spans ---------------------------------------------------------------------------------------


def add(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """Return the spans with [first, last] accounted for too."""
    if last < first:
        return list(spans)
    before = [span for span in spans if span[1] < first - 1]
    after = [span for span in spans if span[0] > last + 1]
    touched = spans[len(before) : len(spans) - len(after)]
    low = min([first, *(span[0] for span in touched)])
    high = max([last, *(span[1] for span in touched)])
    return [*before, (low, high), *after]


def through(spans: Sequence[Span]) -> int:
    """Return the number up to which everything is accounted for, 0 for none."""
    return spans[0][1] if spans and spans[0][0] == 1 else 0


def seen(spans: Sequence[Span]) -> int:
    """Return the greatest number that is accounted for, 0 for none."""
    return spans[-1][1] if spans else 0


def missing(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """Return the holes between `first` and `last`, both included, in order."""
    holes: list[Span] = []
    start = first
    for low, high in spans:
        if high < start:
            continue
        if low > last:
            break
        if low > start:
            holes.append((start, low - 1))
        start = high + 1
    if start <= last:
        holes.append((start, last))
    return holes


def size(spans: Iterable[Span]) -> int:
    """Return how many numbers these spans hold."""
    return sum(last - first + 1 for first, last in spans)


class HoleClock:
    """How long each hole has stood open, by the monotonic clock; forgets those that closed."""

    def __init__(self) -> None:
        self._since: dict[tuple[int, Span], int] = {}

    def due(self, holes: Iterable[tuple[int, Span]], now_ns: int) -> list[tuple[int, Span]]:
        """Return those of the (journal id, hole) given now that are GAP_AFTER_S old."""
        self._since = {hole: self._since.get(hole, now_ns) for hole in holes}
        limit_ns = GAP_AFTER_S * 1_000_000_000
        return [hole for hole, since in self._since.items() if now_ns - since >= limit_ns]


# --- rows ----------------------------------------------------------------------------------------


class Gap(NamedTuple):
    """One gap as people see it."""

    id: int
    reader: str
    journal: str
    first: int
    last: int
    missing: int
    cause: str
    opened_at_ms: int
    closed_at_ms: int | None
    how: str | None
    closed_by: str | None
    why: str | None


def find(connection: sa.Connection, *, still_open: bool = True, limit: int = 200) -> list[Gap]:
    """Return gaps, the newest first; all of them or only those still open."""
    columns = [gap.c.id, journal.c.reader, journal.c.journal]
    columns += [gap.c[name] for name in Gap._fields[3:]]
    wanted = sa.select(*columns).join(journal, gap.c.journal_id == journal.c.id)
    if still_open:
        wanted = wanted.where(gap.c.closed_at_ms.is_(None))
    rows = connection.execute(wanted.order_by(gap.c.id.desc()).limit(limit))
    return [Gap(*row) for row in rows]


def open_holes(connection: sa.Connection) -> list[tuple[int, Span]]:
    """Return the holes of all journals that no open gap names yet.

    Of a journal that goes on, up to what was seen; of one that the reader has left behind, up to
    what the reader said that it wrote.
    """
    rows = connection.execute(
        sa.select(
            journal.c.id, journal.c.spans, journal.c.seen, journal.c.claimed, journal.c.superseded
        ).where(journal.c.whole.is_(sa.false()))
    ).all()
    named = _named(connection, [row.id for row in rows])
    holes: list[tuple[int, Span]] = []
    for row in rows:
        spans = [(first, last) for first, last in row.spans]
        for first, last in named.get(row.id, ()):
            spans = add(spans, first, last)
        end = max(row.seen, row.claimed) if row.superseded else row.seen
        holes += [(row.id, hole) for hole in missing(spans, 1, end)]
    return holes


def _named(connection: sa.Connection, journals: Sequence[int]) -> dict[int, list[Span]]:
    found: dict[int, list[Span]] = {}
    if journals:
        open_gaps = sa.select(gap.c.journal_id, gap.c.first, gap.c.last).where(
            gap.c.closed_at_ms.is_(None)
        )
        for row in connection.execute(open_gaps):
            found.setdefault(row.journal_id, []).append((row.first, row.last))
    return found


def fill(
    connection: sa.Connection, journal_id: int, spans: Sequence[Span], at_ms: int
) -> list[int]:
    """Count again what the open gaps of a journal miss; return the ids of those that closed."""
    closed: list[int] = []
    rows = connection.execute(
        sa.select(gap).where(gap.c.journal_id == journal_id, gap.c.closed_at_ms.is_(None))
    ).all()
    for row in rows:
        if row.cause == "declared-lost":
            left = row.last - row.first + 1 - _entries(connection, row)
        else:
            left = size(missing(spans, row.first, row.last))
        if left == row.missing:
            continue
        change: dict[str, object] = {"missing": left}
        if left == 0:
            how = "declared-lost" if _declared(connection, row) else "filled"
            change |= {"closed_at_ms": at_ms, "how": how}
            closed.append(row.id)
        connection.execute(gap.update().where(gap.c.id == row.id), change)
    return closed


def _entries(connection: sa.Connection, row: AnyRow) -> int:
    inside = entry.c.n.between(row.first, row.last)
    count = sa.select(sa.func.count(entry.c.n)).where(entry.c.journal_id == row.journal_id, inside)
    return connection.scalar(count) or 0


def _declared(connection: sa.Connection, row: AnyRow) -> bool:
    """True when another gap says that numbers of this one are lost for good."""
    return bool(
        connection.scalar(
            sa.select(sa.func.count(gap.c.id)).where(
                gap.c.journal_id == row.journal_id,
                gap.c.cause == "declared-lost",
                gap.c.id != row.id,
                gap.c.closed_at_ms.is_(None),
                gap.c.first <= row.last,
                gap.c.last >= row.first,
            )
        )
    )


def write_off(connection: sa.Connection, gap_id: int, who: str, why: str, at_ms: int) -> None:
    """Close a gap by a person's word: its numbers count as accounted for. Raises GapRefused."""
    if not why.strip() or not who.strip():
        raise GapRefused("a gap is written off by a person and with a reason")
    refuse_individual_number("why", why)
    of_gap = sa.select(journal.c.reader).join(gap, gap.c.journal_id == journal.c.id)
    reader = connection.scalar(of_gap.where(gap.c.id == gap_id))
    if reader is None:
        raise GapRefused(f"there is no gap {gap_id}")
    store.lock(connection, "reader", [reader])  # ingest moves the same marks
    row = connection.execute(sa.select(gap).where(gap.c.id == gap_id)).one()
    if row.closed_at_ms is not None:
        raise GapRefused(f"gap {gap_id} is closed already: {row.how}")
    connection.execute(
        gap.update().where(gap.c.id == gap_id),
        {"closed_at_ms": at_ms, "how": "written-off", "closed_by": who, "why": why},
    )
    columns = (journal.c.spans, journal.c.claimed, journal.c.superseded)
    marks = sa.select(*columns, journal.c.seen, journal.c.seen_hash)
    found = connection.execute(marks.where(journal.c.id == row.journal_id)).one()
    spans = add([(first, last) for first, last in found.spans], row.first, row.last)
    end = max(seen(spans), found.claimed) if found.superseded else seen(spans)
    connection.execute(
        journal.update().where(journal.c.id == row.journal_id),
        {
            "spans": spans,
            "through": through(spans),
            "seen": seen(spans),
            "seen_hash": found.seen_hash if found.seen == seen(spans) else None,
            "whole": not missing(spans, 1, end),
        },
    )
    connection.execute(
        alarm.update()
        .where(alarm.c.kind == "gap", alarm.c.subject == str(gap_id))
        .values(cleared_at_ms=at_ms, cleared_by=who, why=why)
    )
    audit.note(connection, at_ms, who, "gap.written-off", str(gap_id), why)
