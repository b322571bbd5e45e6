"""Readers as operators list them, read under the console's grant.

No person, no credential and no entry's bytes can be read here: the database refuses them to the
role that these queries run under. What is returned is frozen and compares equal when nothing
changed, so that live pages are told only of changes. Times are UTC ms, ages seconds.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fleet.schema import conflict, gap, journal, place, quarantine, reader, reader_state, roster
from wire.codes import Code

READERS_PER_PAGE: Final = 500
"""Rows of the readers' list and of its export: about 400 kB of page."""


TROUBLES: Final = frozenset(
    code.value for code in (Code.DEVICE_FAULT, Code.JOURNAL_FULL, Code.STALE, Code.CLOCK_UNKNOWN)
)
"""Why a reader cannot take taps at all; other codes are about one card."""


class ReaderState(enum.StrEnum):
    """How a reader is, in the order of how much it asks for a person."""

    NOT_READY = "not-ready"
    """It is connected and says that riders cannot tap."""
    OFFLINE = "offline"
    """It was connected before; it may well go on deciding by itself."""
    NEVER = "never"
    """It is in the registry and was never heard of."""
    READY = "ready"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class RosterAt:
    """One programme's roster at one reader, and the version that it should have (0: none built)."""

    programme: str
    version: int
    wanted: int
    age_s: int

    @property
    def late(self) -> bool:
        """True when a newer roster waits for this reader."""
        return self.version < self.wanted


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """One reader as the list shows it."""

    name: str
    place: str
    kind: str
    line: str
    label_ja: str
    label_en: str
    programmes: tuple[str, ...]
    state: ReaderState
    trouble: str
    ready: bool
    """What it said last, also when it is offline now."""
    since_ms: int | None
    """Online or offline since."""
    heard_ms: int | None
    waiting: int
    journal: str
    n: int
    agent: str
    front_end: str
    connections: int
    rosters: tuple[RosterAt, ...]
    reported_trouble: str
    gaps: int
    missing: int
    quarantined: int
    conflicts: int
    enrolled_ms: int
    revoked_ms: int | None
    revoked_why: str
    by_hour: bool
    """Too few members for its taps to be counted finer than by the hour (fleet.grain)."""

    @property
    def trouble_kind(self) -> str:
        """Its trouble, as far as operators have a sentence of their own for it; else `other`."""
        return self.trouble if self.trouble in TROUBLES else "other"

    @property
    def short(self) -> str:
        """The name without its tenant, as in addresses of pages."""
        return self.name.partition("/")[2]

    @property
    def late(self) -> bool:
        """True when a newer roster waits for this reader."""
        return any(held.late for held in self.rosters)

    @property
    def roster_age_s(self) -> int | None:
        """The age of its oldest roster, None without one."""
        return max((held.age_s for held in self.rosters), default=None)


STATE: Final = sa.case(
    (reader.c.revoked_at_ms.is_not(None), ReaderState.REVOKED.value),
    (reader_state.c.reader.is_(None), ReaderState.NEVER.value),
    (sa.not_(reader_state.c.online), ReaderState.OFFLINE.value),
    (sa.not_(reader_state.c.ready), ReaderState.NOT_READY.value),
    else_=ReaderState.READY.value,
)
"""A reader's state, as SQL; the one place where it is decided."""


_GAPS: Final = (
    sa.select(
        journal.c.reader,
        sa.func.count().label("count"),
        sa.func.sum(gap.c.missing).label("sum"),
    )
    .join(journal, journal.c.id == gap.c.journal_id)
    .where(gap.c.closed_at_ms.is_(None))
    .group_by(journal.c.reader)
    .subquery()
)
_CONFLICTS: Final = (
    sa.select(journal.c.reader, sa.func.count().label("count"))
    .select_from(conflict.join(journal, journal.c.id == conflict.c.journal_id))
    .group_by(journal.c.reader)
    .subquery()
)
_QUARANTINE: Final = (
    sa.select(quarantine.c.reader, sa.func.count().label("count"))
    .group_by(quarantine.c.reader)
    .subquery()
)
ROWS: Final = (
    sa.select(
        reader.c.name,
        reader.c.place,
        reader.c.enrolled_at_ms,
        reader.c.revoked_at_ms,
        reader.c.revoked_why,
        place.c.kind,
        place.c.line,
        place.c.label_ja,
        place.c.label_en,
        place.c.programmes,
        place.c.by_hour,
        STATE.label("state"),
        reader_state.c.trouble,
        reader_state.c.ready,
        reader_state.c.online_since_ms,
        reader_state.c.status_at_ms,
        reader_state.c.received_at_ms,
        reader_state.c.waiting,
        reader_state.c.journal,
        reader_state.c.n,
        reader_state.c.agent,
        reader_state.c.front_end,
        reader_state.c.connections,
        reader_state.c.rosters,
        reader_state.c.reported,
        sa.func.coalesce(_GAPS.c.count, 0).label("gaps"),
        sa.func.coalesce(_GAPS.c.sum, 0).label("missing"),
        sa.func.coalesce(_QUARANTINE.c.count, 0).label("quarantined"),
        sa.func.coalesce(_CONFLICTS.c.count, 0).label("conflicts"),
    )
    .select_from(reader)
    .join(place, place.c.name == reader.c.place)
    .outerjoin(reader_state, reader_state.c.reader == reader.c.name)
    .outerjoin(_GAPS, _GAPS.c.reader == reader.c.name)
    .outerjoin(_QUARANTINE, _QUARANTINE.c.reader == reader.c.name)
    .outerjoin(_CONFLICTS, _CONFLICTS.c.reader == reader.c.name)
)
"""One row a reader, ready for reader_row(); filter and sort it further."""


