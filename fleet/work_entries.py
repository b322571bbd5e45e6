"""What is declared beside the marks: duty elsewhere, work at home, study, leave, breaks, trips.

Rules: an entry holds at once, since a person's own word needs no reader; it belongs to the day of
work in which it begins; it is never changed, another row says that it counts no more; breaks of a
day stand in the place of the scheduled ones, all together, and `no-break` says that there was none;
a closed month takes none.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import sqlalchemy as sa

from fleet import store, work_terms
from fleet.schema import work_entry, work_objection
from fleet.work_acts import Act, WorkRefused, member_of, note, require_day, require_text, touch
from fleet.work_closed import require_open
from programmes.calendar import local_day
from programmes.spans import Span
from programmes.work_day_rules import DayRules, Trip
from programmes.work_hours import Entry, Kind

DeclaredKind = Literal[Kind, "break", "no-break", "trip"]
OF_A_DAY_MAX: Final = 20
"""Entries of one day: duty in three places, five breaks, and mistakes that were withdrawn."""
HOURS_MAX: Final = 24
"""Of one entry, but a trip."""
TRIP_DAYS_MAX: Final = 14
"""A school's longest journeys take a week."""
AHEAD_DAYS_MAX: Final = 100
"""Leave of the summer is entered in spring."""
_HOUR_MS: Final = 3_600_000


class Said(NamedTuple):
    """An objection to an entry that somebody else made, or the answer to it."""

    kind: Literal["contest", "answer"]
    why: str
    at_ms: int
    who: str


class Declared(NamedTuple):
    """One entry, as it was written down."""

    id: int
    member_id: int
    day: datetime.date
    kind: DeclaredKind
    from_ms: int
    to_ms: int
    note: str
    at_ms: int
    who: str
    withdrawn_at_ms: int | None
    withdrawn_by: str
    withdrawn_why: str
    said: tuple[Said, ...] = ()
    """Objections and answers, oldest first (fleet.work_objections)."""

    @property
    def is_contested(self) -> bool:
        """True while the last word on it is the person's own objection."""
        return self.counts and bool(self.said) and self.said[-1].kind == "contest"

    @property
    def counts(self) -> bool:
        """True unless it was withdrawn."""
        return self.withdrawn_at_ms is None


class NewEntry(NamedTuple):
    """What is declared; `no-break` is of the day in which `from_ms` lies, and takes no time."""

    kind: DeclaredKind
    from_ms: int
    to_ms: int
    note: str = ""


def declare(connection: sa.Connection, act: Act, new: NewEntry, rules: DayRules) -> int:
    """Write an entry down and return its number. Raises WorkRefused, IndividualNumberRefused.

    `rules`: how days begin, as `work_records.day_rules` returns it.
    """
    row = member_of(connection, act.member_id)
    words = require_text(new.note, needed=False)
    _check(new)
    day, last = rules.day_of(new.from_ms), rules.day_of(max(new.from_ms, new.to_ms - 1))
    require_day(day, act.at_ms, ahead=AHEAD_DAYS_MAX)
    _require_open(connection, act.member_id, day, last)
    of_day = of_members(connection, [act.member_id], day, day)[act.member_id]
    if len(of_day) >= OF_A_DAY_MAX:
        raise WorkRefused("many", limit=OF_A_DAY_MAX)
    if any(one.counts and _meet(one, new) for one in of_day):
        raise WorkRefused("entry-twice")
    added = connection.execute(
        work_entry.insert().values(
            member_id=act.member_id,
            day=day,
            kind=new.kind,
            from_ms=new.from_ms,
            to_ms=new.to_ms,
            note=words,
            at_ms=act.at_ms,
            who=act.who,
        )
    )
    touch(connection, day, last)
    note(connection, act, row.registration_number, "work.entry-added", f"{day} {new.kind}")
    return store.new_id(added)


def withdraw(connection: sa.Connection, act: Act, entry_id: int) -> None:
    """Let an entry count no more. Raises WorkRefused, IndividualNumberRefused."""
    row = member_of(connection, act.member_id)
    why = require_text(act.why)
    one = load(connection, act.member_id, entry_id)
    if one is None or not one.counts:
        raise WorkRefused("entry-gone")
    last = max(one.day, local_day(one.to_ms))
    _require_open(connection, act.member_id, one.day, last)
    values = one._asdict() | {"kind": "withdrawn", "note": why, "withdraws": one.id}
    values |= {"at_ms": act.at_ms, "who": act.who}
    kept = {name: value for name, value in values.items() if name in work_entry.c and name != "id"}
    try:
        connection.execute(work_entry.insert().values(kept))
    except sa.exc.IntegrityError as error:
        raise WorkRefused("entry-gone") from error
    touch(connection, one.day, last)
    detail = f"{one.day} {one.kind}"
    note(connection, act, row.registration_number, "work.entry-withdrawn", detail)


