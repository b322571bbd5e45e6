"""勤務の条件: what a member of attendance has agreed to, from which day; the months of exception.

Rules: a clerk of attendance sees and writes it, no school does, and nobody his own; a row is never
changed: another one holds from its day on, or until a day, after which what held before holds
again; a school is one that has a gate or people; hours of a closed month stay as they are. Leaving
is no row: it is the end of the enrolment, on the member's page.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, get_args

import sqlalchemy as sa
from aiohttp import web

from fleet import (
    work_accounts,
    work_gates,
    work_now,
    work_records,
    work_shift_text,
    work_special,
    work_terms,
)
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.organisations import company_names
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach, require
from fleet.web.school_reach import look
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from fleet.work_acts import WHY_MAX, Act, WorkRefused, member_of, note
from fleet.work_now import Named
from fleet.work_shift_text import SHIFT_MAX, ShiftRefused
from fleet.work_special import Special
from fleet.work_terms import Engaged, Enrolled, NewTerm, Term
from programmes import attendance
from programmes.texts import say
from programmes.work_hours import Pattern, Shift
from programmes.work_limits import Staff
from wire.individual_number import IndividualNumberRefused

WEEK: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAYS_MAX: Final = 40_000
"""Characters of single days: 800 lines of a day and its hours."""
FIELDS: Final = {
    **{"terms_from": 10, "terms_until": 10, "terms_school": 32, "staff": 10, "engaged": 20},
    **dict.fromkeys(WEEK, SHIFT_MAX),
    **{"on_days": DAYS_MAX, "why": WHY_MAX, "stamp": 20},
}
_BESIDE: Final = {
    **{"staff": "staff", "organisation": "terms_school", "organisation-unknown": "terms_school"},
    **{"shifts": "on_days", "spans": "monday", "hours": "monday", "terms-until": "terms_until"},
    **{"terms-between": "terms_until", "terms-nothing-then": "terms_until"},
    **{"why": "why", "printable": "why"},
}
"""Beside which field a refusal is told; the others beside the day."""
routes = web.RouteTableDef()


class Shown(NamedTuple):
    """All that stands on the page."""

    who: Named
    enrolled: Enrolled
    today: datetime.date
    schools: tuple[str, ...]
    """That may be chosen, beside none."""
    special: list[Special]
    standing: list[str]
    """Months that are special cases now, the latest first."""

    @property
    def present(self) -> Term | None:
        """Return what holds today, else what is to hold first."""
        terms = self.enrolled.terms
        return self.enrolled.on(self.today) or (terms[0] if terms else None)

    @property
    def stamp(self) -> str:
        """Return a word that is another one as soon as somebody adds a row."""
        return str(max((one.id for one in self.enrolled.terms), default=0))


async def act_of(request: web.Request, why: str = "") -> Act:
    """Return who does it to whom. Raises HTTPNotFound for a member out of reach."""
    member_id = await member_in_reach(request)
    require(request, attendance.NAME)
    return Act(member_id, account_of(request).name, request.app[CLOCK].now_ms(), why)


def not_own(people: sa.Connection, act: Act) -> None:
    """Raise WorkRefused for somebody who decides on his own hours."""
    if work_accounts.member_of_account(people, act.who) == act.member_id:
        raise WorkRefused("own")


def _see(fleet: sa.Connection, people: sa.Connection, act: Act) -> Shown | None:
    """Return a member's terms, and write the look down; None for one who has none, or is erased."""
    try:
        member_of(people, act.member_id)
    except WorkRefused:
        return None
    enrolled = work_terms.of_members(people, [act.member_id])[act.member_id]
    who = work_now.named(people, [act.member_id])[act.member_id]
    note(people, act, who.registration_number, "work.terms-seen")
    schools = {*work_gates.schools(fleet), *work_terms.schools(people)}
    return Shown(
        who,
        enrolled,
        work_records.today(fleet, act.at_ms),
        tuple(sorted(schools)),
        work_special.history(people, act.member_id),
        sorted(work_special.of_members(people, [act.member_id])[act.member_id], reverse=True),
    )


async def terms_page(
    request: web.Request, form: Form, status: int = 200, tried: str = ""
) -> web.Response:
    """Show a member's terms. `tried`: which form was sent and is shown again."""
    shown = await look(request, _see, await act_of(request))
    if shown is None:
        raise web.HTTPNotFound
    return await render(
        request,
        "member_terms.html",
        status,
        section="/members",
        form=form,
        tried=tried,
        week=WEEK,
        staffs=get_args(Staff),
        engageds=get_args(Engaged),
        names=await company_names(request),
        values=dict(form.values) if tried == "terms" else _values(shown),
        grouped=_grouped,
        replaced=_replaced(shown.enrolled.terms),
        written=work_shift_text.write,
        shown=shown,
    )


