"""代替の教員: somebody who comes for some days is taken in with one press: member, terms, card.

Rules: he is a member from today until his last day and no longer, of this school alone, as a
substitute with the customary week, under a number of a series of its own; a spare card of the
school is lent to him for just these days; all of it is written at once or nothing. Only who may
enrol members takes in a substitute: that is for the pages to say.
"""

from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import applicants, members, work_spares, work_terms
from fleet.members import NewMember
from fleet.schema import member, person
from fleet.work_acts import Act, WorkRefused
from fleet.work_spares import Ends
from fleet.work_terms import NewTerm
from programmes import attendance

NAME_MAX: Final = 60
"""Characters of a name or its reading, as at the counter."""
_SERIES: Final = "D-"
"""代替: numbers of the board's own staff go on beside it."""
_NUMBERS_MAX: Final = 100_000


class NewSubstitute(NamedTuple):
    """Who comes, with which spare card, until when."""

    name: str
    kana: str
    spare_id: int
    until: Ends


class TakenIn(NamedTuple):
    """Who was taken in."""

    member_id: int
    registration_number: str


def take_in(
    people: sa.Connection, organisation: str, new: NewSubstitute, who: str, at_ms: int
) -> TakenIn:
    """Enrol a substitute from today on and lend him a card; raises WorkRefused.

    Somebody of this name and reading who is enrolled today is refused: a second press, or one who
    has his terms already. Raises IndividualNumberRefused.
    """
    name, kana = (_line(text) for text in (new.name, new.kana))
    _require_new(people, name, kana, new.until)
    number = _next_number(people)
    first, last, _ = new.until
    fresh = NewMember(number, name, kana, valid_from=first, valid_to=last)
    act = Act(members.enrol(people, attendance.NAME, fresh, who, at_ms), who, at_ms)
    terms = NewTerm(first, organisation, engaged="substitute")
    work_terms.add(people, act, terms)
    work_spares.lend(people, act, organisation, new.spare_id, new.until)
    return TakenIn(act.member_id, number)


def _line(text: str) -> str:
    plain = " ".join(text.split())
    if not 0 < len(plain) <= NAME_MAX or not plain.isprintable():
        raise WorkRefused("substitute-name", limit=NAME_MAX)
    return plain


def _require_new(people: sa.Connection, name: str, kana: str, until: Ends) -> None:
    rows = people.execute(
        sa.select(member.c.id, member.c.registration_number)
        .join(person, person.c.id == member.c.person_id)
        .where(member.c.programme == attendance.NAME, person.c.name == name, person.c.kana == kana)
    ).all()
    numbers = {row.id: row.registration_number for row in rows}
    for one in work_terms.of_members(people, numbers).values():
        if one.is_enrolled(until.today):
            raise WorkRefused("substitute-known", number=numbers[one.member_id])


def _next_number(people: sa.Connection) -> str:
    had = sa.select(sa.func.count()).where(
        member.c.programme == attendance.NAME, member.c.registration_number.like(f"{_SERIES}%")
    )
    count = people.scalar(had) or 0
    for n in range(count + 1, _NUMBERS_MAX):
        number = f"{_SERIES}{n:04}"
        if not applicants.is_taken(people, attendance.NAME, number):
            return number
    raise WorkRefused("substitute-numbers")
