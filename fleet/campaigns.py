"""Campaigns: the members of a programme move from one scheme to another by a day.

Rules: a card moves by being used, when a reader reads it by both schemes; a clerk or a list moves a
member by enrolling a card by the new scheme; the former credential stays the member's and is good
until the deadline, so nobody who was told late stands before a closed door; after it cards of the
scheme that is left are good no more, and those who are missing are listed; stopping leaves moved
cards moved and all others as they are.
"""

import datetime
import itertools
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, terms
from fleet.members import PRESENT, ROWS_AT_ONCE, bump, whole
from fleet.schema import campaign, card, member, person
from fleet.terms import Campaign, SchemeRefused
from programmes.calendar import local_day
from wire.credential import Scheme
from wire.individual_number import refuse_individual_number

DAYS_MAX: Final = 3 * 366
"""A certificate lives five years; who has not come in three will not come unasked."""
NOTED_MAX: Final = 100
"""Registration numbers in one line of the audit; of a longer list the count is added."""
MEMBERS_AT_ONCE: Final = 5_000
"""In one statement; SQLite takes 32,766 parameters."""
_DAY_MS: Final = 24 * 3_600_000
_JAPAN_MS: Final = 9 * 3_600_000
"""Days are Japan's (programmes.calendar), which has no summer time."""


def start(
    connection: sa.Connection,
    programme: str,
    leaves: Scheme,
    joins: Scheme,
    until: datetime.date,
    who: str,
    at_ms: int,
) -> None:
    """Begin to move members; the deadline's day is included. Raises SchemeRefused."""
    _check(terms.of(connection, programme), programme, leaves, joins, until, local_day(at_ms))
    if not missing_count(connection, programme, leaves, local_day(at_ms)):
        raise SchemeRefused("nobody", f"no member of {programme} has a card of {leaves}")
    _write(connection, Campaign(programme, True, leaves, joins, until), "", who, at_ms)
    audit.note_person(
        connection, at_ms, who, "campaign.started", programme, f"{leaves} {joins} {until}"
    )


def _check(
    stated: terms.Stated,
    programme: str,
    leaves: Scheme,
    joins: Scheme,
    until: datetime.date,
    day: datetime.date,
) -> None:
    if leaves is joins:
        raise SchemeRefused("same", "members move from one scheme to another one: name two")
    if not day <= until <= day + datetime.timedelta(DAYS_MAX):
        raise SchemeRefused("deadline", f"the deadline is a day within {DAYS_MAX} from today on")
    running = stated.campaign
    if running and running.is_running and day <= running.until:
        raise SchemeRefused(
            "running",
            f"{programme} moves to {running.to_scheme} until {running.until}: stop that first",
        )
    terms.require_enrolling(
        terms.Stated(stated.periods), programme, joins, day
    )  # of its statement alone: a campaign that is over may be gone back on


def stop(connection: sa.Connection, programme: str, why: str, who: str, at_ms: int) -> None:
    """End a running campaign before its deadline; all stays as it is. Raises SchemeRefused.

    Former credentials are good until the day that their holders were told.
    """
    refuse_individual_number("why", why)
    if not why.strip():
        raise SchemeRefused("why", "a campaign is stopped with a reason: say why")
    running = terms.latest(connection).get(programme)
    if running is None or not running.is_running or running.until < local_day(at_ms):
        raise SchemeRefused("not-running", f"no campaign runs in {programme}")
    _write(connection, running._replace(is_running=False), why, who, at_ms)
    audit.note_person(connection, at_ms, who, "campaign.stopped", programme, why)


def _write(connection: sa.Connection, one: Campaign, why: str, who: str, at_ms: int) -> None:
    connection.execute(
        campaign.insert(),
        {
            "programme": one.programme,
            "kind": "started" if one.is_running else "stopped",
            "from_scheme": one.from_scheme.value,
            "to_scheme": one.to_scheme.value,
            "until": one.until,
            "why": why,
            "at_ms": at_ms,
            "who": who,
        },
    )
    bump(connection, one.programme)


# --- moved by a desk or a list -------------------------------------------------------------------

_NEW: Final = card.alias("new")


def replace_cards(
    connection: sa.Connection, programme: str, members: Collection[int], who: str, at_ms: int
) -> int:
    """Let the cards that were just enrolled by the new scheme take the place of their members' old.

    Just enrolled: for these members by `who` at `at_ms`, in this transaction. A stopped card is
    left as it is: it was lost, and is good under no name. Return how many gave way; none unless a
    campaign runs.
    """
    running = terms.latest(connection).get(programme)
    if running is None or not running.is_running or local_day(at_ms) > running.until:
        return 0
    new = (
        sa.select(sa.func.max(_NEW.c.id))
        .where(
            _NEW.c.member_id == card.c.member_id,
            _NEW.c.programme == programme,
            _NEW.c.scheme == running.to_scheme.value,
            _NEW.c.superseded_at_ms.is_(None),
            _NEW.c.assigned_at_ms == at_ms,
            _NEW.c.assigned_by == who,
        )
        .scalar_subquery()
    )
    gave_way = 0
    numbers = sorted(set(members))
    for first in range(0, len(numbers), MEMBERS_AT_ONCE):
        theirs = card.c.member_id.in_(numbers[first : first + MEMBERS_AT_ONCE])
        gave_way += connection.execute(
            card.update()
            .where(theirs, *_unmoved(programme, running.from_scheme), new.is_not(None))
            .values(superseded_at_ms=at_ms, successor=new)
        ).rowcount
    return gave_way