def _check(new: NewEntry) -> None:
    if new.kind not in get_args(Kind) and new.kind not in ("break", "no-break", "trip"):
        raise WorkRefused("entry-kind")
    if new.kind == "no-break":
        if new.to_ms != new.from_ms:
            raise WorkRefused("entry-times")
        return
    hours = TRIP_DAYS_MAX * 24 if new.kind == "trip" else HOURS_MAX
    if not 0 < new.to_ms - new.from_ms <= hours * _HOUR_MS:
        raise WorkRefused("entry-length", hours=hours)


def _meet(one: Declared, new: NewEntry) -> bool:
    """True for the same again: a form that was sent twice, or one that lies over it."""
    if one.kind != new.kind:
        return {one.kind, new.kind} == {"break", "no-break"}
    return one.kind == "no-break" or (one.from_ms < new.to_ms and new.from_ms < one.to_ms)


def _require_open(
    connection: sa.Connection, member_id: int, first: datetime.date, last: datetime.date
) -> None:
    enrolled = work_terms.of_members(connection, [member_id])[member_id]
    require_open(connection, enrolled.organisations(first, last))


# --- reading -------------------------------------------------------------------------------------


def of_members(
    connection: sa.Connection, members: Collection[int], first: datetime.date, last: datetime.date
) -> dict[int, tuple[Declared, ...]]:
    """Return the entries that begin on days from one to another, withdrawn ones too, by member."""
    found: dict[int, list[Declared]] = defaultdict(list)
    for some in work_terms.store_some(members):
        mine = work_entry.c.member_id.in_(some)
        days = work_entry.c.day.between(first, last)
        for one in _load(connection, mine, days):
            found[one.member_id].append(one)
    return {one: tuple(found[one]) for one in members}


def load(connection: sa.Connection, member_id: int, entry_id: int) -> Declared | None:
    """Return one entry of a member; None when it has none of this number."""
    mine = work_entry.c.member_id == member_id
    return next(iter(_load(connection, mine, work_entry.c.id == entry_id)), None)


def _load(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Declared]:
    back = work_entry.alias("back")
    rows: Iterable[Any] = connection.execute(
        sa.select(
            *(work_entry.c[name] for name in Declared._fields[:9]),
            back.c.at_ms,
            sa.func.coalesce(back.c.who, ""),
            sa.func.coalesce(back.c.note, ""),
        )
        .select_from(work_entry.outerjoin(back, back.c.withdraws == work_entry.c.id))
        .where(work_entry.c.withdraws.is_(None), *where)
        .order_by(work_entry.c.from_ms, work_entry.c.id)
    )
    found = [Declared(*row) for row in rows]
    said = _said(connection, [one.id for one in found])
    return [one._replace(said=tuple(said[one.id])) for one in found]


def _said(connection: sa.Connection, entries: Collection[int]) -> dict[int, list[Said]]:
    found: dict[int, list[Said]] = {one: [] for one in entries}
    for some in work_terms.store_some(entries):
        rows = connection.execute(
            sa.select(work_objection.c.entry_id, *(work_objection.c[n] for n in Said._fields))
            .where(work_objection.c.entry_id.in_(some))
            .order_by(work_objection.c.id)
        )
        for entry_id, *said in rows:
            found[entry_id].append(Said(*said))
    return found


def counted(entries: Iterable[Declared]) -> tuple[Entry, ...]:
    """Return what counts of them as the programme's rules take it."""
    return tuple(
        Entry(one.kind, one.from_ms, one.to_ms)  # type: ignore[arg-type]  # narrowed by the set
        for one in entries
        if one.counts and one.kind in get_args(Kind)
    )


def breaks(entries: Iterable[Declared]) -> dict[datetime.date, tuple[Span, ...]]:
    """Return the breaks of days on which they were others than scheduled."""
    found: dict[datetime.date, list[Span]] = defaultdict(list)
    for one in entries:
        if one.counts and one.kind in ("break", "no-break"):
            found[one.day] += [(one.from_ms, one.to_ms)] if one.kind == "break" else []
    return {day: tuple(spans) for day, spans in found.items()}


def trips(entries: Sequence[Declared]) -> tuple[Trip, ...]:
    """Return the trips over night."""
    return tuple(
        Trip(one.from_ms, one.to_ms) for one in entries if one.counts and one.kind == "trip"
    )