def wanted_rosters(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return the version wanted by programme and place."""
    newest = sa.select(roster.c.programme, roster.c.place, sa.func.max(roster.c.version))
    rows = connection.execute(newest.group_by(roster.c.programme, roster.c.place))
    return {(programme, where): version for programme, where, version in rows}


def reader_row(
    row: sa.Row[*tuple[Any, ...]], wanted: dict[tuple[str, str], int], now_ms: int
) -> ReaderRow:
    """Return a row of ROWS as it is shown.

    An offline reader's rosters have aged since, in whole minutes: a page is not told each second.
    """
    state = ReaderState(row.state)
    aged_s = 0
    if state is ReaderState.OFFLINE:
        aged_s = max(0, now_ms - row.received_at_ms) // 60_000 * 60
    held = {one["programme"]: one for one in row.rosters or []}
    rosters = tuple(
        RosterAt(
            programme,
            held[programme]["version"] if programme in held else 0,
            wanted.get((programme, row.place), 0),
            held[programme]["age_s"] + aged_s if programme in held else 0,
        )
        for programme in row.programmes
    )
    online = state in (ReaderState.READY, ReaderState.NOT_READY)
    return ReaderRow(
        name=row.name,
        place=row.place,
        kind=row.kind,
        line=row.line,
        label_ja=row.label_ja or row.place,
        label_en=row.label_en or row.place,
        programmes=tuple(row.programmes),
        state=state,
        trouble=row.trouble or "",
        ready=bool(row.ready),
        since_ms=row.online_since_ms if online else row.received_at_ms,
        heard_ms=row.received_at_ms,
        waiting=row.waiting or 0,
        journal=row.journal or "",
        n=row.n or 0,
        agent=row.agent or "",
        front_end=row.front_end or "",
        connections=row.connections or 0,
        rosters=rosters,
        reported_trouble=(row.reported or {}).get("trouble", ""),
        gaps=row.gaps,
        missing=row.missing,
        quarantined=row.quarantined,
        conflicts=row.conflicts,
        enrolled_ms=row.enrolled_at_ms,
        revoked_ms=row.revoked_at_ms,
        revoked_why=row.revoked_why,
        by_hour=bool(row.by_hour),
    )


@dataclass(frozen=True, slots=True)
class ReaderQuery:
    """What of the readers' list is wanted: what stands in the page's address."""

    search: str = ""
    state: str = ""
    kind: str = ""
    sort: str = "urgency"
    descending: bool = False
    page: int = 1


SORTS: Final[dict[str, Sequence[Any]]] = {
    "urgency": (ReaderState.NOT_READY.value != STATE, STATE, reader.c.name),
    "name": (reader.c.name,),
    "place": (place.c.kind, place.c.label_ja, reader.c.name),
    "heard": (sa.func.coalesce(reader_state.c.received_at_ms, 0), reader.c.name),
    "waiting": (sa.func.coalesce(reader_state.c.waiting, 0), reader.c.name),
    "gaps": (sa.func.coalesce(_GAPS.c.count, 0), reader.c.name),
}


def list_readers(
    connection: sa.Connection, query: ReaderQuery, now_ms: int
) -> tuple[int, list[ReaderRow]]:
    """Return how many readers there are for this query, and one page of them."""
    rows = ROWS
    if query.search:
        columns = (reader.c.name, place.c.label_ja, place.c.label_en, place.c.line)
        rows = rows.where(
            sa.or_(*(column.icontains(query.search, autoescape=True) for column in columns))
        )
    if query.state:
        rows = rows.where(STATE.in_([query.state]))
    if query.kind:
        rows = rows.where(place.c.kind == query.kind)
    total = connection.execute(
        sa.select(sa.func.count()).select_from(rows.order_by(None).subquery())
    ).scalar_one()
    first, *rest = SORTS[query.sort]
    order = [first.desc() if query.descending else first, *rest]
    found = connection.execute(
        rows.order_by(*order).limit(READERS_PER_PAGE).offset((query.page - 1) * READERS_PER_PAGE)
    ).all()
    wanted = wanted_rosters(connection)
    return total, [reader_row(row, wanted, now_ms) for row in found]


def find_reader(connection: sa.Connection, name: str, now_ms: int) -> ReaderRow | None:
    """Return one reader by its full name."""
    row = connection.execute(ROWS.where(reader.c.name == name)).one_or_none()
    return None if row is None else reader_row(row, wanted_rosters(connection), now_ms)
