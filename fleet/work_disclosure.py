"""Records of work in what is told to a person about himself, and in what is erased with him.

Rules: all that somebody wrote down of a member's work is told, with who, when and why; what readers
sent is told as uses; erasing leaves no reason, no note and no time of a day, so what is left of him
in signed lists is a hash that nobody can find a person by; figures of closed months name nobody and
stay, so that a school's sums do.
"""

import datetime
from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from fleet import work_corrections, work_entries, work_terms
from fleet.lent_cards import LOANS
from fleet.schema import (
    card_pin,
    work_account,
    work_correction,
    work_decision,
    work_entry,
    work_feed,
    work_leaf,
    work_loan,
    work_month,
    work_naming,
    work_objection,
    work_request,
    work_return,
    work_spare,
    work_special,
    work_term,
)
from programmes.calendar import local_day


class WorkLine(NamedTuple):
    """One thing that was written down; `kind` names the sentence work.told.<kind>."""

    at_ms: int
    kind: str
    day: str
    """Or the month, or the day from which terms hold."""
    said: str
    """A reason, a note, a school: in the words of who wrote it."""
    who: str


def of_member(connection: sa.Connection, member_id: int) -> tuple[WorkLine, ...]:
    """Return what was written down of a member's work, the newest first."""
    return tuple(
        sorted(_lines(connection, member_id), key=lambda one: (one.at_ms, one.kind), reverse=True)
    )


def _lines(connection: sa.Connection, member_id: int) -> Iterator[WorkLine]:
    for term in work_terms.of_members(connection, [member_id])[member_id].terms:
        said = f"{term.organisation} {term.why}".strip()
        yield WorkLine(term.at_ms, "term", str(term.valid_from), said, term.who)
    rows = work_correction.select().where(work_correction.c.member_id == member_id)
    for row in connection.execute(rows):
        yield WorkLine(row.at_ms, row.kind, str(row.day), row.why, row.who)
    always = (datetime.date.min, datetime.date.max)
    for one in work_entries.of_members(connection, [member_id], *always)[member_id]:
        yield WorkLine(one.at_ms, one.kind, str(one.day), one.note, one.who)
        if one.withdrawn_at_ms is not None:
            words = (one.withdrawn_why, one.withdrawn_by)
            yield WorkLine(one.withdrawn_at_ms, "entry-withdrawn", str(one.day), *words)
        for word in one.said:
            kind = f"entry-{word.kind}"
            yield WorkLine(word.at_ms, kind, str(one.day), word.why, word.who)
    for asked in work_corrections.of_members(connection, [member_id]):
        yield WorkLine(asked.asked_at_ms, "asked", str(asked.day), asked.why, asked.asked_by)
        if asked.decided_at_ms is not None:
            told = (asked.decided_why, asked.decided_by)
            yield WorkLine(asked.decided_at_ms, asked.state, str(asked.day), *told)
    yield from _special(connection, member_id)
    yield from _lent(connection, member_id)


def _lent(connection: sa.Connection, member_id: int) -> Iterator[WorkLine]:
    rows = connection.execute(
        sa.select(
            *(work_loan.c.from_ms, work_loan.c.who, work_spare.c.number),
            *(work_return.c.at_ms, work_return.c.who.label("back_by")),
        )
        .select_from(LOANS)
        .where(work_loan.c.member_id == member_id)
    )
    for row in rows:
        yield WorkLine(row.from_ms, "lent", str(local_day(row.from_ms)), str(row.number), row.who)
        if row.at_ms is not None:
            said = (str(local_day(row.at_ms)), str(row.number), row.back_by)
            yield WorkLine(row.at_ms, "returned", *said)


def _special(connection: sa.Connection, member_id: int) -> Iterator[WorkLine]:
    rows = work_special.select().where(work_special.c.member_id == member_id)
    for row in connection.execute(rows):
        yield WorkLine(row.at_ms, f"special-{row.kind}", row.month, row.why, row.who)
    bound = work_account.select().where(work_account.c.member_id == member_id)
    for row in connection.execute(bound):
        yield WorkLine(row.at_ms, f"account-{row.kind}", "", row.account, row.who)
    named = work_naming.select().where(work_naming.c.member_id == member_id)
    for row in connection.execute(named):
        yield WorkLine(row.at_ms, f"name-{row.kind}", "", "", row.who)
    pins = card_pin.select().where(card_pin.c.member_id == member_id)
    for row in connection.execute(pins):
        yield WorkLine(row.set_at_ms, "card-pin", "", "", row.account)
    feeds = work_feed.select().where(work_feed.c.member_id == member_id)
    for row in connection.execute(feeds):
        yield WorkLine(row.at_ms, "feed-made", "", "", row.account)
    months = work_month.select().where(work_month.c.member_id == member_id)
    for row in connection.execute(months.order_by(work_month.c.close_id)):
        yield WorkLine(0, "month", row.month, f"{row.worked_min} / {row.outside_min}", "")


def erase(connection: sa.Connection, member_id: int) -> None:
    """Remove what was written down of a member's work."""
    asked = sa.select(work_request.c.id).where(work_request.c.member_id == member_id)
    connection.execute(work_decision.delete().where(work_decision.c.request_id.in_(asked)))
    connection.execute(work_objection.delete().where(work_objection.c.member_id == member_id))
    of_entry = work_entry.c.withdraws.is_not(None)
    connection.execute(work_entry.delete().where(work_entry.c.member_id == member_id, of_entry))
    loans = sa.select(work_loan.c.id).where(work_loan.c.member_id == member_id)
    connection.execute(work_return.delete().where(work_return.c.loan_id.in_(loans)))
    for table in (
        *(work_leaf, work_loan, work_correction, work_request, work_entry),
        *(work_special, work_feed, work_account, work_naming, work_term, card_pin),
    ):
        connection.execute(table.delete().where(table.c.member_id == member_id))
