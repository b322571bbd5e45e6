"""来校者: a visitor has one of a school's spare cards for today, and is in until it is taken back.

Rules: a visitor is no member, and what is held with the card is nobody's mark; he counts as in from
the moment at which the card was lent, since he stands in the office then and readers may have no
network, until it is taken back or the day ends; what the school calls him is seen on its pages
alone, stands in no audit and no signed list, and is removed KEPT_MS after the day's end.
"""

from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, work_spares
from fleet.lent_cards import ENDED, LOANS
from fleet.schema import work_loan, work_spare, work_visitor
from fleet.work_acts import WorkRefused
from fleet.work_spares import Ends, NewLoan
from programmes import attendance
from wire.individual_number import refuse_individual_number

LABEL_MAX: Final = 40
"""Characters: a name and a company."""
KEPT_MS: Final = 7 * 24 * 3_600_000
"""How long after the day's end a label is kept: who was in the house is asked within days, after an
accident, a theft or an infection."""
LISTED_MAX: Final = 500
"""Visitors of a week that are listed, the latest first."""


class Visitor(NamedTuple):
    """One visit."""

    loan_id: int
    number: int
    """Of the spare card."""
    label: str
    from_ms: int
    ended_ms: int
    """When he left, or will at the latest."""


def lend(
    people: sa.Connection,
    organisation: str,
    spare_id: int,
    label: str,
    until: Ends,
    who: str,
    at_ms: int,
) -> int:
    """Lend a school's spare card to a visitor until the day's end; return the loan.

    Raises WorkRefused, IndividualNumberRefused.
    """
    plain = label.strip()
    if not 0 < len(plain) <= LABEL_MAX or not plain.isprintable():
        raise WorkRefused("visitor", limit=LABEL_MAX)
    refuse_individual_number("label", plain)
    spare = work_spares.spare_of(people, organisation, spare_id, at_ms)
    loan_id = work_spares.write_loan(people, spare, NewLoan(None, at_ms, until.at_ms, who))
    people.execute(work_visitor.insert().values(loan_id=loan_id, label=plain))
    said = f"{organisation} {spare.number}"
    audit.note_person(people, at_ms, who, "work.visitor-came", attendance.NAME, said)
    return loan_id


def lately(people: sa.Connection, organisation: str, at_ms: int) -> list[Visitor]:
    """Return a school's visitors whose labels are still kept, the latest first."""
    rows = people.execute(
        sa.select(
            *(work_loan.c.id, work_spare.c.number, work_visitor.c.label),
            *(work_loan.c.from_ms, ENDED),
        )
        .select_from(LOANS.join(work_visitor, work_visitor.c.loan_id == work_loan.c.id))
        .where(work_spare.c.organisation == organisation, work_loan.c.until_ms > at_ms - KEPT_MS)
        .order_by(work_loan.c.id.desc())
        .limit(LISTED_MAX)
    )
    return [Visitor(*row) for row in rows]


def now(people: sa.Connection, organisation: str, at_ms: int) -> tuple[Visitor, ...]:
    """Return who visits a school at a moment, in the order in which they came."""
    found = lately(people, organisation, at_ms)
    return tuple(one for one in reversed(found) if one.from_ms <= at_ms < one.ended_ms)


def forget(people: sa.Connection, at_ms: int) -> int:
    """Remove the labels that are past their time; return how many."""
    old = sa.select(work_loan.c.id).where(work_loan.c.until_ms <= at_ms - KEPT_MS)
    done = people.execute(work_visitor.delete().where(work_visitor.c.loan_id.in_(old)))
    return done.rowcount
