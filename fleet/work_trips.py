"""宿泊を伴う行事: one trip over night is entered for several of a school's people at once.

Rules: all of them or nobody; each is of the school on every day of the trip; each has an entry of
his own, which names who made it and which he may object to (fleet.work_objections); who takes a
trip back takes back what was entered with it and still counts, as long as its months are open; what
somebody entered for himself alone is his own to take back.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import work_accounts, work_entries, work_terms
from fleet.schema import work_entry
from fleet.work_acts import BACK_DAYS_MAX, Act, WorkRefused
from fleet.work_entries import AHEAD_DAYS_MAX, Declared, NewEntry
from programmes.work_day_rules import DayRules

MEMBERS_MAX: Final = 200
"""Of one trip: the staff of the largest school."""


class Trip(NamedTuple):
    """One trip, as it was entered for others by one press."""

    from_ms: int
    to_ms: int
    note: str
    at_ms: int
    who: str
    entries: tuple[Declared, ...]
    """Those that count, by member."""


class TripRefused(ValueError):
    """Nothing was entered; `of` says why, by member."""

    def __init__(self, of: Mapping[int, WorkRefused]) -> None:
        super().__init__("; ".join(f"{one}: {error}" for one, error in of.items()))
        self.of = of


def enter(
    people: sa.Connection,
    organisation: str,
    members: Collection[int],
    trip: NewEntry,
    rules: DayRules,
    who: str,
    at_ms: int,
) -> list[int]:
    """Enter a trip for these members and return the entries.

    Raises TripRefused when it cannot be entered for some of them, WorkRefused, and
    IndividualNumberRefused. Whoever calls this leaves the transaction undone then.
    """
    if not 0 < len(members) <= MEMBERS_MAX:
        raise WorkRefused("trip-members", limit=MEMBERS_MAX)
    days = rules.day_of(trip.from_ms), rules.day_of(max(trip.from_ms, trip.to_ms - 1))
    enrolled = work_terms.of_members(people, members)
    made: list[int] = []
    refused: dict[int, WorkRefused] = {}
    for one in sorted(members):
        try:
            if one not in enrolled:
                raise WorkRefused("no-member")
            _require_here(enrolled[one], organisation, *days)
            act = Act(one, who, at_ms)
            made.append(work_entries.declare(people, act, trip, rules))
        except WorkRefused as error:
            refused[one] = error
    if refused:
        raise TripRefused(refused)
    return made


def _require_here(
    one: work_terms.Enrolled, organisation: str, first: datetime.date, last: datetime.date
) -> None:
    is_here = set(one.organisations(first, last)) == {organisation}
    if not (is_here and one.is_enrolled(first) and one.is_enrolled(last)):
        raise WorkRefused("trip-elsewhere")


def of_school(people: sa.Connection, organisation: str, today: datetime.date) -> list[Trip]:
    """Return a school's trips that count and were entered for others too; the latest first."""
    first = today - datetime.timedelta(days=BACK_DAYS_MAX)
    last = today + datetime.timedelta(days=AHEAD_DAYS_MAX)
    found: dict[tuple[int, int, str, int, str], list[Declared]] = defaultdict(list)
    for entry in _of_school(people, organisation, first, last):
        key = (entry.from_ms, entry.to_ms, entry.note, entry.at_ms, entry.who)
        found[key].append(entry)
    own = {who: work_accounts.member_of_account(people, who) for *_, who in found}
    trips = [
        Trip(*key, tuple(entries))
        for key, entries in found.items()
        if any(one.member_id != own[one.who] for one in entries)
    ]
    return sorted(trips, key=lambda one: (one.from_ms, one.at_ms), reverse=True)


def _of_school(
    people: sa.Connection, organisation: str, first: datetime.date, last: datetime.date
) -> list[Declared]:
    """Return a school's entries of trips that count."""
    is_trip = (work_entry.c.kind == "trip", work_entry.c.day.between(first, last))
    members = set(people.scalars(sa.select(work_entry.c.member_id).where(*is_trip).distinct()))
    enrolled = work_terms.of_members(people, members)
    entries = work_entries.of_members(people, enrolled, first, last)
    return [
        one
        for some in entries.values()
        for one in some
        if one.kind == "trip" and one.counts
        if enrolled[one.member_id].organisation_on(one.day) == organisation
    ]


def take_back(
    people: sa.Connection,
    organisation: str,
    entry_id: int,
    today: datetime.date,
    act: Act,
) -> int:
    """Take back the trip of a school that has this entry; return for how many.

    `act`: who, when and why; of which members follows from the trip. Raises WorkRefused,
    IndividualNumberRefused.
    """
    for trip in of_school(people, organisation, today):
        if entry_id in {one.id for one in trip.entries}:
            for one in trip.entries:
                mine = act._replace(member_id=one.member_id)
                work_entries.withdraw(people, mine, one.id)
            return len(trip.entries)
    raise WorkRefused("entry-gone")
