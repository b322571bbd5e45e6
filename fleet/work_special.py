"""Months that are special cases (特例, 臨時的な特別の事情): declared for one person beforehand.

Rules: a month is declared before its hours pass the limit of a month, with a reason, and revoked
with one; the newest row holds; a closed month stays as it is.
"""

import datetime
from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from fleet import work_records, work_terms
from fleet.schema import work_special
from fleet.work_acts import Act, WorkRefused, member_of, note, require_day, require_text
from fleet.work_closed import require_open
from fleet.work_closing import figure, month_span
from programmes.work_limits import limits_in_force

AHEAD_DAYS_MAX = 400


class Special(NamedTuple):
    """One step of a member's month, as it was written down."""

    id: int
    month: str
    kind: str
    """declared or revoked."""
    at_ms: int
    who: str
    why: str


def declare(fleet: sa.Connection, people: sa.Connection, act: Act, month: datetime.date) -> None:
    """Declare a month, by its first day. Raises WorkRefused, IndividualNumberRefused."""
    enrolled = _begin(people, act, month)
    if f"{month:%Y-%m}" in of_members(people, [act.member_id])[act.member_id]:
        raise WorkRefused("special")
    span = month_span(month)
    today = work_records.today(fleet, act.at_ms)
    record = work_records.records(fleet, people, {act.member_id: enrolled}, span, today)
    so_far = figure(record[act.member_id], month)
    limit = limits_in_force(so_far.staff, month)
    rest_min = 0 if limit.counts_rest_days else so_far.rest_day_min
    if so_far.outside_min - rest_min > limit.month_h * 60:
        raise WorkRefused("special-late")
    _write(people, act, month, "declared")


def revoke(people: sa.Connection, act: Act, month: datetime.date) -> None:
    """Let a month be none any more. Raises WorkRefused, IndividualNumberRefused."""
    _begin(people, act, month)
    if f"{month:%Y-%m}" not in of_members(people, [act.member_id])[act.member_id]:
        raise WorkRefused("special")
    _write(people, act, month, "revoked")


def _begin(people: sa.Connection, act: Act, month: datetime.date) -> work_terms.Enrolled:
    member_of(people, act.member_id)
    require_text(act.why)
    if month.day != 1:
        raise WorkRefused("month")
    require_day(month, act.at_ms, ahead=AHEAD_DAYS_MAX)
    enrolled = work_terms.of_members(people, [act.member_id])[act.member_id]
    require_open(people, enrolled.organisations(*month_span(month)))
    return enrolled


def _write(people: sa.Connection, act: Act, month: datetime.date, kind: str) -> None:
    values = {"member_id": act.member_id, "month": f"{month:%Y-%m}", "kind": kind}
    told = {"at_ms": act.at_ms, "who": act.who, "why": act.why.strip()}
    people.execute(work_special.insert().values(values | told))
    number = member_of(people, act.member_id).registration_number
    note(people, act, number, f"work.special-{kind}", f"{month:%Y-%m}")


def of_members(people: sa.Connection, members: Collection[int]) -> dict[int, frozenset[str]]:
    """Return the special months of members."""
    standing: dict[tuple[int, str], str] = {}
    for some in work_terms.store_some(members):
        rows = people.execute(
            sa.select(work_special.c.member_id, work_special.c.month, work_special.c.kind)
            .where(work_special.c.member_id.in_(some))
            .order_by(work_special.c.id)
        )
        standing |= {(row.member_id, row.month): row.kind for row in rows}
    return {
        one: frozenset(
            month for (of, month), kind in standing.items() if of == one and kind == "declared"
        )
        for one in members
    }


def history(people: sa.Connection, member_id: int) -> list[Special]:
    """Return every step of a member's months, the newest first."""
    columns = [work_special.c[name] for name in Special._fields]
    mine = sa.select(*columns).where(work_special.c.member_id == member_id)
    return [Special(*row) for row in people.execute(mine.order_by(work_special.c.id.desc()))]
