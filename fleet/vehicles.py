"""A transport company's vehicles as its office sees them: heard from when, who drives, what today.

Rules: a vehicle is a place of the company; what a reader still holds is what its last status said;
marks are judged from these facts alone and each says what to do; nothing here names a rider.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet.schema import entry, journal, place, reader, reader_state, ride
from programmes.calendar import local_day, start_of_day_ms
from wire.clock import ClockState
from wire.codes import Outcome
from wire.entries import Shift, decode

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
UNSENT_PATIENCE_MS: Final = 2 * HOUR_MS
"""A taxi in the hills is back sooner; after two hours with unsent rides somebody should call."""
SHIFT_LOOK_MS: Final = 2 * DAY_MS
"""How far back the beginning of a shift is looked for: the longest one, 隔日勤務, has 21 hours."""
_NUMBERS: Final = re.compile(r"\d+")


class Today(NamedTuple):
    """What a vehicle's rides of a day come to."""

    rides: int = 0
    fare_yen: int = 0
    subsidy_yen: int = 0


class OnShift(NamedTuple):
    """The driver who is on a vehicle, by the company's own number, and since when."""

    driver: str = ""
    since_ms: int = 0


NOTHING: Final = Today()
NOBODY: Final = OnShift()


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One line of the day's board."""

    place: str
    label_ja: str
    label_en: str
    reader: str = ""
    """Empty when no reader stands there."""
    online: bool = False
    heard_ms: int | None = None
    """By the fleet's clock; None when nothing ever came."""
    waiting: int = 0
    ready: bool = True
    trouble: str = ""
    agent: str = ""
    clock: str = ""
    """Of the newest entry (wire.clock.ClockState)."""
    shift: OnShift = NOBODY
    today: Today = NOTHING


class Mark(NamedTuple):
    """What asks for attention: `kind` names its words, `mark` its shape and colour."""

    kind: str
    mark: str


# --- who has vehicles ----------------------------------------------------------------------------


def companies(connection: sa.Connection, programme: str) -> list[str]:
    """Return the organisations that have a vehicle of a programme, by name."""
    columns = (place.c.organisation, place.c.programmes)
    rows = connection.execute(sa.select(*columns).where(place.c.organisation != "")).all()
    return sorted({row.organisation for row in rows if programme in row.programmes})


def places_of(connection: sa.Connection, programme: str, organisation: str) -> list[Any]:
    """Return name, label_ja and label_en of a company's vehicles, by name."""
    columns = (place.c.name, place.c.label_ja, place.c.label_en, place.c.programmes)
    of_company = place.c.organisation == organisation
    rows = connection.execute(sa.select(*columns).where(of_company).order_by(place.c.name)).all()
    return [row for row in rows if organisation and programme in row.programmes]


# --- the board -----------------------------------------------------------------------------------


def board(
    connection: sa.Connection, programme: str, organisation: str, now_ms: int
) -> list[Vehicle]:
    """Return a company's vehicles as they are now, by name."""
    places = places_of(connection, programme, organisation)
    heard = _readers(connection, [row.name for row in places])
    named = [row.name for row in heard.values()]
    shifts, clocks = _shifts(connection, named, now_ms), _clocks(connection, named)
    today = _today(connection, programme, organisation, now_ms)
    found = []
    for row in places:
        one = Vehicle(
            row.name,
            row.label_ja or row.name,
            row.label_en or row.name,
            today=today.get(row.name, NOTHING),
        )
        at = heard.get(row.name)
        if at is not None:
            clock, shift = clocks.get(at.name, ""), shifts.get(at.name, NOBODY)
            one = replace(_heard(one, at), clock=clock, shift=shift)
        found.append(one)
    return found


def _heard(one: Vehicle, row: Any) -> Vehicle:
    if not row.received_at_ms:
        return replace(one, reader=row.name)
    return replace(
        one,
        reader=row.name,
        online=bool(row.online),
        heard_ms=row.received_at_ms,
        waiting=row.waiting,
        ready=bool(row.ready),
        trouble=row.trouble or "",
        agent=row.agent,
    )