def _values(shown: Shown) -> Mapping[str, str]:
    """Return what stands in the form at first: what holds today, to be changed."""
    one = shown.present
    pattern = one.pattern if one else Pattern()
    values = {name: work_shift_text.write(pattern.week[n]) for n, name in enumerate(WEEK)}
    values |= {"terms_from": "", "terms_until": "", "why": ""}
    values |= {"staff": one.staff if one else "teacher"}
    values |= {"engaged": one.engaged if one else "full-time"}
    values |= {"terms_school": one.organisation if one else ""}
    return values | {"on_days": work_shift_text.write_days(pattern.on_days)}


def _replaced(terms: Iterable[Term]) -> frozenset[int]:
    """Return the rows for which a later one of the same day stands."""
    last = {one.valid_from: one.id for one in terms}
    return frozenset(one.id for one in terms if one.id != last[one.valid_from])


def _grouped(pattern: Pattern) -> list[tuple[int, int, str]]:
    """Return the hours of a week, for days in a row that have the same: 0 is Monday."""
    found: list[tuple[int, int, str]] = []
    for n, shift in enumerate(pattern.week):
        told = work_shift_text.write(shift)
        first = found.pop()[0] if found and found[-1][2] == told else n
        found.append((first, n, told))
    return found


@routes.get(r"/members/{member:\d+}/terms")
async def show(request: web.Request) -> web.Response:
    """What a member has agreed to."""
    return await terms_page(request, empty_form(request))


# --- another row ---------------------------------------------------------------------------------


@routes.post(r"/members/{member:\d+}/terms")
async def add(request: web.Request) -> web.Response:
    """Let other terms hold from a day on."""
    act = await act_of(request)
    labels = {"stamp": say("web.terms.title", language_of(request))}
    form = await read_form(request, FIELDS, labels)
    form.require("terms_from", "why")
    first, last = form.day("terms_from"), form.day("terms_until")
    pattern = _pattern(form)
    if form.errors or first is None or pattern is None:
        return await terms_page(request, form, 422, "terms")
    staff: Any = form["staff"]  # work_terms.check judges both
    engaged: Any = form["engaged"]
    new = NewTerm(first, form["terms_school"], staff, engaged, pattern)
    try:
        await look(request, _add, act._replace(why=form["why"]), new, last, form["stamp"])
    except WorkRefused as error:
        field = _BESIDE.get(error.reason, "terms_from")
        form.refuse(field, f"work.refused.{error.reason}", **error.arguments)
        return await terms_page(request, form, 409, "terms")
    except IndividualNumberRefused:
        form.refuse("why", "refused.individual-number")
        return await terms_page(request, form, 422, "terms")
    await flash(request, Flash("ok", "web.terms.done"))
    raise web.HTTPSeeOther(f"/members/{act.member_id}/terms")


def _pattern(form: Form) -> Pattern | None:
    """Return the hours of a week and of single days; None when refused."""
    week: list[Shift] = []
    for name in WEEK:
        try:
            week.append(work_shift_text.read(form[name]))
        except ShiftRefused:
            form.refuse(name, "work.terms.shift")
    try:
        on_days = work_shift_text.read_days(form["on_days"])
    except ShiftRefused as error:
        form.refuse("on_days", "web.terms.wrong-line", line=str(error)[:60])
        return None
    if len(week) != len(WEEK):
        return None
    return Pattern((week[0], week[1], week[2], week[3], week[4], week[5], week[6]), on_days)


def _add(
    fleet: sa.Connection,
    people: sa.Connection,
    act: Act,
    new: NewTerm,
    last: datetime.date | None,
    stamp: str,
) -> None:
    """Write it down, all or nothing. Raises WorkRefused, IndividualNumberRefused."""
    not_own(people, act)
    member_of(people, act.member_id)
    enrolled = work_terms.of_members(people, [act.member_id])[act.member_id]
    if new.organisation and new.organisation not in work_gates.schools(fleet):  # noqa: SIM102
        if new.organisation not in work_terms.schools(people):
            raise WorkRefused("organisation-unknown")
    if enrolled.has(new) and last is None:
        raise WorkRefused("terms-same")
    if stamp != str(max((one.id for one in enrolled.terms), default=0)):
        raise WorkRefused("terms-meanwhile")
    if last is None:
        work_terms.add(people, act, new)
    else:
        work_terms.add_until(people, act, new, last)
