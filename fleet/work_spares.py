"""A school lends its spare staff cards: registered once, lent for some days, given back.

Rules: a spare card is a staff card that nobody has, held at a gate of the school in the last seven
days; it is lent to one member of the school at a time, for today or until the end of a day that is
DAYS_MAX away at most, on all of which he is of the school; lending and giving back are rows of
their own that stay, and stand in the audit by registration number.
"""

import datetime
from collections.abc import Collection
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import (
    audit,
    enrolment,
    lent_cards,
    members,
    store,
    triage,
    work_gates,
    work_records,
    work_terms,
)
from fleet.members import Waiting
from fleet.schema import member, work_loan, work_return, work_spare, work_spare_use
from fleet.schema import triage as triage_table
from fleet.work_acts import Act, WorkRefused, member_of, note, touch
from programmes import attendance
from programmes.calendar import local_day, start_of_day_ms
from wire.credential import Scheme

SPARES_MAX: Final = 99
"""Of one school: two digits on a sticker."""
DAYS_MAX: Final = 31
"""Of one loan: who stays longer has a card of his own by then."""
WAITING_MAX: Final = 500
"""Unknown cards looked through for those of one school."""
_OUT: Final = (
    sa.select(work_spare_use.c.why)
    .where(work_spare_use.c.spare_id == work_spare.c.id)
    .order_by(work_spare_use.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
"""Why a card is out of use by its newest row, which has no reason when it is in use again."""
_ONE_DAY: Final = datetime.timedelta(days=1)


class Spare(NamedTuple):
    """A spare card, and who has it now."""

    id: int
    number: int
    loan_id: int | None
    """None: it is free."""
    member_id: int | None
    """None of a lent one: a visitor has it."""
    from_ms: int | None
    until_ms: int | None
    out: str = ""
    """Why it is out of use (work_spare_use.Why); empty of one in use."""

    @property
    def is_free(self) -> bool:
        """True when it can be lent."""
        return self.loan_id is None and not self.out


class NewLoan(NamedTuple):
    """To whom a card is lent, from when, until when at the latest."""

    member_id: int | None
    """None: a visitor (fleet.work_visitors)."""
    from_ms: int
    until_ms: int
    who: str


def unknown_at(people: sa.Connection, places: Collection[str], at_ms: int) -> list[Waiting]:
    """Return the staff cards that nobody has and that were held at these places, newest first."""
    return [
        one
        for one in triage.waiting(people, at_ms, WAITING_MAX)
        if one.programme == attendance.NAME
        and one.scheme == Scheme.STAFF_TOKEN.value
        and one.place in places
    ]


def register(
    people: sa.Connection,
    organisation: str,
    places: Collection[str],
    triage_id: int,
    who: str,
    at_ms: int,
) -> int:
    """Let an unknown card be a spare one of a school; return what the school calls it.

    Raises WorkRefused when it is listed no more, or is another school's to choose.
    """
    if triage_id not in {one.id for one in unknown_at(people, places, at_ms)}:
        raise WorkRefused("not-unknown")
    (held,) = enrolment.stranger(people, attendance.NAME, triage_id)
    had = sa.select(sa.func.max(work_spare.c.number)).where(
        work_spare.c.organisation == organisation
    )
    number = (people.scalar(had) or 0) + 1
    if number > SPARES_MAX:
        raise WorkRefused("spares", limit=SPARES_MAX)
    people.execute(
        work_spare.insert().values(
            organisation=organisation,
            number=number,
            credential=held.credential,
            scheme=held.scheme.value,
            key_epoch=held.key_epoch,
            at_ms=at_ms,
            who=who,
        )
    )
    people.execute(triage_table.delete().where(triage_table.c.id == triage_id))
    subject = f"{attendance.NAME} {organisation}"
    audit.note_person(people, at_ms, who, "work.spare-registered", subject, str(number))
    return number


def of_school(people: sa.Connection, organisation: str, at_ms: int) -> list[Spare]:
    """Return a school's spare cards by number, with who has which at this moment."""
    current = sa.and_(work_loan.c.from_ms <= at_ms, at_ms < lent_cards.ENDED, lent_cards.IS_NEWEST)
    wanted = (
        sa.select(
            *(work_spare.c.id, work_loan.c.id, work_loan.c.member_id),
            *(work_loan.c.from_ms, work_loan.c.until_ms),
        )
        .select_from(lent_cards.LOANS)
        .where(work_spare.c.organisation == organisation, current)
    )
    lent = {row[0]: row[1:] for row in people.execute(wanted)}
    rows = people.execute(
        sa.select(work_spare.c.id, work_spare.c.number, _OUT)
        .where(work_spare.c.organisation == organisation)
        .order_by(work_spare.c.number)
    )
    free = (None, None, None, None)
    return [Spare(one, number, *lent.get(one, free), out or "") for one, number, out in rows]


class Ends(NamedTuple):
    """When a loan ends at the latest."""

    today: datetime.date
    day: datetime.date
    """The last on which the card is good."""
    at_ms: int


def ends(
    fleet: sa.Connection, organisation: str, at_ms: int, until: datetime.date | None = None
) -> Ends:
    """Return when a day is over at every gate of a school: today, unless another is named.

    Raises WorkRefused for a day that is over, and for one with which it is more than DAYS_MAX days.
    """
    rules = work_records.day_rules(fleet, local_day(at_ms))
    gates = work_gates.of_school(fleet, organisation)
    hour = max((rules.hour_at(one.place) for one in gates), default=rules.starts_at_hour)
    today = local_day(at_ms, hour)
    last = until or today
    if not 0 <= (last - today).days < DAYS_MAX:
        raise WorkRefused("loan-day", limit=DAYS_MAX)
    return Ends(today, last, start_of_day_ms(last + _ONE_DAY, hour))


def lend(people: sa.Connection, act: Act, organisation: str, spare_id: int, until: Ends) -> int:
    """Lend a school's spare card to one of its members; return the loan.

    Raises WorkRefused when somebody has the card, or it or the member is not of this school, or the
    member is not on one of the days.
    """
    row = member_of(people, act.member_id)
    terms = work_terms.of_members(people, [act.member_id])[act.member_id]
    if terms.organisation_on(until.today) != organisation or not terms.is_enrolled(until.today):
        raise WorkRefused("no-member")
    if set(terms.organisations(*until[:2])) != {organisation} or not terms.is_enrolled(until.day):
        raise WorkRefused("loan-longer")
    found = spare_of(people, organisation, spare_id, act.at_ms)
    to = NewLoan(act.member_id, act.at_ms, until.at_ms, act.who)
    loan_id = write_loan(people, found, to)
    said = f"{organisation} {found.number}"
    note(people, act, row.registration_number, "work.card-lent", said)
    return loan_id


def spare_of(people: sa.Connection, organisation: str, spare_id: int, at_ms: int) -> Spare:
    """Return a school's spare card that is free. Raises WorkRefused."""
    spares = {one.id: one for one in of_school(people, organisation, at_ms)}
    if spare_id not in spares:
        raise WorkRefused("no-spare")
    if spares[spare_id].out:
        raise WorkRefused("spare-out")
    if spares[spare_id].loan_id is not None:
        raise WorkRefused("card-lent")
    return spares[spare_id]


def write_loan(people: sa.Connection, spare: Spare, to: NewLoan) -> int:
    """Write a loan down and return it. Raises WorkRefused when another was quicker."""
    had = sa.select(sa.func.max(work_loan.c.number)).where(work_loan.c.spare_id == spare.id)
    number = (people.scalar(had) or 0) + 1
    new = work_loan.insert().values(spare_id=spare.id, number=number, **to._asdict())
    try:
        loan_id = store.new_id(people.execute(new))
    except sa.exc.IntegrityError as error:
        raise WorkRefused("card-lent") from error
    _changed(people, to.from_ms, to.until_ms)
    return loan_id


def give_back(people: sa.Connection, organisation: str, loan_id: int, who: str, at_ms: int) -> None:
    """End a loan now. Raises WorkRefused when it is over, or of another school."""
    spares = {one.loan_id: one for one in of_school(people, organisation, at_ms)}
    found = spares.get(loan_id)
    if found is None or found.until_ms is None:
        raise WorkRefused("not-lent")
    back = work_return.insert().values(loan_id=loan_id, at_ms=at_ms, who=who)
    try:
        people.execute(back)
    except sa.exc.IntegrityError as error:
        raise WorkRefused("not-lent") from error
    _changed(people, at_ms, found.until_ms)
    said = f"{organisation} {found.number}"
    if found.member_id is None:
        audit.note_person(people, at_ms, who, "work.visitor-left", attendance.NAME, said)
        return
    number = people.scalar(
        sa.select(member.c.registration_number).where(member.c.id == found.member_id)
    )
    act = Act(found.member_id, who, at_ms)
    note(people, act, number or "", "work.card-returned", said)


def _changed(people: sa.Connection, from_ms: int, until_ms: int) -> None:
    """Let rosters be built again, and lists of the days that the loan touches."""
    touch(people, local_day(from_ms) - _ONE_DAY, local_day(until_ms))
    members.bump(people, attendance.NAME)
