"""A vehicle's reader that died with entries that were never sent: what is missing, and its end.

Rules: what is missing follows from the numbers that the ledger has and those that the reader said
it had written; nothing is written off while the reader is still heard; a person does it with a
reason, number by number of what is missing now; what turns up afterwards is taken in all the same,
since no entry stands under its number, and a ride that was entered by hand meanwhile is listed as
a pair (fleet.vehicles_check).
"""

from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import gaps, store
from fleet.gaps import GapRefused, Span
from fleet.schema import gap, journal, reader, reader_state, ride
from fleet.store import AnyRow

QUIET_MS: Final = 24 * 3_600_000
"""A reader that was heard since is not dead: it sends what it holds by itself."""
JOURNALS_MAX: Final = 100
"""Looked at of one vehicle, the newest: a reader begins one a day."""
BROKEN: Final = "tablet-broken"
"""How `ride.why` begins of what was entered because the reader was out of order."""


class Lost(NamedTuple):
    """A journal of which numbers are missing."""

    journal_id: int
    reader: str
    last_n: int
    """The last number that the ledger has, and when an entry last came."""
    received_at_ms: int
    claimed: int
    """The last that the reader said it had written."""
    missing: int


class ByHand(NamedTuple):
    """A ride that was entered in the place of one that is missing."""

    id: int
    boarded_at_ms: int
    fare_yen: int
    subsidy_yen: int


def _holes(row: AnyRow) -> list[Span]:
    spans = [(first, last) for first, last in row.spans]
    return gaps.missing(spans, 1, max(row.seen, row.claimed))


def find(connection: sa.Connection, vehicle: str) -> list[Lost]:
    """Return the journals of a vehicle's readers that lack something, the newest first."""
    rows = connection.execute(
        sa.select(journal)
        .join(reader, reader.c.name == journal.c.reader)
        .where(reader.c.place == vehicle)
        .order_by(journal.c.received_at_ms.desc(), journal.c.id.desc())
        .limit(JOURNALS_MAX)
    ).all()
    declared = _open_gaps(connection, [row.id for row in rows])
    found = []
    for row in rows:
        missing = gaps.size(_holes(row)) + declared.get(row.id, 0)
        if missing:
            told = (row.seen, row.received_at_ms, max(row.seen, row.claimed), missing)
            found.append(Lost(row.id, row.reader, *told))
    return found


def _open_gaps(connection: sa.Connection, journals: list[int]) -> dict[int, int]:
    """Return how many numbers each journal's reader has said that it lost for good."""
    rows = connection.execute(
        sa.select(gap.c.journal_id, sa.func.sum(gap.c.missing))
        .where(
            gap.c.journal_id.in_(journals),
            gap.c.closed_at_ms.is_(None),
            gap.c.cause == "declared-lost",
        )
        .group_by(gap.c.journal_id)
    )
    return {journal_id: int(missing) for journal_id, missing in rows}


def heard_ms(connection: sa.Connection, vehicle: str) -> int | None:
    """Return when a reader of this vehicle was last heard; None for never."""
    heard: int | None = connection.scalar(
        sa.select(sa.func.max(reader_state.c.received_at_ms))
        .join(reader, reader.c.name == reader_state.c.reader)
        .where(reader.c.place == vehicle)
    )
    return heard


def by_hand(connection: sa.Connection, vehicle: str, since_ms: int) -> list[ByHand]:
    """Return what was entered for a vehicle whose reader was out of order, the newest first."""
    later = sa.alias(ride, "later")
    rows = connection.execute(
        sa.select(ride.c.id, ride.c.boarded_at_ms, ride.c.fare_yen, ride.c.subsidy_yen)
        .where(
            ride.c.place == vehicle,
            ride.c.booked_at_ms >= since_ms,
            ride.c.journal_id.is_(None),
            ride.c.kind == "ride",
            ride.c.why.startswith(BROKEN),
            ~sa.exists().where(later.c.of_id == ride.c.id),
        )
        .order_by(ride.c.boarded_at_ms.desc())
        .limit(JOURNALS_MAX)
    )
    return [ByHand(*row) for row in rows]


def is_quiet(connection: sa.Connection, name: str, at_ms: int) -> bool:
    """True for a reader that has not been heard for QUIET_MS."""
    columns = (reader_state.c.online, reader_state.c.received_at_ms)
    told = sa.select(*columns).where(reader_state.c.reader == name)
    row = connection.execute(told).one_or_none()
    return row is None or (not row.online and at_ms - row.received_at_ms >= QUIET_MS)


def write_off(
    connection: sa.Connection, vehicle: str, journal_id: int, who: str, why: str, at_ms: int
) -> int:
    """Write off what a journal of this vehicle lacks; return how many numbers. Raises GapRefused.

    Also raises IndividualNumberRefused for the reason.
    """
    wanted = sa.select(journal).join(reader, reader.c.name == journal.c.reader)
    row = connection.execute(
        wanted.where(journal.c.id == journal_id, reader.c.place == vehicle)
    ).one_or_none()
    if row is None:
        raise GapRefused("no journal of this vehicle has this number")
    if not is_quiet(connection, row.reader, at_ms):
        raise GapRefused("this reader is still heard: it sends what it holds by itself")
    store.lock(connection, "reader", [row.reader])
    closed = 0
    here = (gap.c.journal_id == journal_id, gap.c.closed_at_ms.is_(None))
    for number, missing in connection.execute(
        sa.select(gap.c.id, gap.c.missing).where(*here)
    ).all():
        gaps.write_off(connection, number, who, why, at_ms)
        closed += missing
    for first, last in _holes(_again(connection, journal_id)):
        missing = last - first + 1
        opened = {"journal_id": journal_id, "first": first, "last": last, "missing": missing}
        opened |= {"opened_at_ms": at_ms}
        added = connection.execute(gap.insert().values(cause="not-arrived", **opened))
        gaps.write_off(connection, store.new_id(added), who, why, at_ms)
        closed += missing
    if not closed:
        raise GapRefused("nothing of this journal is missing any more")
    return closed


def _again(connection: sa.Connection, journal_id: int) -> AnyRow:
    return connection.execute(sa.select(journal).where(journal.c.id == journal_id)).one()
