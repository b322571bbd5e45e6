"""Objections to entries that somebody else made for a member: said, seen until answered, kept.

Rules: a member may object to each entry that another account made and that counts, also in a closed
month, since that changes no hours; the objection stands until somebody else says with a reason that
the entry counts, or takes it back; nobody answers on his own days; each step is a row that stays
and stands in the signed day and the audit.
"""

import datetime
from typing import Final

import sqlalchemy as sa

from fleet import work_accounts, work_entries, work_terms
from fleet.schema import work_entry, work_objection
from fleet.work_acts import (
    BACK_DAYS_MAX,
    Act,
    WorkRefused,
    member_of,
    note,
    require_day,
    require_text,
    touch,
)
from fleet.work_entries import AHEAD_DAYS_MAX, Declared
from programmes.calendar import local_day

OF_ENTRY_MAX: Final = 20
"""Objections and answers of one entry: beyond it somebody should talk to somebody."""


def may_contest(one: Declared, who: str) -> bool:
    """True for an entry that somebody else made and that nobody objects to."""
    return one.counts and one.who != who and not one.is_contested


def contest(people: sa.Connection, act: Act, entry_id: int) -> None:
    """Say that an entry is wrong. Raises WorkRefused, IndividualNumberRefused.

    Whose day it is, is for the pages to say.
    """
    one = work_entries.load(people, act.member_id, entry_id)
    if one is None or not may_contest(one, act.who):
        raise WorkRefused("not-contested")
    require_day(local_day(one.from_ms), act.at_ms, ahead=AHEAD_DAYS_MAX)
    _write(people, act, one, "contest")


def answer(people: sa.Connection, act: Act, entry_id: int, *, counts: bool) -> None:
    """Say that a contested entry counts all the same, or take it back; with a reason.

    Raises WorkRefused, IndividualNumberRefused. That the account may is for the pages to say.
    """
    one = work_entries.load(people, act.member_id, entry_id)
    if one is None or not one.is_contested:
        raise WorkRefused("not-waiting")
    if work_accounts.member_of_account(people, act.who) == act.member_id:
        raise WorkRefused("own")
    if counts:
        _write(people, act, one, "answer")
    else:
        work_entries.withdraw(people, act, entry_id)


def _write(people: sa.Connection, act: Act, one: Declared, kind: str) -> None:
    number = member_of(people, act.member_id).registration_number
    why = require_text(act.why)
    if len(one.said) >= OF_ENTRY_MAX:
        raise WorkRefused("objections", limit=OF_ENTRY_MAX)
    row = {"member_id": act.member_id, "entry_id": one.id, "kind": kind, "why": why}
    people.execute(work_objection.insert().values(row | {"at_ms": act.at_ms, "who": act.who}))
    touch(people, one.day, one.day)
    note(people, act, number, f"work.entry-{kind}", f"{one.day} {one.kind}")


def waiting(people: sa.Connection, organisation: str, today: datetime.date) -> list[Declared]:
    """Return a school's entries with an objection that stands, by its days; the latest first."""
    days = (
        today - datetime.timedelta(days=BACK_DAYS_MAX),
        today + datetime.timedelta(days=AHEAD_DAYS_MAX),
    )
    members = people.scalars(
        sa.select(work_objection.c.member_id)
        .join(work_entry, work_entry.c.id == work_objection.c.entry_id)
        .where(work_entry.c.day.between(*days))
        .distinct()
    )
    enrolled = work_terms.of_members(people, set(members))
    entries = work_entries.of_members(people, enrolled, *days)
    found = [
        one
        for some in entries.values()
        for one in some
        if one.is_contested and enrolled[one.member_id].organisation_on(one.day) == organisation
    ]
    return sorted(found, key=lambda one: (one.day, one.member_id, one.id), reverse=True)
