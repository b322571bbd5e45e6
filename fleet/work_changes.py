"""Of which days something has changed since their lists were signed.

Rules: what the office changes says so itself (`work_acts.touch`); what readers sent since the last
look is found by the ledger's order of commit, whatever day it is of; a step of a clock and the
first comparison of a clock with the fleet's change the days of all marks before it in that journal;
in another life of the ledger, after a restore, everything is looked at again; members whose cards
or days have changed are looked at for some weeks back. Days that are not over are left alone.
"""

import datetime
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import ledger, work_records
from fleet.schema import (
    entry,
    programme_revision,
    work_change,
    work_list,
    work_listed,
)
from fleet.work_retention import oldest_kept
from fleet.work_terms import store_some
from programmes import attendance
from programmes.calendar import local_day
from wire.clock import ClockState
from wire.entries import Answer, ClockStep, EntryRefused, decode

REVISED_DAYS: Final = 40
"""How far back days are looked at when members have changed: a card that was exchanged yesterday
has been somebody else's for so long at most."""
REVISED_EVERY_MS: Final = 3_600_000
"""Members change all day in April; a look at so many days takes seconds."""
POSITIONS_AT_ONCE: Final = 100_000
"""Of the ledger, looked at in one go: after an upgrade or a restore it is looked at whole."""
SETTLED_MS: Final = 60_000
"""Positions are given before their commit, and no transaction takes so long (`fleet.postgres`)."""
_ONE_DAY: Final = datetime.timedelta(days=1)


class Known(NamedTuple):
    """How far the lists know the ledger, the members and the calendar."""

    epoch: str = ""
    position: int = 0
    revision: int = 0
    day: datetime.date | None = None
    """The last day that was over; None before the first look."""


class Due(NamedTuple):
    """What is to be looked at, and what is known when that is done."""

    days: frozenset[datetime.date]
    changes: tuple[int, ...]
    known: Known
    is_all: bool
    """False when the ledger has more, to be looked at next."""

    def is_new(self, before: Known) -> bool:
        """True when there is something to be remembered."""
        return bool(self.changes) or self.known != before


def known(fleet: sa.Connection, people: sa.Connection) -> Known:
    """Return what the lists know; of another life of the ledger, nothing."""
    row = people.execute(sa.select(work_listed)).one_or_none()
    epoch = ledger.epoch(fleet) or ""
    return Known(*row) if row is not None and row.epoch == epoch else Known(epoch)


def due(
    fleet: sa.Connection,
    people: sa.Connection,
    before: Known,
    at_ms: int,
    *,
    revised: bool,
    at_once: int = POSITIONS_AT_ONCE,
) -> Due:
    """Return of which days lists are to be looked at now.

    `revised`: also because members have changed; `at_once`: so many positions of the ledger.
    """
    yesterday = work_records.today(fleet, at_ms) - _ONE_DAY
    changes = people.execute(sa.select(work_change)).all()
    days = {day for row in changes for day in _between(row.first, row.last)}
    days |= _ended(people, before.day, yesterday)
    settled = _settled(fleet, at_ms)
    position = min(settled, before.position + at_once)
    days |= _arrived(fleet, before.position, position)
    revision = before.revision
    if revised:
        mine = programme_revision.c.programme == attendance.NAME
        revision = people.scalar(sa.select(programme_revision.c.revision).where(mine)) or 0
        if revision != before.revision:
            first = yesterday - REVISED_DAYS * _ONE_DAY
            listed = people.scalar(sa.select(sa.func.min(work_list.c.day))) or yesterday
            days |= set(_between(max(first, listed), yesterday))
    oldest = oldest_kept(people, at_ms)
    over = frozenset(day for day in days if oldest <= day <= yesterday)
    now = Known(before.epoch, position, revision, yesterday)
    return Due(over, tuple(row.id for row in changes), now, position >= settled)


def _between(first: datetime.date, last: datetime.date) -> Iterator[datetime.date]:
    while first <= last:
        yield first
        first += _ONE_DAY


def _ended(
    people: sa.Connection, seen: datetime.date | None, yesterday: datetime.date
) -> set[datetime.date]:
    """Return the days that came to their end since the last look, whatever lists there are.

    Where nothing is known, those since the last list, or yesterday alone. A clock that was in the
    future and went back has lists of days that are still to end.
    """
    if seen is None:
        seen = people.scalar(sa.select(sa.func.max(work_list.c.day))) or yesterday - _ONE_DAY
    return set(_between(seen + _ONE_DAY, yesterday))


def _settled(fleet: sa.Connection, at_ms: int) -> int:
    """Return the position up to which nothing can be committed any more."""
    wanted = sa.select(entry.c.position).where(entry.c.received_at_ms <= at_ms - SETTLED_MS)
    return fleet.scalar(wanted.order_by(entry.c.position.desc()).limit(1)) or 0


# --- what readers sent ---------------------------------------------------------------------------


def _arrived(fleet: sa.Connection, after: int, through: int) -> set[datetime.date]:
    """Return the days of what was committed after one position and through another."""
    new = (entry.c.position > after, entry.c.position <= through)
    ours = entry.c.programme == attendance.NAME
    rows = fleet.execute(
        sa.select(
            entry.c.journal_id,
            entry.c.n,
            entry.c.at_ms,
            entry.c.received_at_ms,
            entry.c.clock,
            sa.case((entry.c.kind.in_(("clock", "answer")), entry.c.body)),
        ).where(*new, sa.or_(ours, entry.c.kind == "clock"))
    ).all()
    found: set[datetime.date] = set()
    journals: set[int] = set()
    steps: list[tuple[int, int, int]] = []
    for journal_id, n, at_ms, received_ms, clock, body in rows:
        found |= _near(at_ms)
        journals.add(journal_id)
        if clock == ClockState.UNKNOWN.value:
            found |= _near(received_ms)
        one = _decoded(body)
        if isinstance(one, Answer):
            found.add(one.day)
        elif isinstance(one, ClockStep):
            steps.append((journal_id, n, one.step_ms))
    return found | _unsure(fleet, journals) | _moved(fleet, steps)


def _near(at_ms: int) -> set[datetime.date]:
    """Return the days to which an instant may belong: a day begins by noon."""
    day = local_day(at_ms)
    return {day, day - _ONE_DAY}


def _decoded(body: bytes | None) -> object:
    try:
        return None if body is None else decode(body)
    except EntryRefused:
        return None


def _unsure(fleet: sa.Connection, journals: Iterable[int]) -> set[datetime.date]:
    """Return the days of marks that may be surer now than before."""
    found: set[datetime.date] = set()
    for some in store_some(set(journals)):
        rows = fleet.execute(
            sa.select(entry.c.at_ms, entry.c.received_at_ms).where(
                entry.c.journal_id.in_(some),
                entry.c.programme == attendance.NAME,
                entry.c.clock != ClockState.SYNCHRONISED.value,
            )
        )
        for at_ms, received_ms in rows:
            found |= _near(at_ms) | _near(received_ms)
    return found


def _moved(fleet: sa.Connection, steps: Iterable[tuple[int, int, int]]) -> set[datetime.date]:
    """Return the days of marks that steps of their clock have moved, before and after."""
    found: set[datetime.date] = set()
    for journal_id, n, step_ms in steps:
        rows = fleet.scalars(
            sa.select(entry.c.at_ms).where(
                entry.c.journal_id == journal_id,
                entry.c.n < n,
                entry.c.programme == attendance.NAME,
            )
        )
        for at_ms in rows:
            found |= _near(at_ms) | _near(max(0, at_ms + step_ms))
    return found