def bring_back(connection: sa.Connection, card_id: int, assigned_at_ms: int) -> None:
    """Undo `replace_cards` for one card that is about to be taken back."""
    connection.execute(
        card.update()
        .where(card.c.successor == card_id, card.c.superseded_at_ms == assigned_at_ms)
        .values(superseded_at_ms=None, successor=None)
    )


# --- how far it has come -------------------------------------------------------------------------


class Progress(NamedTuple):
    """How many members have moved, in all and day by day."""

    of: Campaign
    state: str
    """running, stopped or over."""
    moved: int
    missing: int
    days: tuple[tuple[datetime.date, int], ...]
    """Days on which cards moved, and how many."""

    @property
    def all(self) -> int:
        """Members who have moved or are to."""
        return self.moved + self.missing

    @property
    def percent(self) -> int:
        """Of all, rounded down; a hundred only when nobody is missing."""
        return 100 * self.moved // self.all if self.all else 100


class Missing(NamedTuple):
    """A member with a card that has not moved."""

    id: int
    registration_number: str
    name: str
    kana: str


def progress(connection: sa.Connection, of: Campaign, day: datetime.date) -> Progress:
    """Return how far a campaign has come."""
    running = "running" if day <= of.until else "over"
    return Progress(
        of,
        running if of.is_running else "stopped",
        _moved(connection, of),
        missing_count(connection, of.programme, of.from_scheme, day),
        _days(connection, of),
    )


def _unmoved(
    programme: str, leaves: Scheme, here: sa.ColumnElement[bool] | None = None
) -> list[sa.ColumnElement[bool]]:
    return [
        card.c.programme == programme if here is None else here,
        card.c.scheme == leaves.value,
        PRESENT,
        card.c.stopped_from_ms.is_(None),
    ]


_FORMER_AND_NEW: Final = card.join(_NEW, _NEW.c.id == card.c.successor)
"""Former cards with what they are known as now."""


def _is_moved(of: Campaign) -> list[sa.ColumnElement[bool]]:
    return [
        card.c.successor.is_not(None),
        whole(card, of.programme),  # so that the index of former cards is taken
        card.c.scheme == of.from_scheme.value,
        _NEW.c.scheme == of.to_scheme.value,
    ]


def _moved(connection: sa.Connection, of: Campaign) -> int:
    """Return how many members have moved with all their cards."""
    other = card.alias("other")
    remains = sa.exists().where(
        other.c.member_id == card.c.member_id,
        other.c.scheme == of.from_scheme.value,
        other.c.superseded_at_ms.is_(None),
        other.c.stopped_from_ms.is_(None),
    )
    wanted = (
        sa.select(sa.func.count(card.c.member_id.distinct()))
        .select_from(_FORMER_AND_NEW)
        .where(*_is_moved(of), ~remains)
    )
    return connection.scalar(wanted) or 0


def _days(connection: sa.Connection, of: Campaign) -> tuple[tuple[datetime.date, int], ...]:
    number = (card.c.superseded_at_ms + _JAPAN_MS) // _DAY_MS
    rows = connection.execute(
        sa.select(number.label("day"), sa.func.count())
        .select_from(_FORMER_AND_NEW)
        .where(*_is_moved(of))
        .group_by(number)
        .order_by(number)
    )
    first = datetime.date(1970, 1, 1)
    return tuple((first + datetime.timedelta(int(day)), count) for day, count in rows)


def _is_missing(programme: str, leaves: Scheme, day: datetime.date) -> list[sa.ColumnElement[bool]]:
    """Who has a card of the scheme that is left, and may still use it."""
    return [
        *_unmoved(programme, leaves, whole(card, programme)),
        member.c.stopped_from_ms.is_(None),
        member.c.valid_to.is_(None) | (member.c.valid_to >= day),
    ]


def _missing(programme: str, leaves: Scheme, day: datetime.date) -> sa.Select[Any]:
    return (
        sa.select(member.c.id, member.c.registration_number, person.c.name, person.c.kana)
        .select_from(
            card.join(member, card.c.member_id == member.c.id).join(
                person, member.c.person_id == person.c.id
            )
        )
        .where(*_is_missing(programme, leaves, day))
        .distinct()
    )


def missing_count(
    connection: sa.Connection, programme: str, leaves: Scheme, day: datetime.date
) -> int:
    """Return how many members `missing` would name."""
    counted = (
        sa.select(sa.func.count(member.c.id.distinct()))
        .select_from(card.join(member, card.c.member_id == member.c.id))
        .where(*_is_missing(programme, leaves, day))
    )
    return connection.scalar(counted) or 0


def missing(
    connection: sa.Connection, programme: str, leaves: Scheme, day: datetime.date
) -> Iterator[Missing]:
    """Yield the members who are missing on a day, by registration number."""
    listed = _missing(programme, leaves, day).order_by(member.c.registration_number)
    for row in connection.execute(listed, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield Missing(*row)


def see_missing(
    connection: sa.Connection, of: Campaign, limit: int, who: str, at_ms: int
) -> list[Missing]:
    """Return the first of those who are missing; writes one line in the audit if anyone is shown.

    Needs a writing connection.
    """
    listed = missing(connection, of.programme, of.from_scheme, local_day(at_ms))
    found = list(itertools.islice(listed, limit))
    if found:
        numbers = " ".join(one.registration_number for one in found[:NOTED_MAX])
        more = f" … {len(found)}" if len(found) > NOTED_MAX else ""
        audit.note_person(connection, at_ms, who, "members.listed", of.programme, numbers + more)
    return found
