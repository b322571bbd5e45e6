"""Who came and went on one day, derived from the ledger's entries and never stored.

Rules: what is shown is the time and the direction that a person declared; an arrival or leaving
that follows only from the order of a day is marked as derived; a leaving that is missing is said
to be missing and never invented. The look at people is written in their audit.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fleet import audit
from fleet.schema import card, entry, journal, member, person, place, reader, rule
from programmes import attendance
from programmes.attendance import Parameters, guess_direction
from programmes.calendar import local_day, start_of_day_ms
from programmes.rulebook import Booked, Direction, NoRuleInForce, read_parameters, rule_in_force
from wire.clock import ClockState
from wire.codes import Outcome
from wire.roster import RuleTable

PEOPLE_SHOWN: Final = 500
"""Teachers and officials of one list: the largest school has about 100, a city hall more."""


@dataclass(frozen=True, slots=True)
class Time:
    """One presentation that counted."""

    at_ms: int
    declared: Direction
    derived: Direction
    """What the order of the day makes of it; the declared direction when there is one."""
    sure: bool
    """False when the reader's clock was not known to be right."""
    place: str


@dataclass(frozen=True, slots=True)
class Day:
    """One person's day."""

    member: int
    registration_number: str
    name: str
    kana: str
    times: tuple[Time, ...]
    open_end: bool
    """The last thing known of this day is an arrival."""


@dataclass(frozen=True, slots=True)
class Held:
    """One accepted presentation, as the ledger has it."""

    credential: str
    at_ms: int
    declared: Direction
    clock: str
    place: str


def day_starts_at_hour(connection: sa.Connection, day: datetime.date) -> int:
    """Return the hour at which a day of this programme starts, by the rule in force."""
    rows = connection.execute(
        sa.select(rule.c.version, rule.c.valid_from, rule.c.parameters).where(
            rule.c.programme == attendance.NAME
        )
    )
    try:
        table = rule_in_force([RuleTable(*row) for row in rows], day)
    except NoRuleInForce:
        return Parameters().day_starts_at_hour
    return read_parameters(table, Parameters).day_starts_at_hour


def today(connection: sa.Connection, now_ms: int) -> datetime.date:
    """Return the working day of an instant: 00:30 still belongs to the day before."""
    calendar_day = local_day(now_ms)
    return local_day(now_ms, day_starts_at_hour(connection, calendar_day))


def held_on(connection: sa.Connection, day: datetime.date) -> list[Held]:
    """Return the day's accepted presentations in the order of their times."""
    hour = day_starts_at_hour(connection, day)
    first = start_of_day_ms(day, hour)
    last = start_of_day_ms(day + datetime.timedelta(days=1), hour)
    rows = connection.execute(
        sa.select(
            entry.c.credential,
            entry.c.at_ms,
            sa.func.coalesce(entry.c.declared, ""),
            entry.c.clock,
            place.c.name,
        )
        .join(journal, journal.c.id == entry.c.journal_id)
        .join(reader, reader.c.name == journal.c.reader)
        .join(place, place.c.name == reader.c.place)
        .where(
            entry.c.credential.is_not(None),
            entry.c.at_ms >= first,
            entry.c.at_ms < last,
            entry.c.programme == attendance.NAME,
            entry.c.outcome == Outcome.ACCEPTED.value,
        )
        .order_by(entry.c.at_ms, entry.c.position)
    )
    return [Held(*row) for row in rows]


def see_days(connection: sa.Connection, held: Sequence[Held], who: str, at_ms: int) -> list[Day]:
    """Return everyone's day, also of those without a presentation, by reading (kana).

    `connection` is a writing one on persons: the look leaves a line in the audit.
    """
    by_credential: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        by_credential[one.credential].append(one)
    cards: dict[int, list[Held]] = defaultdict(list)
    owners = connection.execute(
        sa.select(card.c.member_id, card.c.credential).where(card.c.programme == attendance.NAME)
    )
    for owner, credential in owners:
        cards[owner] += by_credential.get(credential, [])
    people: Iterable[Any] = connection.execute(
        sa.select(member.c.id, member.c.registration_number, person.c.name, person.c.kana)
        .join(person, person.c.id == member.c.person_id)
        .where(member.c.programme == attendance.NAME)
        .order_by(person.c.kana, member.c.registration_number)
        .limit(PEOPLE_SHOWN)
    )
    days = [
        derive(Day(one.id, one.registration_number, one.name, one.kana, (), False), cards[one.id])
        for one in people
    ]
    if days:
        audit.note_person(
            connection, at_ms, who, "attendance.listed", attendance.NAME, f"{len(days)} members"
        )
    return days


def derive(blank: Day, held: Sequence[Held]) -> Day:
    """Return a day filled with what was held; pure."""
    ordered = sorted(held, key=lambda one: one.at_ms)
    booked = [Booked(one.at_ms, one.declared) for one in ordered]
    times = tuple(
        Time(
            one.at_ms,
            one.declared,
            one.declared or guess_direction(booked[:index]),
            one.clock == ClockState.SYNCHRONISED.value,
            one.place,
        )
        for index, one in enumerate(ordered)
    )
    return Day(
        blank.member,
        blank.registration_number,
        blank.name,
        blank.kana,
        times,
        open_end=bool(times) and times[-1].derived == "in",
    )
