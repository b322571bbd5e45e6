"""Corrections of a day: asked for, approved or refused; made by the school; contested.

Rules: what somebody asks for counts from its approval on, by another person, whose account is not
the member's; a request is decided once; a correction names who made it, when and why, and is never
changed: another one is made; the person may contest each that somebody else made, also in a closed
month, since that changes no hours; a closed month takes nothing else; each step is in the audit.
"""

import datetime
from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import store, work_accounts, work_terms, work_wishes
from fleet.schema import member, work_correction, work_decision, work_request
from fleet.work_acts import Act, WorkRefused, member_of, note, require_day, require_text, touch
from fleet.work_closed import require_open
from fleet.work_ledger import BY_THE_PERSON
from fleet.work_wishes import Wish
from programmes.work_day_rules import DayRules
from programmes.work_marks import Contest, Correction

State = Literal["asked", "approved", "refused", "withdrawn"]
WAITING_MAX: Final = 100
"""Requests of one member that wait at once: more than four months without any card."""
OF_A_DAY_MAX: Final = 200
"""Corrections of one day: beyond it somebody should talk to somebody."""
LISTED_MAX: Final = 2_000
"""Requests that are listed, newest first: a large school's year."""


class Request(NamedTuple):
    """What somebody asks for, and what became of it."""

    id: int
    member_id: int
    day: datetime.date
    wishes: tuple[Wish, ...]
    why: str
    asked_at_ms: int
    asked_by: str
    state: State
    decided_why: str
    decided_at_ms: int | None
    decided_by: str


def ask(
    connection: sa.Connection, act: Act, day: datetime.date, wishes: list[Wish], rules: DayRules
) -> int:
    """Ask for corrections of a day; return the request's number.

    Raises WorkRefused, IndividualNumberRefused. `rules`: as `work_records.day_rules` returns it.
    """
    row, why = _begin(connection, act, day, wishes, rules)
    mine = [one for one in of_members(connection, [act.member_id]) if one.state == "asked"]
    if len(mine) >= WAITING_MAX:
        raise WorkRefused("waiting", limit=WAITING_MAX)
    if any(one.day == day and one.wishes == tuple(wishes) for one in mine):
        raise WorkRefused("asked-already")
    values = {"member_id": act.member_id, "day": day, "wishes": work_wishes.encode(wishes)}
    values |= {"why": why, "at_ms": act.at_ms, "who": act.who}
    added = connection.execute(work_request.insert().values(values))
    number = store.new_id(added)
    note(connection, act, row, "work.asked", f"{day} {number}")
    return number


def approve(connection: sa.Connection, request_id: int, who: str, at_ms: int) -> None:
    """Let a request count. Raises WorkRefused."""
    one = _waiting(connection, request_id)
    if who == one.asked_by or work_accounts.member_of_account(connection, who) == one.member_id:
        raise WorkRefused("own")
    act = Act(one.member_id, who, at_ms, one.why)
    number = member_of(connection, one.member_id).registration_number
    _require_open(connection, one.member_id, one.day)
    _decide(connection, one, "approved", act, "")
    _write(connection, act, one.day, one.wishes, one.id)
    note(connection, act, number, "work.approved", f"{one.day} {one.id}")


def refuse(connection: sa.Connection, request_id: int, act_why: str, who: str, at_ms: int) -> None:
    """Refuse a request, with a reason. Raises WorkRefused, IndividualNumberRefused."""
    one = _waiting(connection, request_id)
    act = Act(one.member_id, who, at_ms, act_why)
    number = member_of(connection, one.member_id).registration_number
    _decide(connection, one, "refused", act, require_text(act_why))
    note(connection, act, number, "work.refused", f"{one.day} {one.id}")


def withdraw(connection: sa.Connection, request_id: int, who: str, at_ms: int) -> None:
    """Take a request back, as who asked or whose day it is. Raises WorkRefused."""
    one = _waiting(connection, request_id)
    if who != one.asked_by and work_accounts.member_of_account(connection, who) != one.member_id:
        raise WorkRefused("others")
    act = Act(one.member_id, who, at_ms)
    number = member_of(connection, one.member_id).registration_number
    _decide(connection, one, "withdrawn", act, "")
    note(connection, act, number, "work.withdrawn", f"{one.day} {one.id}")


def correct(
    connection: sa.Connection, act: Act, day: datetime.date, wishes: list[Wish], rules: DayRules
) -> list[int]:
    """Correct a day of somebody else at once; return the corrections' numbers.

    Raises WorkRefused, IndividualNumberRefused. That the account may is for the pages to say.
    """
    row, _ = _begin(connection, act, day, wishes, rules)
    if work_accounts.member_of_account(connection, act.who) == act.member_id:
        raise WorkRefused("own")
    numbers = _write(connection, act, day, wishes, None)
    note(connection, act, row, "work.corrected", str(day))
    return numbers


