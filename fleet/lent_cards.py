"""A school's spare staff cards: whose each is at a time, as rosters and the ledger need it.

Rules: a spare card is nobody's own; from the loan until it is given back, or until its time is up,
what is held with it is the borrower's, whatever the reader said, and nobody's while a visitor has
it, whom readers greet all the same; rosters carry the newest loan of a
card with its end as the moment from which it is stopped, so that a reader without a network ends it
by itself. docs/adr/0024-lent-cards.md.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import store
from fleet.schema import member, work_loan, work_return, work_spare
from programmes import attendance


class Loan(NamedTuple):
    """Whose a spare card is for a time."""

    member_id: int
    from_ms: int
    ended_ms: int
    """When it was given back, or its time is up: no more at that instant."""


class LentCard(NamedTuple):
    """A spare card as its newest loan has it."""

    credential: str
    scheme: str
    key_epoch: int
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    member_stopped_ms: int | None
    ended_ms: int


VISITOR: Final = ""
"""The category of who is no member: the rules of attendance know none."""
ENDED: Final[sa.ColumnElement[int]] = sa.func.coalesce(work_return.c.at_ms, work_loan.c.until_ms)
LOANS: Final = work_loan.join(work_spare, work_spare.c.id == work_loan.c.spare_id).outerjoin(
    work_return, work_return.c.loan_id == work_loan.c.id
)
_LATER: Final = work_loan.alias("later")
IS_NEWEST: Final = ~sa.exists().where(
    _LATER.c.spare_id == work_loan.c.spare_id, _LATER.c.number > work_loan.c.number
)


def is_spare(connection: sa.Connection, programme: str, credentials: Collection[str]) -> bool:
    """True when one of these is a school's spare card."""
    if programme != attendance.NAME:
        return False
    known = sa.select(work_spare.c.id).where(work_spare.c.credential.in_(credentials))
    return connection.scalar(known.limit(1)) is not None


def of_programme(connection: sa.Connection, programme: str) -> list[LentCard]:
    """Return the spare cards that were ever lent, by credential."""
    if programme != attendance.NAME:
        return []
    return [LentCard(*row) for row in connection.execute(_wanted())]


def among(connection: sa.Connection, credentials: Sequence[str]) -> list[LentCard]:
    """Return those of these credentials that are spare cards and were ever lent."""
    found: list[LentCard] = []
    for start in range(0, len(credentials), store.IN_MAX):
        some = credentials[start : start + store.IN_MAX]
        rows = connection.execute(_wanted().where(work_spare.c.credential.in_(some)))
        found += [LentCard(*row) for row in rows]
    return found


def _wanted() -> sa.Select[Any]:
    return (
        sa.select(
            *(work_spare.c.credential, work_spare.c.scheme, work_spare.c.key_epoch),
            sa.func.coalesce(member.c.category, VISITOR),
            *(member.c.valid_from, member.c.valid_to, member.c.stopped_from_ms, ENDED),
        )
        .select_from(LOANS.outerjoin(member, member.c.id == work_loan.c.member_id))
        .where(IS_NEWEST)
        .order_by(work_spare.c.credential)
    )


def of_members(connection: sa.Connection, members: Collection[int]) -> dict[str, list[Loan]]:
    """Return what was lent to these members, by credential."""
    found: dict[str, list[Loan]] = defaultdict(list)
    ordered = sorted(members)
    for start in range(0, len(ordered), store.IN_MAX):
        some = ordered[start : start + store.IN_MAX]
        rows = connection.execute(
            sa.select(*(work_spare.c.credential, work_loan.c.member_id, work_loan.c.from_ms, ENDED))
            .select_from(LOANS)
            .where(work_loan.c.member_id.in_(some))
        )
        for credential, *loan in rows:
            found[credential].append(Loan(*loan))
    return dict(found)


def borrower(loans: Collection[Loan], at_ms: int) -> int | None:
    """Return whose the card was at an instant; None: nobody's, or somebody's not asked about."""
    return next((one.member_id for one in loans if one.from_ms <= at_ms < one.ended_ms), None)