def _readers(connection: sa.Connection, places: Sequence[str]) -> dict[str, Any]:
    """Return the reader of each place that was heard last, but for revoked ones."""
    of_state = ("online", "received_at_ms", "waiting", "ready", "trouble", "agent")
    rows = connection.execute(
        sa.select(reader.c.name, reader.c.place, *(reader_state.c[name] for name in of_state))
        .select_from(reader.outerjoin(reader_state, reader_state.c.reader == reader.c.name))
        .where(reader.c.place.in_(places), reader.c.revoked_at_ms.is_(None))
        .order_by(sa.func.coalesce(reader_state.c.received_at_ms, 0), reader.c.name)
    )
    return {row.place: row for row in rows}


def _today(
    connection: sa.Connection, programme: str, organisation: str, now_ms: int
) -> dict[str, Today]:
    begin_ms = start_of_day_ms(local_day(now_ms))
    counts = sa.case(
        (ride.c.outcome != Outcome.ACCEPTED.value, 0), (ride.c.kind == "ride", 1), else_=-1
    )
    sums = [sa.func.sum(one) for one in (counts, ride.c.fare_yen, ride.c.subsidy_yen)]
    rows = connection.execute(
        sa.select(ride.c.place, *sums)
        .where(
            ride.c.programme == programme,
            ride.c.boarded_at_ms.between(begin_ms, begin_ms + DAY_MS - 1),
            ride.c.organisation == organisation,
        )
        .group_by(ride.c.place)
    )
    return {name: Today(*(int(one) for one in some)) for name, *some in rows}


def _shifts(connection: sa.Connection, readers: Sequence[str], now_ms: int) -> dict[str, OnShift]:
    rows = connection.execute(
        sa.select(journal.c.reader, entry.c.body)
        .select_from(entry.join(journal, entry.c.journal_id == journal.c.id))
        .where(
            journal.c.reader.in_(readers),
            journal.c.received_at_ms > now_ms - SHIFT_LOOK_MS,
            entry.c.received_at_ms > now_ms - SHIFT_LOOK_MS,
            entry.c.kind == "shift",
        )
        .order_by(entry.c.at_ms, entry.c.position)
    )
    found: dict[str, OnShift] = {}
    for name, body in rows:
        turned = decode(body)
        if isinstance(turned, Shift):
            found[name] = OnShift(turned.driver, turned.at_ms) if turned.began else NOBODY
    return found


def _clocks(connection: sa.Connection, readers: Sequence[str]) -> dict[str, str]:
    """Return what the newest entry of each reader's present journal says of its clock."""
    present = (journal.c.reader == reader_state.c.reader) & (
        journal.c.journal == reader_state.c.journal
    )
    newest = (entry.c.journal_id == journal.c.id) & (entry.c.n == journal.c.seen)
    rows = connection.execute(
        sa.select(reader_state.c.reader, entry.c.clock)
        .select_from(reader_state.join(journal, present).join(entry, newest))
        .where(reader_state.c.reader.in_(readers))
    )
    return {row.reader: row.clock for row in rows}


# --- what asks for attention ---------------------------------------------------------------------


def newest_agent(connection: sa.Connection) -> str:
    """Return the newest version that any reader of the fleet runs."""
    agents = connection.scalars(sa.select(reader_state.c.agent).distinct()).all()
    return max(agents, key=_version, default="")


def _version(agent: str) -> tuple[int, ...]:
    return tuple(int(one) for one in _NUMBERS.findall(agent))


def marks(one: Vehicle, newest: str, now_ms: int) -> Iterator[Mark]:
    """Yield what asks for attention at a vehicle, the most urgent first."""
    if not one.reader:
        yield Mark("no-reader", "off")
        return
    if one.heard_ms is None:
        yield Mark("never", "warn")
        return
    if one.waiting and not one.online and now_ms - one.heard_ms >= UNSENT_PATIENCE_MS:
        yield Mark("unsent", "bad")
    if not one.ready:
        yield Mark(f"trouble-{one.trouble}" if one.trouble in _TROUBLES else "trouble", "bad")
    if one.clock == ClockState.UNKNOWN.value:
        yield Mark("clock", "warn")
    if _version(one.agent) < _version(newest):
        yield Mark("agent", "info")


_TROUBLES: Final = frozenset({"device-fault", "journal-full", "stale"})