def contest(connection: sa.Connection, act: Act, correction: int) -> int:
    """Say that a correction is wrong; return the objection's number.

    Raises WorkRefused, IndividualNumberRefused. Whose day it is, is for the pages to say.
    """
    row = member_of(connection, act.member_id)
    why = require_text(act.why)
    found = connection.execute(
        sa.select(work_correction).where(
            work_correction.c.id == correction, work_correction.c.member_id == act.member_id
        )
    ).one_or_none()
    if found is None or found.kind == "contest" or found.who in (act.who, BY_THE_PERSON):
        raise WorkRefused("not-contested")
    require_day(found.day, act.at_ms)
    one = Contest(number=0, who=act.who, at_ms=act.at_ms, why=why, correction=correction)
    (number,) = _keep(connection, act, found.day, [one], None)
    note(connection, act, row.registration_number, "work.contested", f"{found.day} {correction}")
    return number


def _begin(
    connection: sa.Connection, act: Act, day: datetime.date, wishes: list[Wish], rules: DayRules
) -> tuple[str, str]:
    """Return the member's number and the reason, when such a thing can be done."""
    row = member_of(connection, act.member_id)
    why = require_text(act.why)
    require_day(day, act.at_ms, ahead=0)
    work_wishes.check(wishes, day, rules, act.at_ms)
    _require_open(connection, act.member_id, day)
    return row.registration_number, why


def _require_open(connection: sa.Connection, member_id: int, day: datetime.date) -> None:
    enrolled = work_terms.of_members(connection, [member_id])[member_id]
    require_open(connection, enrolled.organisations(day, day))


def _write(
    connection: sa.Connection,
    act: Act,
    day: datetime.date,
    wishes: Sequence[Wish],
    request_id: int | None,
) -> list[int]:
    why = act.why.strip()
    made = [work_wishes.correction(one, act.who, act.at_ms, why) for one in wishes]
    return _keep(connection, act, day, made, request_id)


def _keep(
    connection: sa.Connection,
    act: Act,
    day: datetime.date,
    corrections: Sequence[Correction],
    request_id: int | None,
) -> list[int]:
    """Store corrections one by one, so that their numbers rise in their order."""
    mine = (work_correction.c.member_id == act.member_id, work_correction.c.day == day)
    held = connection.scalar(sa.select(sa.func.count()).where(*mine)) or 0
    if held + len(corrections) > OF_A_DAY_MAX:
        raise WorkRefused("corrections", limit=OF_A_DAY_MAX)
    numbers = []
    for one in corrections:
        added = connection.execute(
            work_correction.insert().values(
                member_id=act.member_id,
                day=day,
                kind=str(type(one).__struct_config__.tag),
                body=msgspec.json.encode(one),
                request_id=request_id,
                at_ms=one.at_ms,
                who=one.who,
                why=one.why,
            )
        )
        numbers.append(store.new_id(added))
    touch(connection, day, day)
    return numbers


# --- requests ------------------------------------------------------------------------------------


def _waiting(connection: sa.Connection, request_id: int) -> Request:
    """Return a request that nobody has decided. Raises WorkRefused."""
    one = load(connection, request_id)
    if one is None:
        raise WorkRefused("request-gone")
    if one.state != "asked":
        raise WorkRefused("decided", by=one.decided_by)
    return one


def _decide(connection: sa.Connection, one: Request, to: State, act: Act, why: str) -> None:
    values = {"request_id": one.id, "state": to, "why": why, "at_ms": act.at_ms, "who": act.who}
    try:
        connection.execute(work_decision.insert().values(values))
    except sa.exc.IntegrityError as error:
        raise WorkRefused("decided-meanwhile") from error


def load(connection: sa.Connection, request_id: int) -> Request | None:
    """Return one request."""
    return next(iter(_requests(connection, work_request.c.id == request_id)), None)


def of_members(connection: sa.Connection, members: Collection[int]) -> list[Request]:
    """Return the requests of these members, the newest first, LISTED_MAX at most."""
    return _requests(connection, work_request.c.member_id.in_(sorted(members)[: store.IN_MAX]))


def waiting(connection: sa.Connection, organisation: str) -> list[Request]:
    """Return what waits for somebody of a school, by the school of the day; the newest first."""
    undecided = work_decision.c.request_id.is_(None)
    alive = work_request.c.member_id.in_(
        sa.select(member.c.id).where(member.c.erased_at_ms.is_(None))
    )
    found = _requests(connection, undecided, alive)
    enrolled = work_terms.of_members(connection, {one.member_id for one in found})
    return [
        one for one in found if enrolled[one.member_id].organisation_on(one.day) == organisation
    ]


def _requests(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Request]:
    rows = connection.execute(
        sa.select(
            *(work_request.c[name] for name in ("id", "member_id", "day", "wishes", "why")),
            work_request.c.at_ms,
            work_request.c.who,
            sa.func.coalesce(work_decision.c.state, "asked"),
            sa.func.coalesce(work_decision.c.why, ""),
            work_decision.c.at_ms,
            sa.func.coalesce(work_decision.c.who, ""),
        )
        .select_from(
            work_request.outerjoin(work_decision, work_decision.c.request_id == work_request.c.id)
        )
        .where(*where)
        .order_by(work_request.c.id.desc())
        .limit(LISTED_MAX)
    )
    found = [Request(*row) for row in rows]
    return [
        one._replace(wishes=tuple(work_wishes.decode(one.wishes)))  # type: ignore[arg-type]  # bytes
        for one in found
    ]
